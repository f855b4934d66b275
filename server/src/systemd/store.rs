//! The manager's store of descriptors: what lies there outlives the daemon, and comes back with the next start.
//!
//! A descriptor that is kept holds its other end open: so whatever is put there has to be taken out again, and the
//! manager drops all of it when the unit is stopped or given up.

use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, sendmsg_addr, socket_with,
};
use rustix::pipe::PipeFlags;
use sidewinder_keeper_wire::FDS_MAX;
use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

/// Where the manager listens, if there is one.
const SOCKET: &str = "NOTIFY_SOCKET";

/// The way to the store.
#[derive(Debug)]
pub(crate) struct Store {
    socket: OwnedFd,
    manager: SocketAddrUnix,
}

impl Store {
    /// The store of the manager that has started this process, if one has.
    pub(crate) fn find() -> io::Result<Option<Self>> {
        let Some(path) = std::env::var_os(SOCKET).filter(|path| !path.is_empty()) else { return Ok(None) };
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        Ok(Some(Self { socket, manager: address(&path)? }))
    }

    /// Keeps descriptors under one name. A store that is full keeps fewer. Waits for a manager that does not read.
    pub(crate) fn keep(&self, name: &str, fds: &[OwnedFd]) -> io::Result<()> {
        let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        // Whoever is at the other end and leaves is no reason to forget what it has said last.
        self.say(&format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0"), &fds)
    }

    /// Lets everything of this name go.
    pub(crate) fn forget(&self, name: &str) -> io::Result<()> {
        self.say(&format!("FDSTOREREMOVE=1\nFDNAME={name}"), &[])
    }

    /// Asks for a sign that the manager has read everything: the end of what is returned.
    pub(crate) fn barrier(&self) -> io::Result<OwnedFd> {
        let (sign, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        self.say("BARRIER=1", &[theirs.as_fd()])?;
        Ok(sign)
    }

    fn say(&self, words: &str, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        let fits =
            fds.len() <= FDS_MAX && (fds.is_empty() || beside.push(SendAncillaryMessage::ScmRights(fds)));
        if !fits {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "more descriptors than one word carries",
            ));
        }
        let words = [IoSlice::new(words.as_bytes())];
        sendmsg_addr(&self.socket, &self.manager, &words, &mut beside, SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

fn address(path: &OsStr) -> io::Result<SocketAddrUnix> {
    Ok(match path.as_bytes().split_first() {
        Some((b'@', name)) => SocketAddrUnix::new_abstract_name(name)?,
        Some(_) | None => SocketAddrUnix::new(path)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn descriptors_travel_beside_their_name() {
        let place = std::env::temp_dir().join(format!("sidewinder-store-{}", std::process::id()));
        let manager = UnixDatagram::bind(&place).expect("bound");
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None);
        let store = Store {
            socket: socket.expect("a socket"),
            manager: address(place.as_os_str()).expect("an address"),
        };
        let fd = || std::fs::File::open("/dev/null").expect("a file").into();
        store.keep("life.1", &[fd(), fd()]).expect("said");
        store.forget("life.1").expect("said");
        let mut word = [0; 256];
        let mut hear = || {
            let length = manager.recv(&mut word).expect("a word");
            String::from_utf8_lossy(&word[..length]).into_owned()
        };
        assert_eq!(hear(), "FDSTORE=1\nFDNAME=life.1\nFDPOLL=0");
        assert_eq!(hear(), "FDSTOREREMOVE=1\nFDNAME=life.1");
        assert!(store.keep("many", &(0..=FDS_MAX).map(|_| fd()).collect::<Vec<_>>()).is_err());
        std::fs::remove_file(place).expect("removed");
    }
}
