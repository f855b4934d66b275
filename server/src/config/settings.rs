//! Everything that is to be known before the daemon starts, checked.

use crate::own::limit::Limit;
use crate::own::subtree::Wish;
use crate::worker::command::Command;
use sidewinder_core::Checked;
use sidewinder_edge::limits::Limits;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tracing::level_filters::LevelFilter;

/// The daemon and its pools.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) listen: Listen,
    /// What a client may make the daemon hold.
    pub(crate) limits: Limits,
    pub(crate) telemetry: Telemetry,
    /// How long a stop lets calls go on.
    pub(crate) drain: Duration,
    /// Whether to use a PID namespace where there is one.
    pub(crate) namespace: bool,
    /// Where to build cgroups.
    pub(crate) cgroup: Wish,
    pub(crate) pools: BTreeMap<String, PoolSettings>,
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) socket: PathBuf,
    /// Users who may connect to the socket, beside the daemon's own and root.
    pub(crate) users: Vec<u32>,
    pub(crate) tcp: Option<SocketAddr>,
    /// Whether a public address may go without TLS.
    pub(crate) insecure: bool,
}

/// What is told to the outside, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Telemetry {
    /// The least important line that is logged.
    pub(crate) log: LevelFilter,
    pub(crate) log_format: LogFormat,
    /// Where to serve metrics to Prometheus; absent: nowhere.
    pub(crate) prometheus: Option<SocketAddr>,
    /// Where to send traces to, as an http URL; absent: nowhere.
    pub(crate) otlp: Option<String>,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { log: LevelFilter::INFO, log_format: LogFormat::Auto, prometheus: None, otlp: None }
    }
}

/// How a line of the log looks.
#[expect(dead_code, reason = "only a file can ask for another form")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people at a terminal, JSON elsewhere.
    Auto,
    Human,
    Json,
}

/// One pool.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PoolSettings {
    pub(crate) policy: Checked,
    pub(crate) command: Command,
    /// What each worker may use.
    pub(crate) limits: Vec<Limit>,
}

impl Settings {
    /// What holds for the whole life of a daemon stays as it was when it started.
    pub(crate) fn keep_fixed(&mut self, started: &Self) {
        let pools = std::mem::take(&mut self.pools);
        *self = Self { pools, ..started.clone() };
    }
}
