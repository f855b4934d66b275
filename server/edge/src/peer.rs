//! Who is at the other end of a connection.
//!
//! Every request carries a [`Peer`] among its extensions. On a unix socket the kernel vouches for the user. It tells
//! the process id too, but only of whoever called `connect`: a hint for people, never a name to act upon. What can be
//! acted upon is a handle of that process, where the kernel gives one: it tells the death of whoever connected, also
//! when that left its end of the socket to somebody else.

mod identity;

pub use identity::Identity;

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// The other end.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The connection, numbered from 0 in the order of arrival.
    pub connection: u64,
    /// Where it comes from.
    pub origin: Origin,
    /// The same in words, made once for all of its calls.
    pub name: Arc<str>,
    /// The subject of its certificate, as DER, if it had to show one.
    pub subject: Option<Arc<[u8]>>,
    /// The process that connected, as a pidfd: readable once it is dead. Absent: not to be known.
    pub process: Option<Arc<OwnedFd>>,
    /// How its connection does.
    pub pulse: Arc<Pulse>,
}

impl Peer {
    /// Who it is.
    pub fn identity(&self) -> Identity {
        match (self.origin, &self.subject) {
            (Origin::Unix { uid, .. }, _) => Identity::User(uid),
            (Origin::Tcp(_), Some(subject)) => Identity::Subject(subject.clone()),
            (Origin::Tcp(_), None) => Identity::Anybody,
        }
    }

    /// Whom to count it with, where one may have so many. On the network that is an address; a machine has as many of the
    /// sixth version as it likes, all with the same first half.
    pub fn account(&self) -> String {
        match (self.identity(), self.origin) {
            (Identity::Anybody, Origin::Tcp(address)) => match address.ip().to_canonical() {
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(address) => {
                    let [one, two, three, four, ..] = address.segments();
                    format!("{one:x}:{two:x}:{three:x}:{four:x}::/64")
                }
            },
            (identity, _) => identity.to_string(),
        }
    }
}

/// What was read last says why a stream of a connection has ended: a reset has just come in, or nothing comes any more.
#[derive(Debug, Default)]
pub struct Pulse {
    broken: AtomicBool,
    /// Milliseconds since the first pulse of this process.
    read: AtomicU64,
}

impl Pulse {
    /// A reset that ends a stream was read not longer ago than this.
    const FRESH: u64 = 1_000;

    pub(crate) fn has_read(&self) {
        self.read.store(millis(), Ordering::Relaxed);
    }

    pub(crate) fn breaks(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    /// Whether the connection is at its end.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Whether a stream that has ended now has lost its client, and was not reset by it.
    pub fn is_lost(&self) -> bool {
        self.is_broken() || millis().saturating_sub(self.read.load(Ordering::Relaxed)) > Self::FRESH
    }
}

fn millis() -> u64 {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    u64::try_from(BEGIN.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
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
