//! What happens, told once: as an event to whoever watches, and as a line of the log.

pub(crate) mod events;

use crate::config::Telemetry;
use std::io::IsTerminal;

pub(crate) use events::{Event, Events, What};

/// The log of the daemon goes to standard error.
pub(crate) fn log_to_stderr(wish: &Telemetry) {
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_max_level(wish.log)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .with_target(false)
        .init();
}
