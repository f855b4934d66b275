//! One attached client, as the daemon knows it beside the core.

use super::beats::{Beat, Beats};
use sidewinder_core::presence::{Epoch, LeaseId, LeaseView, Parting};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::watch;

/// Who a client is, in its own words and in those of the kernel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) node: String,
    pub(crate) run: String,
    pub(crate) pid: u32,
    pub(crate) origin: String,
    pub(crate) labels: BTreeMap<String, String>,
    /// It comes by a network.
    pub(crate) remote: bool,
    pub(crate) interval: Option<Duration>,
    pub(crate) ttl: Option<Duration>,
}

/// How a lease stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) epoch: Epoch,
    /// Why it is over.
    pub(crate) ended: Option<Parting>,
}

/// One attached client.
#[derive(Debug)]
pub(crate) struct Held {
    pub(super) id: LeaseId,
    pub(super) client: Client,
    pub(super) lease: watch::Sender<Lease>,
    attached: SystemTime,
    connected: AtomicBool,
    calls: AtomicU64,
    load: Mutex<Option<u32>>,
    beats: Mutex<Beats>,
}

/// A client as operators see it.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) lease: String,
    pub(crate) client: Client,
    pub(crate) view: LeaseView,
    pub(crate) attached: SystemTime,
    pub(crate) connected: bool,
    pub(crate) trips: [Option<Duration>; 2],
    pub(crate) load: Option<u32>,
    pub(crate) calls: u64,
}

impl Held {
    pub(super) fn new(id: LeaseId, client: Client, epoch: Epoch) -> Self {
        Self {
            id,
            client,
            lease: watch::Sender::new(Lease { epoch, ended: None }),
            attached: SystemTime::now(),
            connected: AtomicBool::new(true),
            calls: AtomicU64::new(0),
            load: Mutex::default(),
            beats: Mutex::default(),
        }
    }

    /// The next beat for this client.
    pub(crate) fn beat(&self) -> Beat {
        self.beats.lock().unwrap_or_else(PoisonError::into_inner).next(Instant::now())
    }

    pub(super) fn hear(&self, beat: Beat, load: Option<u32>) {
        self.beats.lock().unwrap_or_else(PoisonError::into_inner).hear(Instant::now(), beat);
        *self.load.lock().unwrap_or_else(PoisonError::into_inner) = load;
    }

    pub(super) fn connect(&self, connected: bool) {
        self.connected.store(connected, Ordering::Relaxed);
    }

    pub(super) fn call_begins(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn call_ends(&self) {
        self.calls.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn seen(&self, lease: String, view: LeaseView) -> Seen {
        let beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        Seen {
            lease,
            client: self.client.clone(),
            view,
            attached: self.attached,
            connected: self.connected.load(Ordering::Relaxed),
            trips: [beats.trip(50), beats.trip(99)],
            load: *self.load.lock().unwrap_or_else(PoisonError::into_inner),
            calls: self.calls.load(Ordering::Relaxed),
        }
    }
}
