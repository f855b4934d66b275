//! A `SOCK_SEQPACKET` socket that carries frames and, beside them, descriptors.

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recv, recvmsg, sendmsg, socketpair, sockopt,
};
use rustix::process::Pid;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// The largest frame that is sure to fit.
pub const FRAME_MAX: usize = 128 * 1024;
/// So many descriptors fit beside one frame.
pub const FDS_MAX: usize = 32;

/// A user without privileges may have as many descriptors on their way as whoever sends may have open. They arrive within
/// moments: so often it is tried again, with this pause before.
const CROWDED_MAX: usize = 500;
const CROWDED_PAUSE: Duration = Duration::from_millis(1);

/// One end of such a socket.
#[derive(Debug)]
pub struct Link {
    socket: OwnedFd,
}

/// What was there to read.
#[derive(Debug)]
pub enum Received {
    /// A frame of this length, at the beginning of the buffer, and its descriptors.
    Frame(usize, Vec<OwnedFd>),
    /// Nothing yet.
    Nothing,
    /// Every copy of the other end is closed.
    Closed,
}

impl Link {
    /// Two ends, neither of which survives the execution of a program.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self::new(one)?, Self::new(other)?))
    }

    /// An end that came from elsewhere.
    pub fn new(socket: OwnedFd) -> io::Result<Self> {
        // The kernel counts its own overhead too: room for one frame of the largest size, and some small ones.
        if sockopt::socket_send_buffer_size(&socket)? < 2 * FRAME_MAX {
            sockopt::set_socket_send_buffer_size(&socket, FRAME_MAX)?;
        }
        Ok(Self { socket })
    }

    /// Another handle on the same end.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { socket: self.socket.try_clone()? })
    }

    /// Sends one frame, or says `WouldBlock`. It waits for a moment where too many descriptors are on their way.
    pub fn send(&self, frame: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "more descriptors than one frame carries",
            ));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        for _ in 0..CROWDED_MAX {
            match sendmsg(&self.socket, &[IoSlice::new(frame)], &mut beside, flags) {
                Err(Errno::TOOMANYREFS) => std::thread::sleep(CROWDED_PAUSE),
                sent => return Ok(sent.map(drop)?),
            }
        }
        Err(Errno::TOOMANYREFS.into())
    }

    /// From here on the kernel says with each frame which process sent it.
    pub fn expect_signatures(&self, wanted: bool) -> io::Result<()> {
        Ok(sockopt::set_socket_passcred(&self.socket, wanted)?)
    }

    /// The size of the next frame, if there is something to take: the end has none.
    pub fn next_size(&self) -> io::Result<Option<usize>> {
        let flags = RecvFlags::PEEK | RecvFlags::TRUNC | RecvFlags::DONTWAIT;
        match recv(&self.socket, &mut [0_u8; 0], flags) {
            Ok((_, size)) => Ok(Some(size)),
            Err(Errno::CONNRESET) => Ok(Some(0)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the next frame, if there is one.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        self.receive_signed(buffer).map(|(received, _)| received)
    }

    /// The same, with the process that sent it, where signatures are expected.
    pub fn receive_signed(&self, buffer: &mut [u8]) -> io::Result<(Received, Option<Pid>)> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX), ScmCredentials(1))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let message = match recvmsg(&self.socket, &mut [IoSliceMut::new(buffer)], &mut beside, flags) {
            Ok(message) => message,
            Err(Errno::AGAIN | Errno::INTR) => return Ok((Received::Nothing, None)),
            Err(Errno::CONNRESET) => return Ok((Received::Closed, None)),
            Err(error) => return Err(error.into()),
        };
        let (mut fds, mut sender) = (Vec::new(), None);
        for part in beside.drain() {
            match part {
                RecvAncillaryMessage::ScmRights(received) => fds.extend(received),
                RecvAncillaryMessage::ScmCredentials(signature) => sender = Some(signature.pid),
                _ => {}
            }
        }
        if message.bytes == 0 {
            return Ok((Received::Closed, None));
        }
        if message.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame larger than its reader expects"));
        }
        Ok((Received::Frame(message.bytes, fds), sender))
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl From<Link> for OwnedFd {
    fn from(link: Link) -> Self {
        link.socket
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carries_the_largest_frame_and_the_most_descriptors() {
        let (one, other) = Link::pair().expect("pair");
        let frame = vec![7; FRAME_MAX];
        let fds = vec![one.as_fd(); FDS_MAX];
        one.send(&frame, &fds).expect("fits");
        assert_eq!(other.next_size().expect("readable"), Some(FRAME_MAX));
        let mut buffer = vec![0; FRAME_MAX];
        let Received::Frame(length, fds) = other.receive(&mut buffer).expect("readable") else {
            panic!("no frame");
        };
        assert_eq!((length, fds.len()), (FRAME_MAX, FDS_MAX));
        assert!(matches!(other.receive(&mut buffer), Ok(Received::Nothing)));
        assert_eq!(other.next_size().expect("open"), None);
        drop((one, fds));
        assert_eq!(other.next_size().expect("readable"), Some(0));
        assert!(matches!(other.receive(&mut buffer), Ok(Received::Closed)));
    }

    #[test]
    fn a_frame_too_large_for_its_reader_is_an_error() {
        let (one, other) = Link::pair().expect("pair");
        one.send(&[1; 100], &[]).expect("sent");
        assert!(other.receive(&mut [0; 10]).is_err());
    }
}
