//! A descriptor in the runtime.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
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

/// Waits until this process is dead; for ever, if nothing is known of it.
pub(crate) async fn death_of(process: Option<Arc<OwnedFd>>) {
    let handle = process.and_then(|process| process.try_clone().ok());
    let watched = handle.and_then(|handle| watched(handle, Interest::READABLE).ok());
    match watched {
        Some(process) if process.readable().await.is_ok() => {}
        Some(_) | None => std::future::pending().await,
    }
}
