//! Is this decision allowed, now? And what it changes.

use crate::ensure;
use crate::fact::finishes;
use crate::model::{Model, Phase, State, least};
use sidewinder_core::{
    AffinityMode, CallId, Effect, Event, Failure, KillCause, Leave, Life, Notice, OnAbandon, Priority,
    Refusal, Request,
};
use std::collections::BTreeSet;

const PATIENCE: u32 = 8;

impl Model {
    pub(crate) fn effect(&mut self, effect: &Effect) {
        match *effect {
            Effect::Spawn { life, generation } => {
                ensure!(self, generation == self.generation, "{life} is of an old generation");
                self.spawn(life);
            }
            Effect::Assign { call, life } => self.assign(call, life),
            Effect::Refuse { call, refusal } => self.refuse(call, refusal),
            Effect::Fail { call, failure } => self.fail(call, failure),
            Effect::Answer { call } => {
                let owed = self.calls.get(&call).map(|held| held.state);
                ensure!(self, owed == Some(State::Owed(None)), "{call:?} has no answer: {owed:?}");
                self.conclude(call, None);
            }
            Effect::Forget { call } => self.forget(call),
            Effect::Interrupt { life, call } => self.interrupt(life, call),
            Effect::Stop { life, why } => self.stop(life, why),
            Effect::Kill { life, why } => self.kill(life, why),
            Effect::Report(notice) => self.notice(notice),
            Effect::Halt => {
                ensure!(self, self.drain.is_some() && !self.halted, "halted without a drain, or twice");
                ensure!(self, self.procs.is_empty(), "halted with lives: {:?}", self.procs.keys());
                self.halted = true;
            }
        }
    }

    fn spawn(&mut self, life: Life) {
        ensure!(self, self.drain.is_none() && !self.pool_fatal, "{life} is born in vain");
        ensure!(self, !self.fatal.contains(&life.slot), "{life} is born where all hope was given up");
        let number = self.numbers.insert(life.slot, life.number).unwrap_or(0);
        ensure!(self, life.number == number + 1, "{life} follows number {number}");
        ensure!(
            self,
            self.procs.keys().all(|other| other.slot != life.slot),
            "{life} is not alone in its slot"
        );
        let ceiling = self.policy.size.ceiling().into();
        ensure!(self, self.procs.len() < ceiling, "{life} is one more than {ceiling}");
        if let Some((least, _)) = self.rests.remove(&life.slot) {
            ensure!(self, self.now >= least, "{life} has not rested long enough");
        }
        let starting = self.starting(self.generation);
        self.procs.insert(life, starting);
    }

    fn assign(&mut self, call: CallId, life: Life) {
        let held = self.calls.get(&call);
        ensure!(
            self,
            held.is_some_and(|held| held.state == State::Waiting),
            "{call:?} does not wait: {held:?}"
        );
        let request = self.calls[&call].request;
        ensure!(
            self,
            request.deadline.is_none_or(|at| at > self.now),
            "{call:?} is started after its deadline"
        );
        ensure!(
            self,
            self.free(life),
            "{call:?} is given to {life}, which has no free seat: {:?}",
            self.procs.get(&life)
        );
        ensure!(self, !self.parked(request.client), "{:?} holds too many seats", request.client);
        ensure!(self, !request.key.is_some_and(|key| self.quarantined(key)), "{call:?} is poison");
        if let Some(affinity) = request.affinity {
            let bound = *self.bound.entry(affinity.key).or_insert(life);
            if bound != life {
                let wrong = affinity.mode != AffinityMode::Hint || self.free(bound);
                self.strays.push((request, life, bound, wrong));
            }
        }
        self.served(&request);
        self.waiting.remove(&call);
        self.calls.get_mut(&call).expect("it was there").state = State::Running(life);
        let proc = self.procs.get_mut(&life).expect("it is free");
        proc.begun += 1;
        proc.calls.insert(call);
        *self.seated.entry(request.client).or_default() += 1;
    }

    /// Whose turn it was: the order of the line, where that is exact.
    fn served(&mut self, request: &Request) {
        if !self.plain {
            return;
        }
        let rivals: BTreeSet<_> = self
            .waiting
            .iter()
            .map(|call| self.calls[call].request)
            .collect::<Vec<_>>()
            .into_iter()
            .filter(|other| !self.parked(other.client))
            .map(|other| (other.priority, other.client, other.call))
            .collect();
        let first = rivals.iter().find(|rival| (rival.0, rival.1) == (request.priority, request.client));
        ensure!(
            self,
            first.is_some_and(|first| first.2 == request.call),
            "{:?} is not the oldest of its client",
            request.call
        );
        let patience = self.passed.get(&request.priority).copied().unwrap_or(0);
        for level in [Priority::Low, Priority::Normal, Priority::High] {
            let waits = rivals.iter().any(|rival| rival.0 == level && rival.2 != request.call);
            let passed = self.passed.get(&level).copied().unwrap_or(0);
            if level > request.priority && waits {
                ensure!(
                    self,
                    patience >= PATIENCE,
                    "{request:?} went before {level:?} ones: {:?} {rivals:?} ",
                    request.call
                );
            }
            if level == request.priority || !waits {
                self.passed.remove(&level);
            } else if level < request.priority {
                ensure!(self, passed < PATIENCE + 2, "{level:?} calls starve");
                self.passed.insert(level, passed + 1);
            }
        }
        let others: BTreeSet<_> =
            rivals.iter().filter(|rival| rival.0 == request.priority).map(|rival| rival.1).collect();
        for other in others.into_iter().filter(|other| *other != request.client) {
            let count = self
                .overtaken
                .entry((other, request.priority))
                .or_default()
                .entry(request.client)
                .or_default();
            *count += 1;
            ensure!(self, *count <= 1, "{:?} is served twice while {other:?} waits", request.client);
        }
        self.overtaken.remove(&(request.client, request.priority));
    }

