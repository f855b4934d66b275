//! What goes through an execution: the program of this process is another one afterwards, and the process the same.
//!
//! Descriptors stay open under their numbers, and a sealed piece of memory lists them; where that lies says a variable,
//! together with the process that it is for. So the sockets listen all the time, nobody at the other end of a keeper or
//! a worker notices anything, and a program that is no successor closes nothing by mistake: it is never executed.

use super::shelf::Parcels;
use super::successor::Successor;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};
use rustix::io::{FdFlags, fcntl_setfd};
use serde::{Deserialize, Serialize};
use sidewinder_keeper_kernel::sys;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;

/// Names the process and the descriptor of the list: `PID:FD`.
const VARIABLE: &str = "SIDEWINDER_PASSED";
/// What a list may have: a line for each descriptor that a process can hold.
const LIST_MAX: u64 = 64 << 20;

/// Sockets that listen, and go on with it.
#[derive(Debug, Default)]
pub(crate) struct Doors {
    /// What a service manager has handed down: for calls, and for health alone.
    pub(crate) calls: Vec<OwnedFd>,
    pub(crate) health: Vec<OwnedFd>,
    pub(crate) unix: Option<UnixDoor>,
    pub(crate) tcp: Option<TcpDoor>,
}

/// A unix socket that the daemon has made itself.
#[derive(Debug)]
pub(crate) struct UnixDoor {
    pub(crate) socket: OwnedFd,
    /// What says that nobody else lives there.
    pub(crate) lock: OwnedFd,
    pub(crate) path: PathBuf,
    /// Device and inode of its file.
    pub(crate) identity: (u64, u64),
}

/// A TCP socket that the daemon has made itself.
#[derive(Debug)]
pub(crate) struct TcpDoor {
    pub(crate) socket: OwnedFd,
    /// Where it was wished for: the port may be one that the system has chosen.
    pub(crate) asked: SocketAddr,
}

/// What the program before this one has passed on.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    pub(crate) doors: Doors,
    pub(crate) parcels: Vec<(String, OwnedFd)>,
}

/// The same by numbers. Fields may be added; a reader skips those that it does not know.
#[derive(Debug, Serialize, Deserialize)]
struct List {
    calls: Vec<RawFd>,
    health: Vec<RawFd>,
    unix: Option<(RawFd, RawFd, PathBuf, (u64, u64))>,
    tcp: Option<(RawFd, SocketAddr)>,
    parcels: Vec<(String, Vec<RawFd>)>,
}

impl Passed {
    /// Takes what was passed on to this process. Called before there is a second thread.
    pub(crate) fn take() -> Result<Self, String> {
        let Ok(place) = std::env::var(VARIABLE) else { return Ok(Self::default()) };
        let wrong = |error: io::Error| format!("cannot take over from the program before this one: {error}");
        sys::forget_variable(VARIABLE).map_err(wrong)?;
        // Of another process, which has started this one.
        let Some(number) = number_in(&place, std::process::id()) else { return Ok(Self::default()) };
        let list = read(sys::take_inherited(number)).map_err(wrong)?;
        list.take().map_err(wrong)
    }
}

fn number_in(place: &str, own: u32) -> Option<RawFd> {
    let (process, number) = place.split_once(':')?;
    let number: RawFd = number.parse().ok()?;
    (process.parse() == Ok(own) && number > 2).then_some(number)
}

