//! Where settings come from, so that they can be read again.

use super::settings::{Listen, PoolSettings, Settings};
use super::telemetry::Telemetry;
use crate::own::record;
use crate::own::subtree::Wish;
use crate::worker::command::Command;
use sidewinder_core::{Policy, Size};
use sidewinder_edge::limits::Limits;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

const DRAIN: Duration = Duration::from_secs(30);
/// More workers are wished for in a file, where their size can be thought about.
pub(crate) const WORKERS_MAX: u16 = 2048;

/// What the command line says; what it does not say is absent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    pub(crate) tools: Vec<String>,
    pub(crate) expose: Vec<String>,
    pub(crate) workers: Option<u16>,
    pub(crate) seats: Option<u16>,
    pub(crate) python: Option<PathBuf>,
    pub(crate) pool: Option<String>,
    pub(crate) socket: Option<PathBuf>,
    pub(crate) tcp: Option<SocketAddr>,
    pub(crate) insecure: bool,
    pub(crate) drain: Option<Duration>,
    pub(crate) namespace: Option<bool>,
    pub(crate) telemetry: Telemetry,
}

/// Where settings come from.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) overrides: Overrides,
}

impl Source {
    /// Reads the settings as they are written now. The text names every problem.
    pub(crate) fn read(&self) -> Result<Settings, String> {
        self.overrides.settings()
    }
}

impl Overrides {
    pub(super) fn settings(&self) -> Result<Settings, String> {
        let pool = self.pool_settings()?;
        let socket = match &self.socket {
            Some(socket) => std::path::absolute(socket),
            None => default_socket(),
        };
        Ok(Settings {
            listen: Listen {
                socket: socket.map_err(|error| error.to_string())?,
                users: Vec::new(),
                tcp: self.tcp,
                insecure: self.insecure,
            },
            limits: Limits::default(),
            drain: self.drain.unwrap_or(DRAIN),
            namespace: self.namespace.unwrap_or(true),
            cgroup: Wish::Auto,
            telemetry: self.telemetry.clone(),
            pools: BTreeMap::from([(self.pool.clone().unwrap_or_else(|| "default".to_owned()), pool)]),
        })
    }

    fn pool_settings(&self) -> Result<PoolSettings, String> {
        let processors = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let by_processors = || u16::try_from(processors()).unwrap_or(u16::MAX).min(WORKERS_MAX);
        let workers = self.workers.unwrap_or_else(by_processors);
        let size = Size::new(workers, workers, 0, 1).ok_or("--workers: too many")?;
        let policy = Policy { size, seats: self.seats.unwrap_or(1), ..Policy::default() };
        let policy = policy.check().map_err(|flaws| {
            let flaws = flaws.iter().map(|flaw| format!("{} must {}", flaw.name, flaw.must));
            flaws.collect::<Vec<_>>().join("; ")
        })?;
        let command = Command {
            python: self.python.clone(),
            tools: self.tools.clone(),
            expose: self.expose.clone(),
            seats: policy.seats,
            ..Command::default()
        };
        Ok(PoolSettings { policy, command, limits: Vec::new() })
    }
}

/// Where the daemon of this user listens, when nobody says otherwise.
pub(crate) fn default_socket() -> io::Result<PathBuf> {
    let runs = record::directory()?;
    Ok(runs.parent().unwrap_or(&runs).join("sidewinder.sock"))
}
