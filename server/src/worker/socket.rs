//! A `SOCK_SEQPACKET` socket in the runtime: messages out, messages in.

use super::frame::{Assembler, Fault, HEADER, Message};
use crate::own::watched::watched;
use bytes::Bytes;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, SocketFlags, SocketType, recv, sendmsg,
    socketpair, sockopt,
};
use sidewinder_keeper_kernel::sys;
use sidewinder_keeper_wire::FRAME_MAX;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Either side may be this far ahead of the other, and no further: a large body then wakes its reader once for some pieces
/// and not for each. The kernel counts what holds the bytes as well, and so takes twice the number; where
/// `net.core.wmem_max` is lower, that holds.
const BUFFER: usize = 4 * FRAME_MAX;
/// How long whoever wants a descriptor waits for one that somebody closes.
const RETRY: Duration = Duration::from_millis(10);

/// Frames to say, in order: what comes before the body's piece, and the piece.
pub(crate) type Frames = VecDeque<(Vec<u8>, Bytes)>;

/// Our end of a socket to a worker.
///
/// It is watched for what comes in alone. Watched for room as well, it would wake this process each time the worker has
/// read something, in the very moment in which the worker works.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: AsyncFd<OwnedFd>,
}

thread_local! {
    /// Where every datagram is received that this thread reads. What it says is copied from here at once, so the memory
    /// is warm, and a socket that is idle has none. One byte more than a frame may have, so a longer one is noticed.
    static LANDING: RefCell<Vec<u8>> = RefCell::new(vec![0; FRAME_MAX + 1]);
}

/// What one datagram was.
enum Heard {
    /// The worker has closed its end.
    Closed,
    /// A piece of a message that goes on.
    Piece,
    Message(Message),
}

impl Socket {
    /// Our end, and the worker's.
    pub(crate) fn pair() -> io::Result<(Self, OwnedFd)> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        for end in [&ours, &theirs] {
            sockopt::set_socket_send_buffer_size(end, BUFFER)?;
        }
        // Only our end: the worker's calls socket blocks, that is its fast way.
        Ok((Self::found(ours)?, theirs))
    }

    /// Our end of a socket that an earlier daemon has made.
    pub(crate) fn found(ours: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&ours, true)?;
        Ok(Self { fd: watched(ours, Interest::READABLE)? })
    }

    /// Another handle on our end.
    pub(crate) fn copy(&self) -> io::Result<OwnedFd> {
        self.fd.get_ref().try_clone()
    }

    /// Whether the worker has read everything that it was given.
    pub(crate) fn is_heard(&self) -> bool {
        sys::unread(self.fd.get_ref().as_fd()).is_ok_and(|bytes| bytes == 0)
    }

    /// Says a message; waits while the worker does not read.
    pub(crate) async fn say(&self, message: Message) -> io::Result<()> {
        self.say_rest(message.frames().map_err(io::Error::other)?.into()).await
    }

    /// Says frames; waits while the worker does not read.
    pub(crate) async fn say_rest(&self, frames: Frames) -> io::Result<()> {
        let rest = self.say_some(frames)?;
        if rest.is_empty() {
            return Ok(());
        }
        let room = self.room().await?;
        for (head, body) in rest {
            room.async_io(Interest::WRITABLE, |fd| send(fd, &head, &body)).await?;
        }
        Ok(())
    }

    /// The same socket, watched for room. Without a descriptor to spare it is waited for one.
    async fn room(&self) -> io::Result<AsyncFd<OwnedFd>> {
        loop {
            match self.fd.get_ref().try_clone() {
                Ok(copy) => return watched(copy, Interest::WRITABLE),
                Err(error) if is_want_of_descriptors(&error) => tokio::time::sleep(RETRY).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Says as many frames as there is room for now, and returns the rest.
    pub(crate) fn say_some(&self, mut frames: Frames) -> io::Result<Frames> {
        while let Some((head, body)) = frames.front() {
            match send(self.fd.get_ref(), head, body) {
                Ok(()) => frames.pop_front(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
        }
        Ok(frames)
    }

    /// Says a small message now, or not at all: a worker whose socket is full is told another way.
    pub(crate) fn say_now(&self, message: Message) -> io::Result<()> {
        for (head, body) in message.frames().map_err(io::Error::other)? {
            send(self.fd.get_ref(), &head, &body)?;
        }
        Ok(())
    }

    /// The next message; nothing when the worker has closed its end. Safe to drop at any time: what has come of a
    /// message is kept by whoever puts it together.
    pub(crate) async fn next(&self, begun: &mut Assembler) -> io::Result<Option<Message>> {
        loop {
            match self.fd.async_io(Interest::READABLE, |fd| hear(fd, begun)).await? {
                Heard::Closed => return Ok(None),
                Heard::Piece => {}
                Heard::Message(message) => return Ok(Some(message)),
            }
        }
    }

    /// The next message that is there already.
    pub(crate) fn next_now(&self, begun: &mut Assembler) -> io::Result<Option<Message>> {
        loop {
            match hear(self.fd.get_ref(), begun)? {
                Heard::Closed => return Ok(None),
                Heard::Piece => {}
                Heard::Message(message) => return Ok(Some(message)),
            }
        }
    }
}

fn hear(fd: &OwnedFd, begun: &mut Assembler) -> io::Result<Heard> {
    LANDING.with_borrow_mut(|landing| {
        let taken = match receive(fd, landing)? {
            0 => return Ok(Heard::Closed),
            1..HEADER => Err(Fault::Truncated),
            length if length > FRAME_MAX => Err(Fault::TooLarge),
            length => begun.take(&landing[..length]),
        };
        Ok(taken.map_err(io::Error::other)?.map_or(Heard::Piece, Heard::Message))
    })
}

impl std::error::Error for Fault {}

fn is_want_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

fn send(fd: &OwnedFd, head: &[u8], body: &[u8]) -> io::Result<()> {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let slices = [IoSlice::new(head), IoSlice::new(body)];
    sendmsg(fd, &slices, &mut SendAncillaryBuffer::default(), flags)?;
    Ok(())
}

fn receive(fd: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match recv(fd, &mut *buffer, RecvFlags::DONTWAIT) {
            Ok((length, _)) => return Ok(length),
            // Said once, about what the worker did not read any more; its last words come after it.
            Err(rustix::io::Errno::CONNRESET) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
