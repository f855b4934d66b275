//! What somebody wished for, from wherever they wrote it, as settings that make sense.
//!
//! ```text
//!   file, environment, flags ──▶ Source::read ──▶ Settings, or every problem at once
//!   old Settings, new Settings ──▶ Changes ──▶ what a reload does
//! ```

mod change;
mod settings;
mod source;
mod telemetry;
pub(crate) mod time;

pub(crate) use change::{Change, Changes};
pub(crate) use settings::{Listen, PoolSettings, Settings};
pub(crate) use source::{Overrides, Source, WORKERS_MAX, default_socket};
pub(crate) use telemetry::{LogFormat, Telemetry};
