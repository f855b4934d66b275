//! What goes on listening when this program ends and another one goes on in its process.

use super::place::Held;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

/// A second hold of a socket that listens. Whoever comes while nobody accepts waits.
#[derive(Debug)]
pub struct Keepsake {
    /// The socket.
    pub socket: OwnedFd,
    /// Where its file is; nothing, if it has none of ours.
    pub place: Option<KeptPlace>,
}

/// A second hold of a socket file: it goes when the listener and this have gone.
#[derive(Debug)]
pub struct KeptPlace {
    pub(super) held: Arc<Held>,
}

/// A socket file for whoever goes on.
#[derive(Debug)]
pub struct LeftPlace {
    /// Where it is.
    pub path: PathBuf,
    /// Its device and inode.
    pub identity: (u64, u64),
    /// What says that nobody else lives there.
    pub lock: OwnedFd,
}
