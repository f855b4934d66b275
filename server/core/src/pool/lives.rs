//! Facts about lives. Each comes through the same door, which knows the dead.

use super::{Pool, Proof};
use crate::call::CallStage;
use crate::call::line::Dest;
use crate::effect::{Effect, Failure, KillCause, Leave, Notice, Refusal};
use crate::event::Jitter;
use crate::id::{CallId, CallKey, Life, SlotId};
use crate::life::recycle::Limits;
use crate::life::restart::{Death, Verdict};
use crate::life::slot::{Running, Slot, Stage, Standing};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

impl Pool {
    pub(super) fn on_ready(&mut self, life: Life, jitter: Jitter, effects: &mut Vec<Effect>) {
        let Some(id) = self.door(life) else { return };
        let Stage::Starting { generation, .. } = self.places.get(id).stage else { return };
        let limits = Limits::draw(self.now, &self.policy, jitter);
        let running = Running {
            generation,
            since: self.now,
            standing: Standing::Kept,
            limits,
            seats: BTreeSet::new(),
            ghosts: 0,
            begun: 0,
            served: 0,
            resident: 0,
            idle_since: self.now,
            look_at: self.now + limits.idle_look(),
            suspect_since: None,
            suspect_grace: self.policy.grace.suspect,
            condemned: None,
        };
        self.change(id, |slot| slot.stage = Stage::Running(Box::new(running)));
        if generation == self.generation && !self.proof.proved {
            self.proof = Proof { proved: true, ..Proof::default() };
        }
        if let Some(replaced) = self.places.next_outgoing() {
            self.close(replaced, Leave::ScaleDown, effects);
        }
        self.report_renewed(effects);
    }

    pub(super) fn on_finished(&mut self, life: Life, id: CallId, effects: &mut Vec<Effect>) {
        let Some(slot) = self.door(life) else { return };
        let is_ghost = match self.calls.get(id).map(|call| call.stage) {
            Some(CallStage::Running { life: runs_on, .. }) if runs_on == life => false,
            Some(CallStage::Ghost { life: runs_on, .. }) if runs_on == life => true,
            Some(CallStage::Running { .. } | CallStage::Ghost { .. } | CallStage::Waiting(_)) | None => {
                return;
            }
        };
        let Some(call) = self.calls.remove(id, &mut self.timers) else { return };
        let now = self.now;
        self.change(slot, |slot| {
            slot.record.fruitful();
            if let Some(running) = slot.running_mut() {
                running.finish(now, id, is_ghost);
            }
        });
        self.line.unseated(call.request.client);
        self.line.stir(Dest::Slot(slot));
        if !is_ghost {
            effects.push(Effect::Answer { call: id });
            if let Some(key) = call.request.key {
                self.strikes.clear(key);
            }
        }
        self.after_call(slot, effects);
    }

    /// A call on this life has ended: it may have been the last it was kept for.
    pub(super) fn after_call(&mut self, slot: SlotId, effects: &mut Vec<Effect>) {
        let Some(running) = self.places.get(slot).running() else { return };
        if running.is_idle() && running.is_closed() {
            self.ask(slot, Leave::ScaleDown, effects);
        } else if let Some(condemned) = running.condemned.filter(|_| running.seats.len() == running.ghosts) {
            self.kill(slot, KillCause::Overdue { call: condemned.call }, effects);
        }
    }

    pub(super) fn on_spawn_failed(&mut self, life: Life, jitter: Jitter, effects: &mut Vec<Effect>) {
        let Some(id) = self.door(life) else { return };
        match self.places.get(id).stage {
            Stage::Starting { .. } | Stage::Stopping { .. } => self.on_exited(life, jitter, effects),
            Stage::Empty | Stage::Backoff { .. } | Stage::Running(_) | Stage::Fatal => {}
        }
    }

    pub(super) fn on_exited(&mut self, life: Life, jitter: Jitter, effects: &mut Vec<Effect>) {
        let Some(id) = self.door(life) else { return };
        let now = self.now;
        let early = self.policy.restart.early;
        let (death, current, calls) = self.change(id, |slot| {
            let ended = end(slot, now, early);
            slot.stage = Stage::Empty;
            ended
        });
        // One death is one strike, however often a key was on it.
        let keys: BTreeSet<CallKey> =
            calls.into_iter().filter_map(|call| self.end_on_death(call, effects)).collect();
        for key in keys {
            if self.strikes.strike(now, key, &self.policy.poison) {
                effects.push(Effect::Report(Notice::Quarantined { key }));
            }
        }
        self.part(id, Some(Refusal::AffinityLost), effects);
        let wanted = self.drain.is_none() && self.places.census().keeping() < self.policy.size.max().into();
        if death == Death::Early && current == Some(self.generation) && wanted {
            self.rest(id, jitter, effects);
        } else {
            self.spawn_if_needed(id, effects);
        }
        self.report_renewed(effects);
    }

