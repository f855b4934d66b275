//! The floor: processes of Python that give back what comes, for a bare echo that goes through one of them.
//!
//! No protocol, no deadline, no cancel, nobody who would notice a death: less than this no sidecar of tonic and Python
//! can do for a call.

use crate::served::tools;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;

#[derive(Debug)]
pub(crate) struct Mirrors {
    idle: Mutex<Vec<UnixStream>>,
    room: Semaphore,
}

impl Mirrors {
    /// Starts so many. To be called within a runtime.
    pub(crate) fn start(python: &OsStr, count: usize) -> io::Result<Self> {
        let idle = (0..count).map(|_| mirror(python)).collect::<io::Result<_>>()?;
        Ok(Self { idle: Mutex::new(idle), room: Semaphore::new(count) })
    }

    /// There and back, as soon as one is idle. A caller that hangs up takes its mirror with it.
    pub(crate) async fn echo(&self, body: &[u8]) -> io::Result<Vec<u8>> {
        let _room = self.room.acquire().await.map_err(io::Error::other)?;
        let mirror = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut mirror = mirror.ok_or_else(|| io::Error::other("no mirror is idle"))?;
        let mut answer = vec![0; body.len()];
        mirror.write_all(body).await?;
        mirror.read_exact(&mut answer).await?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(mirror);
        Ok(answer)
    }
}

/// It ends when the other end of its standard input does.
fn mirror(python: &OsStr) -> io::Result<UnixStream> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    let theirs = Stdio::from(OwnedFd::from(theirs));
    Command::new("setsid").arg(python).arg(tools().join("mirror.py")).stdin(theirs).spawn()?;
    ours.set_nonblocking(true)?;
    UnixStream::from_std(ours)
}
