//! The place of a unix socket in the file system: taken safely, given back when it is left.
//!
//! A socket file outlives its process, so whoever comes next finds one and has to know whether it is stale. Three
//! questions decide, and each "no" is a refusal that tells what to do:
//!
//! 1. **Is the directory ours?** It belongs to our user and nobody else can write there, so nobody can put anything
//!    in our way between the questions. A missing one is made, private.
//! 2. **Is no other daemon alive here?** A lock beside the socket is held for as long as the daemon lives. The lock file
//!    stays behind: removing it would let two daemons hold two locks of one name.
//! 3. **Is what lies there ours, and dead?** A socket of our user that nobody has bound any more. That is asked with a
//!    connect of the *wrong kind*, which a living socket refuses without its owner noticing.

use super::NotListening;
use super::keepsake::{KeptPlace, LeftPlace};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::fs::{self, DirBuilder, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The longest path that fits into the address of a unix socket.
const PATH_MAX: usize = 107;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;
/// Only our user (and root) may connect.
const PRIVATE: u16 = 0o600;
/// Everybody may knock; the list of users decides.
const SHARED: u16 = 0o666;

/// A socket file that is ours until this is dropped, and whoever else holds it.
#[derive(Debug)]
pub(crate) struct Place {
    held: Arc<Held>,
}

/// What is held of it.
#[derive(Debug)]
pub(super) struct Held {
    path: PathBuf,
    /// Device and inode: what is at the path later may be somebody else's.
    identity: (u64, u64),
    lock: OwnedFd,
    /// Another program of this process goes on with it.
    stays: AtomicBool,
}

impl Place {
    /// Binds a listening socket to `path`. With `shared`, other users can reach it.
    pub(crate) fn take(path: &Path, shared: bool) -> Result<(Self, UnixListener), NotListening> {
        if path.as_os_str().len() > PATH_MAX {
            return Err(refuse(path, format!("is longer than {PATH_MAX} bytes, which no socket can be")));
        }
        own_directory(directory_of(path), shared)?;
        let lock = lock(path)?;
        clear(path)?;
        let socket = bind(path, shared).map_err(|error| system("bind", path, error))?;
        let there = fs::symlink_metadata(path).map_err(|error| system("look at", path, error))?;
        let left = LeftPlace { path: path.to_owned(), identity: identity(&there), lock };
        Ok((Self::again(left), socket))
    }

    /// As another program of this process has left it.
    pub(crate) fn again(left: LeftPlace) -> Self {
        let LeftPlace { path, identity, lock } = left;
        Self { held: Arc::new(Held { path, identity, lock, stays: AtomicBool::new(false) }) }
    }

    pub(crate) fn kept(&self) -> KeptPlace {
        KeptPlace { held: self.held.clone() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.held.path
    }
}

impl KeptPlace {
    /// Leaves the file where it is, whatever becomes of the listener.
    pub fn leave(&self) -> io::Result<LeftPlace> {
        let Held { path, identity, lock, stays } = &*self.held;
        let left = LeftPlace { path: path.clone(), identity: *identity, lock: lock.try_clone()? };
        stays.store(true, Ordering::Relaxed);
        Ok(left)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.stays.load(Ordering::Relaxed) {
            return;
        }
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|there| identity(&there) == self.identity);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the socket");
        }
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn own_directory(directory: &Path, shared: bool) -> Result<(), NotListening> {
    let mode = if shared { 0o711 } else { 0o700 };
    DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(directory)
        .map_err(|error| system("make", directory, error))?;
    let there = fs::symlink_metadata(directory).map_err(|error| system("look at", directory, error))?;
    if !there.is_dir() {
        return Err(refuse(directory, "is not a directory of its own (a link, perhaps)"));
    }
    let user = rustix::process::geteuid().as_raw();
    if there.uid() != user {
        let owner = there.uid();
        return Err(refuse(
            directory,
            format!("belongs to user {owner}, not to {user}: give it away or take another"),
        ));
    }
    if there.mode() & 0o022 != 0 {
        return Err(refuse(directory, "can be written by others, who could replace the socket: chmod go-w"));
    }
    Ok(())
}

fn lock(path: &Path) -> Result<OwnedFd, NotListening> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(CWD, &name, flags, Mode::from_raw_mode(PRIVATE.into()))
        .map_err(|error| system("open", &name, error.into()))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(refuse(path, "is in use by another daemon")),
        Err(error) => Err(system("lock", &name, error.into())),
    }
}

/// Removes a stale socket. Everything else that lies there stays, and is a reason not to listen.
fn clear(path: &Path) -> Result<(), NotListening> {
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(system("look at", path, error)),
    };
    if !there.file_type().is_socket() {
        return Err(refuse(path, "is there and is no socket: it will not be removed"));
    }
    if there.uid() != rustix::process::geteuid().as_raw() {
        return Err(refuse(path, format!("is a socket of user {}: it will not be removed", there.uid())));
    }
    if !stale(path).map_err(|error| system("ask", path, error))? {
        return Err(refuse(path, "is a socket that another program has bound"));
    }
    fs::remove_file(path).map_err(|error| system("remove", path, error))
}

fn stale(path: &Path) -> io::Result<bool> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let asker = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
    match rustix::net::connect(&asker, &SocketAddrUnix::new(path)?) {
        Err(Errno::CONNREFUSED) => Ok(true),
        Ok(()) | Err(Errno::PROTOTYPE) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The mode is set on the socket before it has a name, so there is no moment in which it is too wide.
fn bind(path: &Path, shared: bool) -> io::Result<UnixListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::fs::fchmod(&socket, Mode::from_raw_mode(PRIVATE.into()))?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    if shared {
        rustix::fs::chmodat(CWD, path, Mode::from_raw_mode(SHARED.into()), rustix::fs::AtFlags::empty())?;
    }
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

fn refuse(path: &Path, why: impl Into<String>) -> NotListening {
    NotListening::Refused { place: path.display().to_string(), why: why.into() }
}

fn system(doing: &'static str, path: &Path, error: io::Error) -> NotListening {
    NotListening::System { doing, place: path.display().to_string(), error }
}
