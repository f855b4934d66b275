//! What must be true of leases, kept beside the machine and never asked from it.
//!
//! *Attended* time is time in which the daemon ran. The world knows it exactly, because it decides when the daemon is
//! stopped. The machine only sees that it was not driven for longer than it should have been.

use sidewinder_core::presence::{Deed, Epoch, Granted, LeaseId, Parting, PresenceRules, TICK};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// A driver that is a little late is no pause, and the end of a pause is seen with the next tick.
const LATE: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) run: String,
    pub(crate) epoch: Epoch,
    pub(crate) ttl: Duration,
    /// In attended time.
    pub(crate) heard: Duration,
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) rules: PresenceRules,
    /// Time in which the daemon ran.
    pub(crate) attended: Duration,
    pub(crate) leases: BTreeMap<LeaseId, Held>,
    pub(crate) ended: BTreeSet<LeaseId>,
    pub(crate) passing: u64,
    pub(crate) highest: u64,
    /// Who works with each worker: under which lease and epoch.
    pub(crate) owners: BTreeMap<u64, (LeaseId, Epoch)>,
    /// Since when nobody is there and that is counted, and for how long it may be.
    pub(crate) alone: Option<(Duration, Option<Duration>)>,
    pub(crate) released: bool,
    /// A goodbye or a death that was told in this step.
    pub(crate) told: Option<(LeaseId, Parting)>,
    digest: DefaultHasher,
}

impl Model {
    pub(crate) fn new(rules: PresenceRules) -> Self {
        Self {
            rules,
            attended: Duration::ZERO,
            leases: BTreeMap::new(),
            ended: BTreeSet::new(),
            passing: 0,
            highest: 0,
            owners: BTreeMap::new(),
            alone: None,
            released: false,
            told: None,
            digest: DefaultHasher::new(),
        }
    }

    pub(crate) fn digest(&self) -> u64 {
        self.digest.finish()
    }

    pub(crate) fn granted(&mut self, run: &str, granted: Granted) {
        assert!(granted.epoch.0 > self.highest, "{granted:?} is not above {}", self.highest);
        assert!(!self.ended.contains(&granted.lease), "{granted:?} was given before and has ended");
        let bounds = &self.rules.ttl;
        assert!(granted.ttl >= bounds.least && granted.ttl <= bounds.most, "{granted:?}");
        let known = self.leases.iter().find(|(_, held)| held.run == run).map(|(lease, _)| *lease);
        assert_eq!(granted.resumed.then_some(granted.lease), known, "{granted:?} for {run}");
        self.highest = granted.epoch.0;
        let (epoch, ttl, heard) = (granted.epoch, granted.ttl, self.attended);
        self.leases.insert(granted.lease, Held { run: run.to_owned(), epoch, ttl, heard });
        // What this client has goes on under the new epoch, and under no other one.
        for owner in self.owners.values_mut().filter(|owner| owner.0 == granted.lease) {
            owner.1 = epoch;
        }
        self.somebody();
    }

    pub(crate) fn somebody(&mut self) {
        self.alone = None;
    }

    pub(crate) fn gone(&mut self) {
        if self.leases.is_empty() && self.passing == 0 {
            self.alone = Some((self.attended, self.rules.no_client));
        }
    }

    pub(crate) fn heard(&mut self, lease: LeaseId, epoch: Epoch) {
        if let Some(held) = self.leases.get_mut(&lease).filter(|held| held.epoch == epoch) {
            held.heard = self.attended;
        }
    }

    /// A worker is given to a call of this lease, if that may have one.
    pub(crate) fn own(&mut self, worker: u64, lease: LeaseId, epoch: Epoch, admitted: bool) {
        let current = self.leases.get(&lease).map(|held| held.epoch);
        assert_eq!(admitted, current == Some(epoch), "{lease:?} of {epoch:?}, and current is {current:?}");
        if admitted {
            let taken = self.owners.insert(worker, (lease, epoch));
            if let Some((before, old)) = taken.filter(|(before, _)| *before == lease) {
                assert!(old <= epoch, "{before:?}: {old:?} gives way to {epoch:?}");
            }
        }
    }

    pub(crate) fn deed(&mut self, deed: Deed) {
        format!("{deed:?}").hash(&mut self.digest);
        match deed {
            Deed::End { lease, why } => self.on_end(lease, why),
            Deed::Overtake { lease, epoch } => {
                assert!(self.leases.get(&lease).is_some_and(|held| held.epoch < epoch), "{deed:?}");
            }
            Deed::Release { within } => {
                assert_eq!(within, self.rules.finish_grace);
                let (since, span) = self.alone.expect("somebody is there, and workers are let go");
                let span = span.expect("workers never leave by this rule");
                assert!(
                    self.attended.saturating_sub(since) >= span,
                    "{:?} is early: {span:?}",
                    self.attended.saturating_sub(since)
                );
                assert!(!self.released, "released twice");
                self.released = true;
            }
            Deed::Recall => {
                assert!(std::mem::take(&mut self.released), "nobody was released");
            }
            Deed::Exit => assert!(self.released && self.rules.exit_when_idle, "{self:?}"),
            Deed::TellNobody { .. } => assert!(self.leases.is_empty() && self.passing == 0, "{self:?}"),
            Deed::TellSomebody | Deed::TellStalled(_) => {}
        }
    }

    fn on_end(&mut self, lease: LeaseId, why: Parting) {
        let held = self.leases.remove(&lease).expect("a lease that is there");
        let silent = self.attended.saturating_sub(held.heard);
        if why == Parting::Expired {
            assert!(silent >= held.ttl, "{lease:?} ends early: {silent:?} of {:?}", held.ttl);
        } else {
            assert_eq!(self.told, Some((lease, why)));
        }
        self.ended.insert(lease);
        // Its calls are abandoned with it.
        self.owners.retain(|_, owner| owner.0 != lease);
        self.gone();
    }

    /// What must hold after each step in which the daemon ran. `slack` is how late it was driven this time.
    pub(crate) fn after(&mut self, slack: Duration) {
        let late = TICK + LATE + slack;
        for (lease, held) in &self.leases {
            let silent = self.attended.saturating_sub(held.heard);
            assert!(silent <= held.ttl + late, "{lease:?} ends late: {silent:?} of {:?}", held.ttl);
        }
        for (worker, (lease, epoch)) in &self.owners {
            let current = self.leases.get(lease).map(|held| held.epoch);
            assert_eq!(current, Some(*epoch), "worker {worker} is owned by {lease:?} of an older epoch");
        }
        if let Some((since, Some(span))) = self.alone.filter(|_| !self.released) {
            let alone = self.attended.saturating_sub(since);
            assert!(alone <= span + late, "nobody is there for {alone:?}, and workers stay");
        }
        assert!(!self.released || self.alone.is_some(), "somebody is there, and workers are gone");
        self.told = None;
    }
}