    fn refuse(&mut self, call: CallId, refusal: Refusal) {
        let held = self.calls.get(&call);
        ensure!(self, held.is_some_and(|held| held.state == State::Waiting), "{call:?} is refused: {held:?}");
        let request = self.calls[&call].request;
        let mode = request.affinity.map(|affinity| affinity.mode);
        let waits_with = self.client_waiting(request.client);
        let fits = match refusal {
            Refusal::QueueFull => {
                let most = self.calls.values().map(|held| self.client_waiting(held.request.client)).max();
                self.waiting.len() > self.policy.line.waiting_max && Some(waits_with) == most
            }
            Refusal::ClientLimit => {
                let max = self.policy.line.client_waiting_max.unwrap_or(u32::MAX);
                waits_with > usize::try_from(max).expect("it fits")
            }
            Refusal::Draining => self.drain.is_some(),
            Refusal::DeadlinePassed => request.deadline.is_some_and(|at| at <= self.now),
            Refusal::AffinityBusy => mode == Some(AffinityMode::StrictFailFast),
            Refusal::AffinityLost => self.bereft && mode.is_some_and(|mode| mode != AffinityMode::Hint),
            Refusal::Quarantined => request.key.is_some_and(|key| self.quarantined(key)),
            Refusal::Fatal => self.pool_fatal || !self.fatal.is_empty() || self.early.is_some(),
        };
        ensure!(self, fits, "{call:?} is refused without a reason: {refusal:?}");
        let is_new = matches!(&self.event, Some(Event::Submitted(new)) if new.call == call);
        if refusal == Refusal::Quarantined && !is_new {
            self.served(&request);
        }
        self.conclude(call, None);
    }

    fn fail(&mut self, call: CallId, failure: Failure) {
        let held = self.calls.get(&call);
        ensure!(self, held.is_some(), "{call:?} ends twice, or was never there");
        let held = self.calls[&call].clone();
        match (failure, held.state) {
            (Failure::DeadlineExceeded, State::Running(life)) => {
                ensure!(
                    self,
                    held.request.deadline.is_some_and(|at| at <= self.now),
                    "{call:?} still has time"
                );
                ensure!(self, held.interrupted, "{call:?} is ended before it was interrupted");
                self.conclude(call, Some((life, self.now + self.policy.grace.interrupt)));
            }
            (_, State::Owed(Some(owed))) if owed == failure => self.conclude(call, None),
            (_, state) => ensure!(self, false, "{call:?} fails with {failure:?}, being {state:?}"),
        }
    }

    fn forget(&mut self, call: CallId) {
        let wish = self.calls.get(&call).map_or(OnAbandon::Cancel, |held| held.request.on_abandon);
        let told = matches!(self.event, Some(Event::Abandoned { call: abandoned, lost })
            if abandoned == call && !finishes(wish, lost));
        let forsaken = self.forsaken() && self.left.contains(&call);
        ensure!(self, self.calls.contains_key(&call), "{call:?} is forgotten, and not known");
        ensure!(self, told || forsaken, "{call:?} is forgotten, and was not abandoned");
        let held = self.calls[&call].clone();
        match held.state {
            State::Waiting => self.conclude(call, None),
            State::Running(life) => {
                ensure!(self, held.interrupted, "{call:?} is forgotten before it was interrupted");
                self.conclude(call, Some((life, self.now + self.policy.grace.interrupt)));
            }
            state @ (State::Ghost(..) | State::Owed(_)) => {
                ensure!(self, false, "{call:?} is forgotten, being {state:?}");
            }
        }
    }

    fn interrupt(&mut self, life: Life, call: CallId) {
        let held = self.calls.get(&call);
        ensure!(
            self,
            held.is_some_and(|held| held.state == State::Running(life) && !held.interrupted),
            "{held:?}"
        );
        let abandoned =
            matches!(self.event, Some(Event::Abandoned { call: abandoned, .. }) if abandoned == call);
        let late = self.calls[&call].request.deadline.is_some_and(|at| at <= self.now);
        let drained = self.drain.is_some_and(|by| by <= self.now + self.policy.grace.interrupt);
        let forsaken = self.forsaken() && self.left.contains(&call);
        ensure!(self, abandoned || late || drained || forsaken, "{call:?} is interrupted without a reason");
        self.calls.get_mut(&call).expect("it runs").interrupted = true;
    }

