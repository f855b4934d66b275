//! What the daemon shows of itself, and where.

use std::net::SocketAddr;
use std::time::Duration;

const OTLP_INTERVAL: Duration = Duration::from_mins(1);

/// Logs, metrics, traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Telemetry {
    /// What is logged: a level, or `target=level` with commas between.
    pub(crate) log: String,
    pub(crate) log_format: LogFormat,
    /// Where metrics can be fetched.
    pub(crate) prometheus: Option<SocketAddr>,
    /// Where metrics and spans are sent.
    pub(crate) otlp: Option<String>,
    /// How often metrics are sent.
    pub(crate) otlp_interval: Duration,
    /// Of a hundred calls whose caller says nothing of a trace, so many begin one. With none there are no spans at all.
    pub(crate) trace_percent: u8,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people on a terminal, entries in a journal, JSON elsewhere.
    #[default]
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            log: "info".to_owned(),
            log_format: LogFormat::Auto,
            prometheus: None,
            otlp: None,
            otlp_interval: OTLP_INTERVAL,
            trace_percent: 100,
        }
    }
}
