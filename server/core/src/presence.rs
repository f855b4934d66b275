//! Who is there: leases, and what it means that nobody is.
//!
//! ```text
//!   attach ─▶ lease ──heard, heard, …──▶ ends: expired, died, left
//!                                            │ the last one, and no call of a passer-by
//!   Starting ─▶ Present ◀──somebody──┐       ▼
//!       └──ready, nobody──▶ Counting ┴─▶ Released ─▶ (nothing left) ─▶ exit
//! ```
//!
//! A lease ends when its client was not heard for its time to live. Time in which this process itself did not run is
//! nobody's fault: whoever drives the machine comes by at least once in a [`TICK`] while anything is counted, so a
//! longer pause was our own, and everything that is counted is put off by it. That is done by a clock of our own,
//! which stands still with us.
//!
//! An *epoch* fences. Each grant has a greater one than all before, also when a client comes back to a lease that it
//! still has, so whoever speaks with an older one has been overtaken by itself.

mod lease;
mod rules;
mod snapshot;
#[cfg(test)]
mod tests;
mod words;

pub use lease::{Asked, Epoch, Granted, LeaseId, Parting};
pub use rules::{Bounds, CheckedPresence, PresenceRules};
pub use snapshot::{Attendance, LeaseView};
pub use words::{Deed, Denied, Fact, Fenced};

use lease::Lease;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Whoever drives the machine comes by this often while anything is counted.
pub const TICK: Duration = Duration::from_millis(150);
/// Coming by this much later than that is a pause of our own.
const LATE: Duration = Duration::from_millis(50);

/// Moments of the clock that stands still when we do.
type Moment = Duration;

/// What is done about nobody being there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// Nobody has come yet, and the pools are not ready.
    Starting,
    /// Somebody is there.
    Present,
    /// Nobody is there.
    Counting,
    /// Nobody came: the workers are leaving, or have left.
    Released,
}

/// Whether anybody has been there, and whether it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Company {
    /// Nobody has come yet.
    Never,
    /// It was told last that nobody is there, or nothing was told.
    Untold,
    /// It was told last that somebody is there.
    Told,
}

/// Everybody who is there.
#[derive(Debug)]
pub struct Presence {
    rules: CheckedPresence,
    begin: Instant,
    /// The latest time anybody has told.
    now: Instant,
    /// How long we have stood still.
    stood: Duration,
    leases: BTreeMap<LeaseId, Lease>,
    by_run: BTreeMap<Arc<str>, LeaseId>,
    /// How many each peer holds.
    by_peer: BTreeMap<Arc<str>, usize>,
    ends: BTreeSet<(Moment, LeaseId)>,
    next_lease: u64,
    epoch: Epoch,
    /// Calls of those without a lease.
    passing: u64,
    watch: Watch,
    /// When the workers leave.
    leave_at: Option<Moment>,
    company: Company,
    /// The last time we came by was late already.
    starved: bool,
    stopping: bool,
}

impl Presence {
    /// Nobody is there. Epochs begin above `epoch`, so that those of an earlier run are old.
    pub fn new(now: Instant, rules: CheckedPresence, epoch: u64) -> Self {
        Self {
            rules,
            begin: now,
            now,
            stood: Duration::ZERO,
            leases: BTreeMap::new(),
            by_run: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            ends: BTreeSet::new(),
            next_lease: 1,
            epoch: Epoch(epoch),
            passing: 0,
            watch: Watch::Starting,
            leave_at: None,
            company: Company::Never,
            starved: false,
            stopping: false,
        }
    }

