//! A descriptor in the runtime.

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Has the runtime watch a descriptor that it owns from now on.
#[expect(
    deprecated,
    reason = "what is unsound is a descriptor that lies about its number; an OwnedFd does not"
)]
pub(crate) fn watched(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, interest)
}

/// Has the runtime watch a process. What comes of it is to be waited for, and comes when it is dead.
pub(crate) fn death_of(process: &OwnedFd) -> io::Result<impl Future<Output = ()> + Send + use<>> {
    let process = watched(process.try_clone()?, Interest::READABLE)?;
    Ok(async move {
        // A runtime that is on its way out tells of nobody's death.
        if process.readable().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
