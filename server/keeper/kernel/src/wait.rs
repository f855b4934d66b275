//! Waiting until descriptors have something to say.

use rustix::event::PollFd;
use rustix::fs::Timespec;
use std::io;
use std::time::Duration;

/// Waits for one of them, at most so long. A signal ends it early: then nobody is ready.
pub fn poll(fds: &mut [PollFd<'_>], patience: Option<Duration>) -> io::Result<()> {
    let patience = patience.map(|patience| Timespec {
        tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: patience.subsec_nanos().into(),
    });
    match rustix::event::poll(fds, patience.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