    /// The worker died under this call, and the call may be why: gives its key.
    fn end_on_death(&mut self, id: CallId, effects: &mut Vec<Effect>) -> Option<CallKey> {
        let call = self.calls.remove(id, &mut self.timers)?;
        self.line.unseated(call.request.client);
        if let CallStage::Running { .. } = call.stage {
            effects.push(Effect::Fail { call: id, failure: Failure::WorkerDied });
        }
        call.request.key
    }

    /// The next life of this slot has to wait, or there is none.
    fn rest(&mut self, id: SlotId, jitter: Jitter, effects: &mut Vec<Effect>) {
        let now = self.now;
        let rules = &self.policy.restart;
        let verdict = if self.proof.proved {
            self.places.change(id, &mut self.timers, |slot| slot.record.early_death(now, rules, jitter))
        } else {
            self.proof.record.early_death(now, rules, jitter)
        };
        match verdict {
            Verdict::Rest { until } if !self.proof.fatal => {
                self.change(id, |slot| slot.stage = Stage::Backoff { until });
            }
            Verdict::Rest { .. } | Verdict::Fatal => self.give_up(id, effects),
        }
    }

    fn give_up(&mut self, id: SlotId, effects: &mut Vec<Effect>) {
        self.change(id, |slot| slot.stage = Stage::Fatal);
        effects.push(Effect::Report(Notice::SlotFatal { slot: id }));
        if self.proof.proved || self.proof.fatal {
            return;
        }
        self.proof.fatal = true;
        for other in self.places.ids() {
            if let Stage::Backoff { .. } = self.places.get(other).stage {
                self.change(other, |slot| slot.stage = Stage::Fatal);
                effects.push(Effect::Report(Notice::SlotFatal { slot: other }));
            }
        }
        effects.push(Effect::Report(Notice::GenerationFatal { generation: self.generation }));
    }

    pub(super) fn on_suspected(&mut self, life: Life) {
        let now = self.now;
        let Some(id) = self.door(life) else { return };
        self.change(id, |slot| {
            if let Some(running) = slot.running_mut() {
                running.suspect_since.get_or_insert(now);
            }
        });
    }

    pub(super) fn on_recovered(&mut self, life: Life) {
        let Some(id) = self.door(life) else { return };
        self.change(id, |slot| {
            if let Some(running) = slot.running_mut() {
                running.suspect_since = None;
            }
        });
        self.line.stir(Dest::Slot(id));
    }

    pub(super) fn on_measured(&mut self, life: Life, resident: u64) {
        let Some(id) = self.door(life) else { return };
        let grown = self.change(id, |slot| {
            let running = slot.running_mut()?;
            running.resident = resident;
            running.limits.resident.filter(|&limit| resident >= limit)
        });
        if grown.is_some() {
            self.want_leave(id, Leave::Memory);
        }
    }

    fn report_renewed(&mut self, effects: &mut Vec<Effect>) {
        let generation = self.generation;
        if self.renewed != generation
            && self.proof.proved
            && self.places.all().iter().all(|slot| is_of(slot, generation))
        {
            self.renewed = generation;
            effects.push(Effect::Report(Notice::Renewed { generation }));
        }
    }
}

impl Running {
    fn finish(&mut self, now: Instant, call: CallId, is_ghost: bool) {
        self.seats.remove(&call);
        self.ghosts -= usize::from(is_ghost);
        if self.ghosts == 0 {
            // Whoever would not give up has done so after all: the others need not die for it.
            self.condemned = None;
        }
        self.served += 1;
        // A frame on the wire is as good as an answer to a ping.
        self.suspect_since = None;
        if self.is_idle() {
            self.idle_since = now;
            self.look_at = now + self.limits.idle_look();
        }
    }
}

/// Nothing but this generation lives here.
fn is_of(slot: &Slot, wanted: crate::id::Generation) -> bool {
    match &slot.stage {
        Stage::Starting { generation, .. } | Stage::Stopping { generation, .. } => *generation == wanted,
        Stage::Running(running) => running.generation == wanted,
        Stage::Empty | Stage::Backoff { .. } | Stage::Fatal => true,
    }
}

type End = (Death, Option<crate::id::Generation>, BTreeSet<CallId>);

/// What kind of death it was, of which generation, and what was on it.
fn end(slot: &mut Slot, now: Instant, early: Duration) -> End {
    match &mut slot.stage {
        Stage::Starting { generation, .. } => (Death::Early, Some(*generation), BTreeSet::new()),
        Stage::Stopping { generation, death, .. } => (*death, Some(*generation), BTreeSet::new()),
        Stage::Running(running) => {
            let young = now.saturating_duration_since(running.since) < early;
            let leaving = running.is_closed() || matches!(running.standing, Standing::Outgoing(..));
            let death = if leaving {
                Death::Late
            } else if running.served > 0 || !young {
                slot.record.fruitful();
                Death::Late
            } else if running.is_idle() {
                Death::Early
            } else {
                slot.record.fruitless()
            };
            (death, Some(running.generation), std::mem::take(&mut running.seats))
        }
        Stage::Empty | Stage::Backoff { .. } | Stage::Fatal => (Death::Late, None, BTreeSet::new()),
    }
}