    fn stop(&mut self, life: Life, why: Leave) {
        let (now, drain, stop) = (self.now, self.drain, self.policy.grace.stop);
        ensure!(self, self.procs.contains_key(&life), "{life} is asked to stop, and is not there");
        let proc = &self.procs[&life];
        ensure!(
            self,
            matches!(proc.phase, Phase::Ready | Phase::Starting { .. }),
            "{life} is asked twice: {proc:?}"
        );
        ensure!(self, proc.calls.is_empty(), "{life} is asked to stop in mid-call");
        if why == Leave::ScaleDown {
            let rules = &proc.policy.recycle;
            let least = least(rules.scale_down, rules.spread_percent);
            ensure!(self, now - proc.idle_since >= least, "{life} was not idle for long");
        }
        let closed = self
            .before
            .slots
            .iter()
            .any(|slot| slot.life == Some(life) && slot.leaving == Some(Leave::Drain));
        ensure!(self, why != Leave::Drain || drain.is_some() || closed, "{life} drains without a drain");
        let kill_at = now + stop;
        self.procs.get_mut(&life).expect("it is there").phase = Phase::Stopping { kill_at, early: false };
    }

    fn kill(&mut self, life: Life, why: KillCause) {
        ensure!(self, self.procs.contains_key(&life), "{life} is killed, and is not there");
        let now = self.now;
        let proc = self.procs[&life].clone();
        let fits = match (why, proc.phase) {
            (KillCause::StartTimeout, Phase::Starting { ready_by }) => ready_by <= now,
            (KillCause::StopTimeout, Phase::Stopping { kill_at, .. }) => kill_at <= now,
            (KillCause::Overdue { call }, Phase::Ready) => {
                let ghost = self.calls.get(&call).map(|held| held.state);
                let innocent =
                    proc.calls.iter().any(|call| matches!(self.calls[call].state, State::Running(_)));
                let grace = if innocent { self.policy.grace.sibling } else { std::time::Duration::ZERO };
                match ghost {
                    Some(State::Ghost(on, at)) => on == life && at + grace <= now,
                    // The one that was in vain has given up since; what it cost is settled already.
                    _ => !self.before.slots.iter().any(|slot| slot.life == Some(life) && slot.open),
                }
            }
            (KillCause::Stuck, Phase::Ready) => {
                let since = proc.suspect_since.map(|since| since.max(proc.idle_since));
                proc.calls.is_empty() && since.is_some_and(|since| since + self.policy.grace.suspect <= now)
            }
            (KillCause::Drain, Phase::Starting { .. } | Phase::Ready | Phase::Stopping { .. }) => {
                self.drain.is_some_and(|by| by <= now)
            }
            (_, _) => false,
        };
        ensure!(self, fits, "{life} is killed for {why:?}, being {proc:?}");
        self.bereft = true;
        let failure = if why == KillCause::Drain { Failure::Drained } else { Failure::SiblingOverdue };
        let early = match proc.phase {
            Phase::Starting { .. } => why == KillCause::StartTimeout,
            Phase::Stopping { early, .. } | Phase::Killed { early, .. } => early,
            Phase::Ready => false,
        };
        let proc = self.procs.get_mut(&life).expect("it is there");
        proc.phase = Phase::Killed { report_at: Some(now + self.policy.grace.kill), early };
        let calls = std::mem::take(&mut proc.calls);
        self.bereave(calls, failure, false);
    }

    fn notice(&mut self, notice: Notice) {
        let now = self.now;
        match notice {
            Notice::Unkillable { life } => {
                let phase = self.procs.get(&life).map(|proc| proc.phase);
                ensure!(
                    self,
                    matches!(phase, Some(Phase::Killed { report_at: Some(at), .. }) if at <= now),
                    "{life}: {phase:?}"
                );
                if let Some(Phase::Killed { report_at, .. }) =
                    self.procs.get_mut(&life).map(|proc| &mut proc.phase)
                {
                    *report_at = None;
                }
            }
            Notice::Quarantined { key } => {
                let count = self.strikes.get(&key).map(|strike| strike.0);
                ensure!(self, count == Some(self.policy.poison.strikes_max), "{key:?} has {count:?} strikes");
            }
            Notice::Renewed { generation } => {
                let renewed = self.procs.values().all(|proc| proc.generation == self.generation);
                ensure!(self, renewed && generation == self.generation, "not everybody is of {generation:?}");
            }
            Notice::Saturated => {
                ensure!(self, !std::mem::replace(&mut self.saturated, true), "saturated twice");
            }
            Notice::Recovered => {
                ensure!(self, std::mem::take(&mut self.saturated), "recovered from nothing");
            }
            // What is given up is compared with a snapshot after each step.
            Notice::SlotFatal { .. } | Notice::GenerationFatal { .. } => {}
        }
    }
}
