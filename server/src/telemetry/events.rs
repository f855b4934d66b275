//! The one door through which everything that happens is told.
//!
//! An event is numbered, written to the log, and sent to those who watch. Who watches too slowly loses the oldest and
//! learns how many: nobody makes the daemon wait, or hold more than [`BACKLOG`] events.

use sidewinder_core::Life;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;
use tokio::sync::broadcast;

/// The fact that makes an event a bad one, whatever has happened.
pub(crate) const PROBLEMS: &str = "problems";
/// Events that a slow watcher may be behind.
const BACKLOG: usize = 1024;

/// What can happen. The names are the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum What {
    WorkerStarted,
    WorkerReady,
    WorkerLeaving,
    WorkerKilled,
    WorkerGone,
    WorkerUnfit,
    WorkerSuspected,
    WorkerRecovered,
    WorkerUnkillable,
    WorkerAtLimit,
    MemoryPressure,
    MemoryRelief,
    SlotFatal,
    PoolPhase,
    PoolSaturated,
    PoolRecovered,
    PoolRenewed,
    PoolResized,
    KeyQuarantined,
    Reloaded,
    Upgrade,
    Stopping,
    ClientAttached,
    ClientResumed,
    ClientDetached,
    ClientDied,
    ClientExpired,
    Nobody,
    Somebody,
    Released,
    Stalled,
    Stray,
    ForkServerReady,
    ForkServerDown,
}

impl What {
    /// Everything that can happen, in the order of the names.
    pub(crate) const ALL: [Self; 34] = [
        Self::WorkerStarted,
        Self::WorkerReady,
        Self::WorkerLeaving,
        Self::WorkerKilled,
        Self::WorkerGone,
        Self::WorkerUnfit,
        Self::WorkerSuspected,
        Self::WorkerRecovered,
        Self::WorkerUnkillable,
        Self::WorkerAtLimit,
        Self::MemoryPressure,
        Self::MemoryRelief,
        Self::SlotFatal,
        Self::PoolPhase,
        Self::PoolSaturated,
        Self::PoolRecovered,
        Self::PoolRenewed,
        Self::PoolResized,
        Self::KeyQuarantined,
        Self::Reloaded,
        Self::Upgrade,
        Self::Stopping,
        Self::ClientAttached,
        Self::ClientResumed,
        Self::ClientDetached,
        Self::ClientDied,
        Self::ClientExpired,
        Self::Nobody,
        Self::Somebody,
        Self::Released,
        Self::Stalled,
        Self::Stray,
        Self::ForkServerReady,
        Self::ForkServerDown,
    ];

    /// The word that operators read.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WorkerStarted => "WORKER_STARTED",
            Self::WorkerReady => "WORKER_READY",
            Self::WorkerLeaving => "WORKER_LEAVING",
            Self::WorkerKilled => "WORKER_KILLED",
            Self::WorkerGone => "WORKER_GONE",
            Self::WorkerUnfit => "WORKER_UNFIT",
            Self::WorkerSuspected => "WORKER_SUSPECTED",
            Self::WorkerRecovered => "WORKER_RECOVERED",
            Self::WorkerUnkillable => "WORKER_UNKILLABLE",
            Self::WorkerAtLimit => "WORKER_AT_LIMIT",
            Self::MemoryPressure => "MEMORY_PRESSURE",
            Self::MemoryRelief => "MEMORY_RELIEF",
            Self::SlotFatal => "SLOT_FATAL",
            Self::PoolPhase => "POOL_PHASE",
            Self::PoolSaturated => "POOL_SATURATED",
            Self::PoolRecovered => "POOL_RECOVERED",
            Self::PoolRenewed => "POOL_RENEWED",
            Self::PoolResized => "POOL_RESIZED",
            Self::KeyQuarantined => "KEY_QUARANTINED",
            Self::Reloaded => "RELOADED",
            Self::Upgrade => "UPGRADE",
            Self::Stopping => "STOPPING",
            Self::ClientAttached => "CLIENT_ATTACHED",
            Self::ClientResumed => "CLIENT_RESUMED",
            Self::ClientDetached => "CLIENT_DETACHED",
            Self::ClientDied => "CLIENT_DIED",
            Self::ClientExpired => "CLIENT_EXPIRED",
            Self::Nobody => "NOBODY",
            Self::Somebody => "SOMEBODY",
            Self::Released => "RELEASED",
            Self::Stalled => "STALLED",
            Self::Stray => "STRAY",
            Self::ForkServerReady => "FORK_SERVER_READY",
            Self::ForkServerDown => "FORK_SERVER_DOWN",
        }
    }

    /// Whether an operator should look.
    pub(super) fn is_bad(self) -> bool {
        match self {
            Self::WorkerKilled
            | Self::WorkerUnfit
            | Self::WorkerSuspected
            | Self::WorkerUnkillable
            | Self::WorkerAtLimit
            | Self::MemoryPressure
            | Self::SlotFatal
            | Self::PoolSaturated
            | Self::KeyQuarantined
            | Self::ClientDied
            | Self::ClientExpired
            | Self::Stalled
            | Self::Stray
            | Self::ForkServerDown => true,
            Self::WorkerStarted
            | Self::WorkerReady
            | Self::WorkerLeaving
            | Self::WorkerGone
            | Self::WorkerRecovered
            | Self::MemoryRelief
            | Self::PoolPhase
            | Self::PoolRecovered
            | Self::PoolRenewed
            | Self::PoolResized
            | Self::Reloaded
            | Self::Upgrade
            | Self::Stopping
            | Self::ClientAttached
            | Self::ClientResumed
            | Self::ClientDetached
            | Self::Nobody
            | Self::Somebody
            | Self::Released
            | Self::ForkServerReady => false,
        }
    }
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) what: What,
    /// Absent: to the daemon.
    pub(crate) pool: Option<Arc<str>>,
    /// Absent: to the whole pool.
    pub(crate) worker: Option<Life>,
    /// In a sentence.
    pub(crate) text: String,
    pub(crate) facts: Vec<(&'static str, String)>,
}

