//! The lifeline of a coupled daemon: standard input, and the process that started it.
//!
//! The end of either is the end of everything. A parent that is killed closes its end of standard input, unless it
//! leaked that to somebody else; then its handle still says that it is dead.

use crate::own::watched::watched;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{PidfdFlags, getppid, pidfd_open};
use std::io;
use std::os::fd::OwnedFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// What a coupled daemon lives by.
#[derive(Debug)]
pub(crate) struct Lifeline {
    parent: Option<AsyncFd<OwnedFd>>,
    input: Option<AsyncFd<OwnedFd>>,
}

impl Lifeline {
    /// Takes hold of it. `caller` is whoever was seen to have started this process when that was looked at first of all:
    /// it may have died since, and then somebody else is the parent. Called within a runtime.
    pub(crate) fn take(caller: Option<OwnedFd>) -> io::Result<Self> {
        let input = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
        let parent = match caller {
            Some(caller) => Some(watched(caller, Interest::READABLE)?),
            None => parent()?,
        };
        let input = readable(input)?;
        if input.is_none() {
            tracing::warn!(
                "standard input is a file or /dev/null, and never ends: only the end of the process that started this daemon \
                 ends it; give it a pipe or a socket"
            );
        }
        Ok(Self { parent, input })
    }

    /// Waits for its end, and says which.
    pub(crate) async fn end(mut self) -> &'static str {
        let parent = self.parent.take();
        let dead = async {
            match &parent {
                Some(parent) if parent.readable().await.is_ok() => {}
                Some(_) | None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = dead => "the process that started this daemon is gone",
            () = closed(self.input) => "standard input was closed",
        }
    }
}

/// A pipe and a socket can be waited for; a file cannot, and never ends by itself.
fn readable(input: OwnedFd) -> io::Result<Option<AsyncFd<OwnedFd>>> {
    match watched(input, Interest::READABLE) {
        Ok(input) => Ok(Some(input)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        Err(error) => Err(error),
    }
}

/// The parent, unless it has died before it could be looked at: then there is somebody else in its place.
fn parent() -> io::Result<Option<AsyncFd<OwnedFd>>> {
    let Some(before) = getppid() else { return Ok(None) };
    let handle = pidfd_open(before, PidfdFlags::empty());
    match handle {
        Ok(handle) if getppid() == Some(before) => watched(handle, Interest::READABLE).map(Some),
        Ok(_) => Err(io::Error::other("the process that started this daemon is gone already")),
        // Seen from another PID namespace the parent has no number; its end of standard input is all there is.
        Err(_) => Ok(None),
    }
}

/// Reads until there is nothing more. What is said there means nothing.
async fn closed(input: Option<AsyncFd<OwnedFd>>) {
    let Some(input) = input else { return std::future::pending().await };
    let mut sink = [0; 512];
    loop {
        let Ok(mut ready) = input.readable().await else { return };
        // Not made non-blocking: others may share it, and would be surprised.
        if !has_something(input.get_ref()) {
            ready.clear_ready();
            continue;
        }
        match rustix::io::read(input.get_ref(), &mut sink) {
            Ok(0) => return,
            Ok(_) | Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return,
        }
    }
}

fn has_something(input: &OwnedFd) -> bool {
    let mut asked = [PollFd::new(input, PollFlags::IN)];
    poll(&mut asked, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}
