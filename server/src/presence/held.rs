//! One attached client, as the daemon knows it beside the core.

use super::beats::{Beat, Beats, until_stroke};
use sidewinder_core::presence::{Epoch, Granted, LeaseId, LeaseView, Parting};
use sidewinder_edge::peer::Identity;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{Notify, watch};

/// Who a client is, in its own words and in those of the kernel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) node: String,
    pub(crate) run: String,
    pub(crate) pid: u32,
    pub(crate) origin: String,
    /// Who it is, as far as that is proved.
    pub(crate) who: Identity,
    /// Whom it is counted with.
    pub(crate) account: String,
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

/// One attached client. When it comes back to its lease, what it says of itself and its beats are new.
#[derive(Debug)]
pub(crate) struct Held {
    pub(super) id: LeaseId,
    pub(super) client: Client,
    pub(super) lease: Arc<watch::Sender<Lease>>,
    /// Of the lease, whichever of its streams they were begun under.
    calls: Arc<AtomicU64>,
    attached: SystemTime,
    connected: AtomicBool,
    beating: Mutex<Beating>,
    due: Notify,
}

#[derive(Debug)]
struct Beating {
    beats: Beats,
    load: Option<u32>,
    interval: Duration,
    /// Silent for this long, it is sent a beat.
    patience: Duration,
    told: Instant,
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
    pub(super) fn new(granted: &Granted, client: Client) -> Self {
        let lease = watch::Sender::new(Lease { epoch: granted.epoch, ended: None });
        Self::with(granted, client, Arc::new(lease), Arc::default())
    }

    /// The same lease, held by whoever has come back to it.
    pub(super) fn again(&self, granted: &Granted, client: Client) -> Self {
        Self::with(granted, client, self.lease.clone(), self.calls.clone())
    }

    fn with(
        granted: &Granted,
        client: Client,
        lease: Arc<watch::Sender<Lease>>,
        calls: Arc<AtomicU64>,
    ) -> Self {
        let beats = Beats::default();
        // Longer than the interval by what the answers to beats in time may come late.
        let patience = granted.interval + granted.interval / 4;
        Self {
            id: granted.lease,
            client,
            lease,
            calls,
            attached: SystemTime::now(),
            connected: AtomicBool::new(true),
            beating: Mutex::new(Beating {
                beats,
                load: None,
                interval: granted.interval,
                patience,
                told: Instant::now(),
            }),
            due: Notify::new(),
        }
    }

    fn beating(&self) -> MutexGuard<'_, Beating> {
        self.beating.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next beat for this client, and when it is asked for its own.
    pub(crate) fn beat(&self) -> (Beat, Duration) {
        let (mut beating, now) = (self.beating(), Instant::now());
        beating.told = now;
        let calendar = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        (beating.beats.next(now), until_stroke(calendar, beating.interval))
    }

    /// Waits until a beat is due although none was heard that it would answer.
    pub(crate) async fn beat_is_due(&self) {
        self.due.notified().await;
    }

    /// Asks for a beat, if it is time.
    pub(super) fn come_by(&self, now: Instant) {
        let mut beating = self.beating();
        if now.saturating_duration_since(beating.told) >= beating.patience {
            beating.told = now;
            self.due.notify_one();
        }
    }

    pub(super) fn hear(&self, beat: Beat, load: Option<u32>) {
        let mut beating = self.beating();
        beating.beats.hear(Instant::now(), beat);
        beating.load = load;
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
        let beating = self.beating();
        Seen {
            lease,
            client: self.client.clone(),
            view,
            attached: self.attached,
            connected: self.connected.load(Ordering::Relaxed),
            trips: [beating.beats.trip(50), beating.beats.trip(99)],
            load: beating.load,
            calls: self.calls.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(interval: Duration) -> Held {
        let granted =
            Granted { lease: LeaseId(1), epoch: Epoch(1), interval, ttl: interval * 5, resumed: false };
        Held::new(&granted, Client::default())
    }

    #[tokio::test]
    async fn a_beat_of_ours_is_due_when_there_was_nothing_to_answer_for_longer_than_the_interval() {
        let held = held(Duration::from_secs(4));
        let begun = Instant::now();
        let is_due = async || tokio::time::timeout(Duration::ZERO, held.beat_is_due()).await.is_ok();
        held.come_by(begun + Duration::from_millis(4_900));
        assert!(!is_due().await, "an answer may be as late as that");
        held.come_by(begun + Duration::from_millis(5_100));
        assert!(is_due().await);
        held.come_by(begun + Duration::from_millis(5_200));
        assert!(!is_due().await, "it is asked for once");
        held.beat();
        held.come_by(begun + Duration::from_millis(4_900));
        assert!(!is_due().await, "an answer is a beat");
    }
}
