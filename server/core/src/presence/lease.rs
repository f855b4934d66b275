//! One client's promise to be alive.

use super::Moment;
use super::snapshot::LeaseView;
use std::sync::Arc;
use std::time::Duration;

/// The name of a lease. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub u64);

/// Fences whoever comes back late. Each grant has a greater one than all before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Which run of which client it is: the same one comes back to its lease.
    pub run: Arc<str>,
    /// Who is behind it, as far as that can be told: one holds a bounded number of leases.
    pub peer: Arc<str>,
    /// How often it wants to beat.
    pub interval: Option<Duration>,
    /// How long its lease is to hold.
    pub ttl: Option<Duration>,
    /// It comes by a network.
    pub remote: bool,
}

/// What a client is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Its lease.
    pub lease: LeaseId,
    /// The epoch of its lease from now on.
    pub epoch: Epoch,
    /// How often it is to beat.
    pub interval: Duration,
    /// How long its lease holds after it was heard.
    pub ttl: Duration,
    /// It had this lease before.
    pub resumed: bool,
}

/// Why a lease has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// Its client was not heard for as long as it holds.
    Expired,
    /// Its client is dead.
    Died,
    /// Its client has said goodbye.
    Left,
}

#[derive(Debug)]
pub(super) struct Lease {
    pub(super) run: Arc<str>,
    pub(super) peer: Arc<str>,
    pub(super) epoch: Epoch,
    interval: Duration,
    ttl: Duration,
    heard: Moment,
    beats: u64,
    missed: u64,
}

impl Lease {
    pub(super) fn new(
        moment: Moment,
        asked: &Asked,
        epoch: Epoch,
        (interval, ttl): (Duration, Duration),
    ) -> Self {
        let (run, peer) = (asked.run.clone(), asked.peer.clone());
        Self { run, peer, epoch, interval, ttl, heard: moment, beats: 0, missed: 0 }
    }

    pub(super) fn renew(&mut self, moment: Moment, epoch: Epoch, interval: Duration, ttl: Duration) {
        (self.epoch, self.interval, self.ttl) = (epoch, interval, ttl);
        (self.heard, self.beats, self.missed) = (moment, 0, 0);
    }

    pub(super) fn heard(&mut self, moment: Moment) {
        self.missed = self.missed_by(moment);
        self.heard = moment;
        self.beats += 1;
    }

    pub(super) fn ends(&self) -> Moment {
        self.heard + self.ttl
    }

    /// Whole intervals without a word, but for the one in which the next word is due.
    fn missed_by(&self, moment: Moment) -> u64 {
        let silent = moment.saturating_sub(self.heard).as_nanos();
        let intervals = silent / self.interval.as_nanos().max(1);
        self.missed + u64::try_from(intervals).unwrap_or(u64::MAX).saturating_sub(1)
    }

    pub(super) fn view(&self, moment: Moment) -> LeaseView {
        LeaseView {
            epoch: self.epoch,
            interval: self.interval,
            ttl: self.ttl,
            heard_ago: moment.saturating_sub(self.heard),
            beats: self.beats,
            missed: self.missed_by(moment),
        }
    }
}
