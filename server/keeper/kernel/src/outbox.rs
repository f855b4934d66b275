//! A link whose reader may be slow: what it does not take yet waits here, in order, and nobody waits for it.

use crate::link::Link;
use rustix::event::PollFlags;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Whoever fills this should stop asking to be answered while so many frames wait.
pub const WAITING_MAX: usize = 64;
/// Between two tries to send a frame for which the kernel has no memory now.
const STUTTER: Duration = Duration::from_millis(10);

/// The link, and what waits for it.
#[derive(Debug)]
pub struct Outbox {
    link: Link,
    waiting: VecDeque<(Vec<u8>, Option<OwnedFd>)>,
    /// The last frame could not be sent for a reason that will pass.
    stuttering: bool,
}

impl Outbox {
    /// Nothing waits yet.
    pub fn new(link: Link) -> Self {
        Self { link, waiting: VecDeque::new(), stuttering: false }
    }

    /// What is said from the other end is read here.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Puts a frame, and a descriptor beside it, behind the others.
    pub fn put(&mut self, frame: Vec<u8>, fd: Option<OwnedFd>) {
        self.waiting.push_back((frame, fd));
    }

    /// Whether the reader is so slow that it should not be answered any more.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= WAITING_MAX
    }

    /// What to poll for: room for what waits, and more to read unless it is full.
    pub fn interest(&self) -> PollFlags {
        let listen = if self.is_full() { PollFlags::empty() } else { PollFlags::IN };
        let speak =
            if self.waiting.is_empty() || self.stuttering { PollFlags::empty() } else { PollFlags::OUT };
        listen | speak
    }

    /// When to flush again, although the poll says nothing.
    pub fn patience(&self) -> Option<Duration> {
        self.stuttering.then_some(STUTTER)
    }

    /// Sends what can be sent now.
    pub fn flush(&mut self) {
        while let Some((frame, fd)) = self.waiting.front() {
            let fds: Vec<_> = fd.iter().map(AsFd::as_fd).collect();
            let sent = self.link.send(frame, &fds);
            self.stuttering = false;
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Too many descriptors are on their way: the word is worth more than what comes beside it.
                Err(error) if error.raw_os_error() == Some(libc::ETOOMANYREFS) && fd.is_some() => {
                    self.waiting.front_mut().into_iter().for_each(|(_, fd)| *fd = None);
                }
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::ENOMEM)) => {
                    self.stuttering = true;
                    return;
                }
                // A reader that is gone is noticed where the link is read.
                Ok(()) | Err(_) => drop(self.waiting.pop_front()),
            }
        }
    }
}

impl AsFd for Outbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }
}
