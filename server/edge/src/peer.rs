//! Who is at the other end of a connection.
//!
//! Every request carries a [`Peer`] among its extensions. On a unix socket the kernel vouches for the user. It tells
//! the process id too, but only of whoever called `connect`: a hint for people, never a name to act upon. What can be
//! acted upon is a handle of that process, where the kernel gives one: it tells the death of whoever connected, also
//! when that left its end of the socket to somebody else.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The other end.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The connection, numbered from 0 in the order of arrival.
    pub connection: u64,
    /// Where it comes from.
    pub origin: Origin,
    /// The process that connected, as a pidfd: readable once it is dead. Absent: not to be known.
    pub process: Option<Arc<OwnedFd>>,
    /// Set once the connection is at its end, before any of its streams is: a stream that ends before was reset.
    pub broken: Arc<AtomicBool>,
}

/// How the process at the other end of a socket is known. Given by whoever may ask the kernel.
pub type Witness = fn(BorrowedFd<'_>) -> io::Result<OwnedFd>;

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This machine, by a unix socket.
    Unix {
        /// Its effective user when it connected.
        uid: u32,
        /// Its process then, if it can be seen from here.
        pid: Option<i32>,
    },
    /// The network.
    Tcp(SocketAddr),
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix { uid, pid: Some(pid) } => write!(out, "process {pid} of user {uid}"),
            Self::Unix { uid, pid: None } => write!(out, "user {uid}"),
            Self::Tcp(address) => write!(out, "{address}"),
        }
    }
}

/// Who may connect to a unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Users(BTreeSet<u32>);

impl Users {
    /// The user of this process, and root, who could do as that user anyway.
    pub fn private() -> Self {
        Self(BTreeSet::from([rustix::process::geteuid().as_raw(), 0]))
    }

    /// These and no others.
    pub fn only(uids: impl IntoIterator<Item = u32>) -> Self {
        Self(uids.into_iter().collect())
    }

    /// Whether somebody else than [`Users::private`] may connect.
    pub(crate) fn shared(&self) -> bool {
        !self.0.is_subset(&Self::private().0)
    }

    /// The network has no users: who may reach it is a matter of its address.
    pub(crate) fn allow(&self, origin: Origin) -> bool {
        match origin {
            Origin::Unix { uid, .. } => self.0.contains(&uid),
            Origin::Tcp(_) => true,
        }
    }
}
