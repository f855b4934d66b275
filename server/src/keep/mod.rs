//! One command, kept: the smallest owner there is.
//!
//! ```text
//! Starting ──Spawned──▶ Running ──asked to stop──▶ Stopping{kill_at} ──Gone──▶ over
//!     └──Failed──▶ over     └───────────────Gone──────────────────────────────▶ over
//! ```
//!
//! The owner watches three things: its caller (by pidfd), its keeper (by the lifeline) and its own signals. It is a
//! subreaper, so that a keeper that is killed leaves its wardens here to be waited for.

mod order;
mod report;
mod setup;
mod watch;

pub(crate) use order::{Graceful, Order};
pub(crate) use setup::caller;

use std::fmt;
use std::os::fd::OwnedFd;

/// Why nothing was kept.
#[derive(Debug)]
pub(crate) enum Error {
    NotFound(String),
    NotExecutable(String),
    Other(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(text) | Self::NotExecutable(text) | Self::Other(text) => f.write_str(text),
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Other(error.to_string())
    }
}

/// Carries an order out, and returns the status to exit with.
pub(crate) fn keep(order: Order, caller: Option<OwnedFd>) -> Result<u8, Error> {
    let mut watch = setup::set_up(order, caller)?;
    let result = watch.until_over();
    watch.clean_up();
    result
}