    /// A client wants a lease. With the run of one that has not ended it goes on with that.
    pub fn attach(&mut self, now: Instant, asked: Asked, deeds: &mut Vec<Deed>) -> Result<Granted, Denied> {
        self.wake(now, deeds);
        let known = self.by_run.get(&asked.run).copied();
        if known.is_none() && self.leases.len() >= self.rules.clients_max {
            return Err(Denied::Full);
        }
        let held = self.by_peer.get(&asked.peer).copied().unwrap_or(0);
        if known.is_none() && held >= self.rules.per_peer {
            return Err(Denied::Crowded);
        }
        self.epoch.0 += 1;
        let epoch = self.epoch;
        let (interval, ttl) = self.rules.agree(asked.interval, asked.ttl, asked.remote);
        let id = known.unwrap_or(LeaseId(self.next_lease));
        let moment = self.moment();
        if let Some(lease) = self.leases.get_mut(&id) {
            self.ends.remove(&(lease.ends(), id));
            lease.renew(moment, epoch, interval, ttl);
            self.ends.insert((lease.ends(), id));
            deeds.push(Deed::Overtake { lease: id, epoch });
        } else {
            self.next_lease += 1;
            let lease = Lease::new(moment, &asked, epoch, (interval, ttl));
            self.ends.insert((lease.ends(), id));
            self.leases.insert(id, lease);
            self.by_run.insert(asked.run, id);
            *self.by_peer.entry(asked.peer).or_default() += 1;
            self.somebody(true, deeds);
        }
        Ok(Granted { lease: id, epoch, interval, ttl, resumed: known.is_some() })
    }

    /// Whether a call may say that it belongs to this lease. It counts as a beat.
    pub fn admit(
        &mut self,
        now: Instant,
        lease: LeaseId,
        epoch: Epoch,
        deeds: &mut Vec<Deed>,
    ) -> Result<(), Fenced> {
        self.wake(now, deeds);
        match self.leases.get(&lease) {
            None => Err(Fenced::Expired),
            Some(held) if held.epoch > epoch => Err(Fenced::Stale),
            Some(held) if held.epoch < epoch => Err(Fenced::Expired),
            Some(_) => {
                self.on_heard(lease);
                Ok(())
            }
        }
    }

    /// Records a fact and decides what to do about it.
    pub fn handle(&mut self, now: Instant, fact: Fact, deeds: &mut Vec<Deed>) {
        self.wake(now, deeds);
        match fact {
            Fact::Heard(lease, epoch) => {
                if self.door(lease, epoch) {
                    self.on_heard(lease);
                }
            }
            Fact::Left(lease, epoch) => {
                if self.door(lease, epoch) {
                    self.end(lease, Parting::Left, deeds);
                }
            }
            Fact::Died(lease, epoch) => {
                if self.door(lease, epoch) {
                    self.end(lease, Parting::Died, deeds);
                }
            }
            Fact::Came => {
                self.passing += 1;
                self.somebody(false, deeds);
            }
            Fact::Went => {
                self.passing = self.passing.saturating_sub(1);
                self.nobody(deeds);
            }
            Fact::Ready => {
                if self.watch == Watch::Starting {
                    self.count(self.rules.startup, deeds);
                }
            }
            Fact::Stopping => self.stopping = true,
            Fact::Emptied => {
                if self.watch == Watch::Released && self.rules.exit_when_idle {
                    deeds.push(Deed::Exit);
                }
            }
        }
    }

    /// Does what is due. To be called at [`Presence::next_deadline`]; coming early or twice is harmless.
    pub fn handle_timeout(&mut self, now: Instant, deeds: &mut Vec<Deed>) {
        self.wake(now, deeds);
    }