impl Event {
    pub(crate) fn new(what: What, text: impl Into<String>) -> Self {
        Self { what, pool: None, worker: None, text: text.into(), facts: Vec::new() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.facts.push((name, value.to_string()));
        self
    }
}

/// An event with its place among the others.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) sequence: u64,
    pub(crate) at: SystemTime,
    pub(crate) event: Event,
}

/// Tells events.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    watchers: broadcast::Sender<Arc<Told>>,
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct Counts {
    all: AtomicU64,
    lost: AtomicU64,
    by_what: [AtomicU64; What::ALL.len()],
}

impl Default for Counts {
    fn default() -> Self {
        let by_what = std::array::from_fn(|_| AtomicU64::new(0));
        Self { all: AtomicU64::new(0), lost: AtomicU64::new(0), by_what }
    }
}

impl Default for Events {
    fn default() -> Self {
        Self { watchers: broadcast::Sender::new(BACKLOG), counts: Arc::default() }
    }
}

impl Events {
    pub(crate) fn tell(&self, event: Event) {
        log(&event);
        self.counts.by_what[event.what as usize].fetch_add(1, Ordering::Relaxed);
        let sequence = self.counts.all.fetch_add(1, Ordering::Relaxed) + 1;
        // Nobody may be watching.
        let _ = self.watchers.send(Arc::new(Told { sequence, at: SystemTime::now(), event }));
    }

    /// How often this was told.
    pub(crate) fn count(&self, what: What) -> u64 {
        self.counts.by_what[what as usize].load(Ordering::Relaxed)
    }

    /// A watcher was too slow.
    pub(crate) fn missed(&self, events: u64) {
        self.counts.lost.fetch_add(events, Ordering::Relaxed);
    }

    /// Events that watchers have missed.
    pub(crate) fn lost(&self) -> u64 {
        self.counts.lost.load(Ordering::Relaxed)
    }

    /// Everything that is told from now on.
    pub(crate) fn watch(&self) -> broadcast::Receiver<Arc<Told>> {
        self.watchers.subscribe()
    }
}

fn log(event: &Event) {
    let pool = event.pool.as_deref().unwrap_or_default();
    let worker = event.worker.map(|life| life.to_string()).unwrap_or_default();
    let (what, text) = (event.what.name(), &event.text);
    if event.what.is_bad() || event.facts.iter().any(|(name, _)| *name == PROBLEMS) {
        tracing::warn!(pool, worker, what, "{text}");
    } else {
        tracing::info!(pool, worker, what, "{text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_slow_learns_what_was_lost() {
        let events = Events::default();
        let mut watcher = events.watch();
        for _ in 0..BACKLOG + 3 {
            events.tell(Event::new(What::Stopping, "again"));
        }
        let lost = watcher.recv().await;
        assert!(matches!(lost, Err(broadcast::error::RecvError::Lagged(3))), "{lost:?}");
        assert_eq!(watcher.recv().await.expect("an event").sequence, 4);
    }
}
