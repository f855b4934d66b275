//! Everything that is to be known before the daemon starts, checked.

use crate::endings::Rules;
use crate::lifecycle::Wishes;
use crate::own::limit::Limit;
use crate::own::subtree::Wish;
use crate::systemd::Rule;
use crate::telemetry::Telemetry;
use crate::worker::command::Command;
use sidewinder_core::Checked;
use sidewinder_edge::limits::Limits;
use sidewinder_edge::tls::Files;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The daemon and its pools.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) listen: Listen,
    /// What a client may make the daemon hold.
    pub(crate) limits: Limits,
    /// How long a stop lets calls go on.
    pub(crate) drain: Duration,
    /// Threads that pass calls on.
    pub(crate) threads: usize,
    /// Whether to use a PID namespace where there is one.
    pub(crate) namespace: bool,
    /// Where to build cgroups.
    pub(crate) cgroup: Wish,
    /// Whether workers outlive the daemon.
    pub(crate) live: bool,
    /// Whether they stay when another program goes on in its process.
    pub(crate) upgrade: bool,
    /// How long they wait for its next start.
    pub(crate) reattach: Duration,
    /// When a service manager is told that the daemon is ready.
    pub(crate) ready: Rule,
    pub(crate) telemetry: Telemetry,
    pub(crate) lifecycle: Wishes,
    /// What is kept of calls with a key.
    pub(crate) endings: Rules,
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
    /// What the TCP address has of TLS.
    pub(crate) tls: Option<Files>,
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
        let lifecycle = Wishes { mode: started.lifecycle.mode, ..self.lifecycle.clone() };
        *self = Self { lifecycle, pools, ..started.clone() };
    }
}