    /// The next moment at which [`Presence::handle_timeout`] has to be called.
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.stopping {
            return None;
        }
        let due = [self.ends.first().map(|&(at, _)| at), self.leave_at].into_iter().flatten().min()?;
        Some((self.begin + due + self.stood).min(self.now + TICK))
    }

    /// Other rules. They hold for leases from their next grant, and for the count at once.
    pub fn amend(&mut self, now: Instant, rules: CheckedPresence, deeds: &mut Vec<Deed>) {
        self.wake(now, deeds);
        let came = self.company != Company::Never;
        let span = |rules: &PresenceRules| if came { rules.no_client } else { rules.startup };
        let before = span(&self.rules);
        let after = span(&rules);
        self.rules = rules;
        if before != after && self.watch == Watch::Counting {
            self.count(after, deeds);
        }
    }

    /// What it looks like now.
    pub fn snapshot(&self, now: Instant) -> Attendance {
        let moment = self.moment_of(now.max(self.now));
        Attendance {
            leases: self.leases.iter().map(|(id, lease)| (*id, lease.view(moment))).collect(),
            passing: self.passing,
            watch: self.watch,
            leaves_in: self.leave_at.map(|at| at.saturating_sub(moment)),
        }
    }

    /// The clock that stands still when we do.
    fn moment(&self) -> Moment {
        self.moment_of(self.now)
    }

    fn moment_of(&self, now: Instant) -> Moment {
        now.saturating_duration_since(self.begin).saturating_sub(self.stood)
    }

    /// Moves time on, and does what is due by now.
    fn wake(&mut self, now: Instant, deeds: &mut Vec<Deed>) {
        let now = self.now.max(now);
        let pause = now.saturating_duration_since(self.now);
        let counted = !self.ends.is_empty() || self.leave_at.is_some();
        self.now = now;
        let late = counted && pause > TICK + LATE;
        if late && self.starved {
            // Late again and again: we do run, only slowly, and nobody may live for ever because of that.
            self.stood += pause.saturating_sub(TICK);
        } else if late {
            self.stood += pause;
            deeds.push(Deed::TellStalled(pause));
        }
        self.starved = late;
        if self.stopping {
            return;
        }
        let moment = self.moment();
        while let Some(&(at, lease)) = self.ends.first() {
            if at > moment {
                break;
            }
            self.end(lease, Parting::Expired, deeds);
        }
        if self.leave_at.is_some_and(|at| at <= moment) {
            self.release(deeds);
        }
    }

    /// The door for facts about leases: only the present epoch comes through.
    fn door(&self, lease: LeaseId, epoch: Epoch) -> bool {
        self.leases.get(&lease).is_some_and(|held| held.epoch == epoch)
    }

    fn on_heard(&mut self, id: LeaseId) {
        let moment = self.moment();
        if let Some(lease) = self.leases.get_mut(&id) {
            self.ends.remove(&(lease.ends(), id));
            lease.heard(moment);
            self.ends.insert((lease.ends(), id));
        }
    }

    fn end(&mut self, id: LeaseId, why: Parting, deeds: &mut Vec<Deed>) {
        let Some(lease) = self.leases.remove(&id) else { return };
        self.ends.remove(&(lease.ends(), id));
        self.by_run.remove(&lease.run);
        if let Some(held) = self.by_peer.get_mut(&lease.peer) {
            *held -= 1;
            if *held == 0 {
                self.by_peer.remove(&lease.peer);
            }
        }
        deeds.push(Deed::End { lease: id, why });
        self.nobody(deeds);
    }

    fn somebody(&mut self, attached: bool, deeds: &mut Vec<Deed>) {
        let before = std::mem::replace(&mut self.watch, Watch::Present);
        self.leave_at = None;
        // A passer-by is told of only if workers come back for it.
        let released = before == Watch::Released;
        if self.company != Company::Told {
            let tells = attached || released;
            self.company = if tells { Company::Told } else { Company::Untold };
            deeds.extend(tells.then_some(Deed::TellSomebody));
        }
        if released {
            deeds.push(Deed::Recall);
        }
    }

    /// Somebody has gone: perhaps the last.
    fn nobody(&mut self, deeds: &mut Vec<Deed>) {
        if !self.leases.is_empty() || self.passing > 0 {
            return;
        }
        if self.company == Company::Told {
            self.company = Company::Untold;
            deeds.push(Deed::TellNobody { leaves_in: self.rules.no_client });
        }
        self.count(self.rules.no_client, deeds);
    }

    fn count(&mut self, span: Option<Duration>, deeds: &mut Vec<Deed>) {
        self.watch = Watch::Counting;
        self.leave_at = span.map(|span| self.moment() + span);
        if span == Some(Duration::ZERO) {
            self.release(deeds);
        }
    }

    fn release(&mut self, deeds: &mut Vec<Deed>) {
        self.watch = Watch::Released;
        self.leave_at = None;
        deeds.push(Deed::Release { within: self.rules.finish_grace });
    }
}
