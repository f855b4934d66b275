//! Sockets that a service manager has opened for us.
//!
//! They are told apart by the names that their units give them (`FileDescriptorName=`), and by what they are: one unit
//! can open a unix socket and a TCP one under one name. A client can connect before there is a daemon, and waits in the
//! backlog; so the files of these sockets are not ours to make, replace or remove.
//!
//! What nobody knows is closed, and taken out of the manager's store in case it lies there: a descriptor that is kept by
//! mistake keeps its other end alive.
//!
//! `LISTEN_PID` is checked and names are paired by `sd-notify`; `listenfd` proves what each descriptor is, owns it, and
//! removes the variables.

use listenfd::ListenFd;
use rustix::net::AddressFamily;
use rustix::net::sockopt::{socket_acceptconn, socket_domain};
use sidewinder_keeper_kernel::sys;
use std::fmt;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;

/// Calls, and everything else.
const CALLS: &str = "grpc";
/// Health alone, for who may ask only that.
const HEALTH: &str = "health";
/// What a daemon has left for its successor: a keeper, a life.
const PARCELS: [&str; 2] = ["keeper.", "life."];
/// What `sd-notify` calls those that come without names, as by `systemd-socket-activate`.
const NAMELESS: &str = "unknown";
/// A unit that names nothing gives its own name.
const UNIT: &str = ".socket";

const NAMES: &str = "LISTEN_FDNAMES";

/// What was handed down.
#[derive(Debug, Default)]
pub(crate) struct Handed {
    pub(crate) calls: Vec<Door>,
    pub(crate) health: Vec<Door>,
    /// What an earlier daemon has left in the manager's store.
    pub(crate) parcels: Vec<(String, OwnedFd)>,
    /// Names of what was closed again.
    pub(crate) unknown: Vec<String>,
}

/// A socket that listens.
#[derive(Debug)]
pub(crate) enum Door {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Door {
    /// A socket that listened before, in the program before this one.
    pub(crate) fn again(socket: OwnedFd) -> io::Result<Self> {
        Ok(match socket_domain(&socket)? {
            AddressFamily::UNIX => Self::Unix(socket.into()),
            _ => Self::Tcp(socket.into()),
        })
    }
}

impl fmt::Display for Door {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(socket) => match socket.local_addr().ok().as_ref().map(|own| own.as_pathname()) {
                Some(Some(path)) => write!(out, "{}", path.display()),
                Some(None) | None => out.write_str("an unnamed unix socket"),
            },
            Self::Tcp(socket) => match socket.local_addr() {
                Ok(address) => write!(out, "{address}"),
                Err(error) => write!(out, "a TCP socket ({error})"),
            },
        }
    }
}

/// What a socket of this name is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Calls,
    Health,
    Parcel,
}

fn purpose(name: &str) -> Option<Purpose> {
    match name {
        CALLS | NAMELESS => Some(Purpose::Calls),
        HEALTH => Some(Purpose::Health),
        unit if unit.ends_with(UNIT) => Some(Purpose::Calls),
        parcel if PARCELS.iter().any(|kind| parcel.starts_with(kind)) => Some(Purpose::Parcel),
        _ => None,
    }
}

impl Handed {
    /// Takes what is meant for this process. Called before there is a second thread.
    pub(crate) fn take() -> Result<Self, String> {
        let wrong = |error: io::Error| format!("cannot take the sockets that were handed down: {error}");
        let mut handed = Self::default();
        // Names without descriptors are those of another process.
        if sd_notify::listen_fds().map_err(wrong)?.len() == 0 {
            return Ok(handed);
        }
        let listed = sd_notify::listen_fds_with_names().map_err(wrong)?;
        let mut given = ListenFd::from_env();
        sys::forget_variable(NAMES).map_err(wrong)?;
        for (index, (fd, name)) in listed.enumerate() {
            match purpose(&name) {
                Some(Purpose::Calls) => handed.calls.push(door(&mut given, index, &name)?),
                Some(Purpose::Health) => handed.health.push(door(&mut given, index, &name)?),
                Some(Purpose::Parcel) => handed.parcels.push((name, sys::take_inherited(fd))),
                None => {
                    sys::close_inherited(fd);
                    handed.unknown.push(name);
                }
            }
        }
        Ok(handed)
    }

    /// Whether nothing was meant for this process.
    pub(crate) fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.health.is_empty()
    }

    /// Whether clients of every kind find a unix socket among them.
    pub(crate) fn has_unix(&self) -> bool {
        self.calls.iter().any(|door| matches!(door, Door::Unix(_)))
    }
}

/// The socket at this place, which has to listen.
fn door(given: &mut ListenFd, index: usize, name: &str) -> Result<Door, String> {
    let unfit = || {
        format!(
            "the socket `{name}` that was handed down is no stream socket that listens: \
             write ListenStream= and Accept=no in its unit"
        )
    };
    let unix = given.take_unix_listener(index).ok().flatten().map(Door::Unix);
    let door = match unix {
        Some(unix) => Some(unix),
        None => given.take_tcp_listener(index).ok().flatten().map(Door::Tcp),
    };
    let door = door.ok_or_else(unfit)?;
    let fd = match &door {
        Door::Unix(socket) => socket.as_fd(),
        Door::Tcp(socket) => socket.as_fd(),
    };
    if socket_acceptconn(fd).is_ok_and(|listens| listens) { Ok(door) } else { Err(unfit()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_told_apart_by_name() {
        for name in ["grpc", "unknown", "sidewinder.socket", "sidewinder@blue.socket"] {
            assert_eq!(purpose(name), Some(Purpose::Calls), "{name}");
        }
        assert_eq!(purpose("health"), Some(Purpose::Health));
        assert_eq!(purpose("life.0a.1"), Some(Purpose::Parcel));
        for name in ["", "metrics", "lifeline-1", "socket", "connection"] {
            assert_eq!(purpose(name), None, "{name}");
        }
    }
}
