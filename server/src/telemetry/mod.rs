//! What happens, told once: as an event to whoever watches, and as a line of the log.

#[cfg(test)]
mod document;
pub(crate) mod events;
pub(crate) mod log;
pub(crate) mod masked;
pub(crate) mod metrics;
mod receiver;
mod traces;
mod wishes;

pub(crate) use events::{Event, Events, What};
pub(crate) use log::Log;
pub(crate) use metrics::Metrics;
pub(crate) use traces::Origin;
pub(crate) use wishes::{LogFormat, Telemetry};