fn read(list: OwnedFd) -> io::Result<List> {
    if !fcntl_get_seals(&list)?.contains(SealFlags::WRITE) {
        return Err(io::Error::other("the list of what was passed on is not sealed"));
    }
    let mut file = File::from(list);
    file.rewind()?;
    let mut text = Vec::new();
    file.take(LIST_MAX).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

impl List {
    fn of(doors: &Doors, parcels: &Parcels) -> Self {
        let numbers = |fds: &[OwnedFd]| fds.iter().map(AsRawFd::as_raw_fd).collect::<Vec<_>>();
        let unix = doors
            .unix
            .as_ref()
            .map(|door| (door.socket.as_raw_fd(), door.lock.as_raw_fd(), door.path.clone(), door.identity));
        Self {
            calls: numbers(&doors.calls),
            health: numbers(&doors.health),
            unix,
            tcp: doors.tcp.as_ref().map(|door| (door.socket.as_raw_fd(), door.asked)),
            parcels: parcels.iter().map(|(name, fds)| (name.clone(), numbers(fds))).collect(),
        }
    }

    fn take(self) -> io::Result<Passed> {
        let one = |number: RawFd| {
            let fd = sys::take_inherited(number);
            // From here on nothing that is started inherits it.
            fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
            io::Result::Ok(fd)
        };
        let each = |numbers: Vec<RawFd>| numbers.into_iter().map(one).collect::<io::Result<Vec<_>>>();
        let unix = match self.unix {
            Some((socket, lock, path, identity)) => {
                Some(UnixDoor { socket: one(socket)?, lock: one(lock)?, path, identity })
            }
            None => None,
        };
        let tcp = match self.tcp {
            Some((socket, asked)) => Some(TcpDoor { socket: one(socket)?, asked }),
            None => None,
        };
        let mut parcels = Vec::new();
        for (name, numbers) in self.parcels {
            parcels.extend(each(numbers)?.into_iter().map(|fd| (name.clone(), fd)));
        }
        let doors = Doors { calls: each(self.calls)?, health: each(self.health)?, unix, tcp };
        Ok(Passed { doors, parcels })
    }
}

impl Doors {
    fn all(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let unix = self.unix.iter().flat_map(|door| [door.socket.as_fd(), door.lock.as_fd()]);
        let tcp = self.tcp.iter().map(|door| door.socket.as_fd());
        self.calls.iter().chain(&self.health).map(AsFd::as_fd).chain(unix).chain(tcp)
    }
}

/// Executes another program in the place of this one. Returns only to say why that failed.
pub(super) fn pass(to: &Successor, doors: &Doors, parcels: &Parcels) -> io::Error {
    let passed = || doors.all().chain(parcels.values().flatten().map(AsFd::as_fd));
    let list = match write(&List::of(doors, parcels)) {
        Ok(list) => list,
        Err(error) => return error,
    };
    let place = format!("{}:{}", std::process::id(), list.as_raw_fd());
    for fd in passed().chain([list.as_fd()]) {
        if let Err(error) = fcntl_setfd(fd, FdFlags::empty()) {
            return error.into();
        }
    }
    let error = to.execute(VARIABLE, &place);
    for fd in passed() {
        let _ = fcntl_setfd(fd, FdFlags::CLOEXEC);
    }
    error
}

fn write(list: &List) -> io::Result<OwnedFd> {
    let mut file =
        File::from(memfd_create("sidewinder-passed", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
    file.write_all(&serde_json::to_vec(list)?)?;
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handover::deed;
    use std::os::fd::IntoRawFd;
    use std::os::unix::net::UnixStream;

    fn fd() -> OwnedFd {
        UnixStream::pair().expect("sockets").0.into()
    }

    #[test]
    fn what_is_listed_is_taken_by_its_numbers() {
        let (path, asked) = (PathBuf::from("/a b.sock"), SocketAddr::from(([127, 0, 0, 1], 0)));
        let unix = UnixDoor { socket: fd(), lock: fd(), path: path.clone(), identity: (7, 8) };
        let doors = Doors {
            calls: vec![fd()],
            health: vec![fd()],
            unix: Some(unix),
            tcp: Some(TcpDoor { socket: fd(), asked }),
        };
        let parcels = Parcels::from([("life.1".to_owned(), vec![fd(), fd()])]);
        let inodes: Vec<u64> = doors.all().map(|fd| deed::inode(fd).expect("an inode")).collect();
        let again = read(write(&List::of(&doors, &parcels)).expect("written")).expect("whole");
        // The numbers have one owner, before the execution as after it.
        for fd in doors.calls.into_iter().chain(doors.health) {
            let _ = fd.into_raw_fd();
        }
        let (unix, tcp) = (doors.unix.expect("it"), doors.tcp.expect("it"));
        let _ = (unix.socket.into_raw_fd(), unix.lock.into_raw_fd(), tcp.socket.into_raw_fd());
        parcels.into_values().flatten().for_each(|fd| _ = fd.into_raw_fd());
        let Passed { doors, parcels } = again.take().expect("taken");
        assert_eq!(doors.all().map(|fd| deed::inode(fd).expect("an inode")).collect::<Vec<_>>(), inodes);
        assert_eq!(doors.unix.map(|door| (door.path, door.identity)), Some((path, (7, 8))));
        assert_eq!(doors.tcp.map(|door| door.asked), Some(asked));
        assert_eq!(parcels.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["life.1", "life.1"]);
    }

    #[test]
    fn a_list_of_the_first_build_is_read() {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("golden/passed.json")).expect("JSON");
        let mut later = golden.clone();
        later.as_object_mut().expect("fields").insert("later".to_owned(), true.into());
        let list: List = serde_json::from_value(later).expect("a list");
        assert_eq!(serde_json::to_value(&list).expect("JSON"), golden, "and the first build reads ours");
    }

    #[test]
    fn a_list_for_somebody_else_is_none() {
        assert_eq!(number_in("7:12", 7), Some(12));
        for place in ["7:12x", "7", "", "8:12", "7:2", "7:-1"] {
            assert_eq!(number_in(place, 7), None, "{place}");
        }
        assert!(read(fd()).is_err(), "no memory, and not sealed");
    }
}
