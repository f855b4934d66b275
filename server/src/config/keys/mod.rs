//! The one table of keys. What is read, what is refused, what `print-config` says and what the documentation says
//! all come from it, so they cannot differ.

mod daemon;
pub(crate) mod form;
mod pool;

use super::problem::Wrong;
use super::reading::document::Node;
pub(crate) use daemon::{DAEMON, DaemonDraft};
pub(crate) use pool::{POOL, PoolDraft};

/// One key: how it is written, what it means, and where its value goes in a `T`.
pub(crate) struct Key<T: 'static> {
    /// With its tables, such as `line.waiting_max`.
    pub(crate) name: &'static str,
    /// How its value is written.
    pub(crate) said: &'static str,
    /// What holds without it, where that cannot be shown as a value; empty otherwise.
    pub(crate) absent: &'static str,
    /// A value that is not the default, as TOML.
    pub(crate) example: &'static str,
    pub(crate) meaning: &'static str,
    pub(super) set: fn(&mut T, &Node) -> Result<(), Wrong>,
    /// Nothing when the key is absent.
    pub(super) show: fn(&T) -> Option<String>,
}

/// The tables of the file that hold keys of the daemon itself, and what each is about.
pub(crate) const SECTIONS: [(&str, &str); 7] = [
    ("daemon", "The daemon itself."),
    ("lifecycle", "How tightly Python's life is bound to that of its clients, and when workers leave."),
    ("clients", "Clients that attach: leases and heartbeats."),
    ("endings", "Endings of calls with an idempotency key, for clients that come back."),
    ("listen", "Where clients find it, and who may connect."),
    ("limits", "What a client may make the daemon hold, and for how long."),
    ("telemetry", "What is told to the outside."),
];

/// The tables of a pool; the first is the pool's own.
pub(crate) const POOL_TABLES: [(&str, &str); 7] = [
    ("", "A pool: what it serves, and with how many workers. NAME has 1 to 64 of a-z, 0-9, _ and -."),
    ("line", "The waiting line."),
    ("restart", "What follows a death."),
    ("recycle", "When a worker has served long enough. Never in mid-call."),
    ("grace", "How long everybody is given to do as asked."),
    ("poison", "Calls that kill workers."),
    ("limits", "What each worker may use, as with `sidewinder keep --limit`."),
];

/// The flags of `sidewinder run` and their keys. A key without a dot and those after them are of the pool.
pub(crate) const FLAGS: [(&str, Of, &str); 32] = [
    ("--tools", Of::Pool, "tools"),
    ("--expose", Of::Pool, "expose"),
    ("--workers", Of::Pool, "workers"),
    ("--min", Of::Pool, "min"),
    ("--max", Of::Pool, "max"),
    ("--spare", Of::Pool, "spare"),
    ("--warm", Of::Pool, "warm"),
    ("--seats", Of::Pool, "seats"),
    ("--python", Of::Pool, "python"),
    ("--directory", Of::Pool, "directory"),
    ("--fork-server", Of::Pool, "fork_server"),
    ("--preload", Of::Pool, "preload"),
    ("--waiting-max", Of::Pool, "line.waiting_max"),
    ("--recycle-calls", Of::Pool, "recycle.calls"),
    ("--memory", Of::Pool, "limits.memory"),
    ("--mode", Of::Daemon, "lifecycle.mode"),
    ("--no-client-timeout", Of::Daemon, "lifecycle.no_client_timeout"),
    ("--startup-client-timeout", Of::Daemon, "lifecycle.startup_client_timeout"),
    ("--finish-grace", Of::Daemon, "lifecycle.finish_grace"),
    ("--exit-when-idle", Of::Daemon, "lifecycle.exit_when_idle"),
    ("--require-lease", Of::Daemon, "clients.require_lease"),
    ("--socket", Of::Daemon, "listen.socket"),
    ("--tcp", Of::Daemon, "listen.tcp"),
    ("--insecure", Of::Daemon, "listen.insecure"),
    ("--drain-timeout", Of::Daemon, "daemon.drain_timeout"),
    ("--namespace", Of::Daemon, "daemon.namespace"),
    ("--cgroup", Of::Daemon, "daemon.cgroup"),
    ("--log", Of::Daemon, "telemetry.log"),
    ("--log-format", Of::Daemon, "telemetry.log_format"),
    ("--prometheus", Of::Daemon, "telemetry.prometheus"),
    ("--otlp", Of::Daemon, "telemetry.otlp"),
    ("--otlp-interval", Of::Daemon, "telemetry.otlp_interval"),
];

/// A second name of a variable: what everybody tries first.
pub(crate) const SHORT: (&str, &str) = ("SIDEWINDER_LOG", "telemetry.log");

/// Whose key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Daemon,
    Pool,
}

/// The table of a key, and its name there.
pub(crate) fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}

/// The environment variable that overrides a key.
pub(crate) fn variable(of: Of, name: &str) -> String {
    let prefix = match of {
        Of::Daemon => "SIDEWINDER_",
        Of::Pool => "SIDEWINDER_POOL_",
    };
    format!("{prefix}{}", name.replace(['.', '-'], "_").to_uppercase())
}

macro_rules! key {
    ($form:ident $name:literal $($field:ident).+, $example:literal, $meaning:literal $(, absent $absent:literal)?) => {
        $crate::config::keys::Key {
            name: $name,
            said: <form::$form as form::Said>::SAID,
            absent: concat!($($absent)?),
            example: $example,
            meaning: $meaning,
            set: |draft, node| {
                draft.$($field).+ = <form::$form as form::Form<_>>::read(node)?;
                Ok(())
            },
            show: |draft| <form::$form as form::Form<_>>::show(&draft.$($field).+),
        }
    };
}
use key;
