//! What an event means, in the simulation's own words.

use crate::model::{Held, Model, Phase, Proc, Sheet, State, least};
use sidewinder_core::{
    Adopted, CallId, Event, Failure, Generation, Life, OnAbandon, Request, SlotId, State as Shown,
};
use std::time::Instant;

/// Of before the first generation that the pool knows.
const EARLIER: Generation = Generation(u32::MAX);

impl Model {
    pub(crate) fn fact(&mut self, event: &Event) {
        match event {
            Event::Submitted(request) => {
                let held = Held { request: *request, state: State::Waiting, interrupted: false };
                self.calls.insert(request.call, held);
                self.waiting.insert(request.call);
                self.deadlines.extend(request.deadline.map(|at| (at, request.call)));
            }
            Event::Abandoned { call, lost } => {
                let finishes = |held: &&Held| finishes(held.request.on_abandon, *lost);
                if self.calls.get(call).as_ref().is_some_and(finishes) {
                    self.left.insert(*call);
                }
            }
            Event::Extended { call, deadline } => self.extended(*call, *deadline),
            Event::Deserted { within } => {
                (self.deserted, self.forsaken_at) = (true, within.map(|within| self.now + within));
            }
            Event::Attended => (self.deserted, self.forsaken_at) = (false, None),
            Event::Ready { life, .. } => self.is_ready(*life),
            Event::Adopted { lives } => lives.iter().for_each(|adopted| self.adopted(*adopted)),
            Event::Resumed { life, calls, .. } => {
                self.is_ready(*life);
                calls.iter().for_each(|request| self.runs(*life, *request));
            }
            Event::Finished { life, call } => self.finished(*life, *call),
            Event::Exited { life, .. } | Event::SpawnFailed { life, .. } => self.exited(*life),
            Event::Suspected { life } => {
                let now = self.now;
                self.ready(*life, |proc| _ = proc.suspect_since.get_or_insert(now));
            }
            Event::Recovered { life } => self.ready(*life, |proc| proc.suspect_since = None),
            Event::Measured { life, resident } => self.ready(*life, |proc| proc.resident = *resident),
            Event::RestartRequested { slot } => {
                if self.drain.is_none() {
                    if !self.proved {
                        self.unproved();
                    }
                    self.pardon(*slot);
                    self.sheets.retain(|of, _| slot.is_some_and(|only| only != *of));
                }
            }
            Event::Resized { size } => {
                self.policy.size = *size;
                self.resized = true;
            }
            Event::Amended { policy } => {
                self.resized |= self.policy.size != policy.size;
                self.policy = (***policy).clone();
            }
            Event::Reloaded { policy } => {
                self.resized |= self.policy.size != policy.size;
                self.policy = (***policy).clone();
                self.generation.0 += 1;
                self.unproved();
                self.strikes.clear();
                self.pardon(None);
            }
            Event::DrainRequested { within } => {
                let by = self.now + *within;
                self.drain = Some(self.drain.map_or(by, |old| old.min(by)));
                self.pardon(None);
            }
            Event::ResumeRequested => {
                if self.drain.is_some() && !self.proved {
                    self.unproved();
                }
                self.drain = None;
                self.halted = false;
            }
        }
    }

    fn extended(&mut self, call: CallId, deadline: Option<Instant>) {
        if let Some(held) = self.calls.get_mut(&call)
            && !matches!(held.state, State::Ghost(..))
            && let Some(before) = held.request.deadline
        {
            self.deadlines.remove(&(before, call));
            held.request.deadline = deadline.map(|other| other.max(before));
            self.deadlines.extend(held.request.deadline.map(|at| (at, call)));
        }
    }

    fn unproved(&mut self) {
        self.proved = false;
        self.pool_fatal = false;
        self.pool_sheet = Sheet::default();
    }

    /// Slots that rest or have given up begin anew.
    fn pardon(&mut self, only: Option<SlotId>) {
        let slots: Vec<SlotId> = self.rests.keys().chain(&self.fatal).copied().collect();
        for slot in slots.into_iter().filter(|&slot| only.is_none_or(|only| only == slot)) {
            self.rests.remove(&slot);
            self.fatal.remove(&slot);
            self.sheets.remove(&slot);
        }
    }

    fn ready(&mut self, life: Life, act: impl FnOnce(&mut Proc)) {
        if let Some(proc) = self.procs.get_mut(&life).filter(|proc| proc.phase == Phase::Ready) {
            act(proc);
        }
    }

    fn is_ready(&mut self, life: Life) {
        let Some(proc) = self.procs.get_mut(&life) else { return };
        let Phase::Starting { .. } = proc.phase else { return };
        proc.phase = Phase::Ready;
        proc.policy = self.policy.clone();
        proc.ready_at = self.now;
        proc.idle_since = self.now;
        if !self.proved {
            self.unproved();
            self.proved = true;
        }
    }

    fn adopted(&mut self, adopted: Adopted) {
        let Adopted { life, outdated } = adopted;
        self.numbers.insert(life.slot, life.number);
        let generation = if outdated { EARLIER } else { self.generation };
        self.proved |= !outdated;
        let starting = self.starting(generation);
        self.procs.insert(life, starting);
    }

    /// A call that nobody has submitted here.
    fn runs(&mut self, life: Life, request: Request) {
        let Some(proc) = self.procs.get_mut(&life) else { return };
        proc.calls.insert(request.call);
        let held = Held { request, state: State::Running(life), interrupted: false };
        self.calls.insert(request.call, held);
        self.deadlines.extend(request.deadline.map(|at| (at, request.call)));
        *self.seated.entry(request.client).or_default() += 1;
    }

    fn finished(&mut self, life: Life, call: CallId) {
        let now = self.now;
        let Some(proc) = self.procs.get_mut(&life).filter(|proc| proc.calls.contains(&call)) else { return };
        proc.calls.remove(&call);
        proc.served += 1;
        proc.suspect_since = None;
        proc.idle_since = now;
        let sheet = self.sheets.entry(life.slot).or_default();
        (sheet.streak, sheet.fruitless) = (0, 0);
        if !proc.calls.iter().any(|call| matches!(self.calls[call].state, State::Ghost(..))) {
            proc.condemned = None;
        }
        let request = self.calls[&call].request;
        self.unseat(request.client);
        if let State::Ghost(..) = self.calls[&call].state {
            self.calls.remove(&call);
        } else {
            self.calls.get_mut(&call).expect("it runs").state = State::Owed(None);
            if let Some(key) = request.key {
                self.strikes.remove(&key);
            }
        }
    }

    fn exited(&mut self, life: Life) {
        let Some(proc) = self.procs.remove(&life) else { return };
        self.bereft = true;
        let shown = self.before.slots.iter().find(|slot| slot.life == Some(life));
        let going = shown.is_some_and(|slot| slot.replacing || !slot.open);
        let early = match proc.phase {
            Phase::Starting { .. } => Some(true),
            Phase::Stopping { early, .. } | Phase::Killed { early, .. } => early.then_some(true),
            Phase::Ready => (!going && self.judge(life.slot, &proc)).then_some(true),
        };
        self.bereave(proc.calls, Failure::WorkerDied, true);
        if proc.generation == self.generation && self.drain.is_none() {
            self.early = early.map(|certain| (life.slot, certain && !self.resized));
        }
    }

    /// Whether a life that served, or could have, died early.
    fn judge(&mut self, slot: SlotId, proc: &Proc) -> bool {
        let sheet = self.sheets.entry(slot).or_default();
        if proc.served > 0 || self.now - proc.ready_at >= self.policy.restart.early {
            (sheet.streak, sheet.fruitless) = (0, 0);
            return false;
        }
        if proc.calls.is_empty() {
            return true;
        }
        sheet.fruitless += 1;
        sheet.fruitless > 2
    }

    /// Writes an early death down and says what must follow.
    pub(crate) fn charge(&mut self, slot: SlotId) -> Shown {
        let rules = self.policy.restart.clone();
        let now = self.now;
        let sheet = if self.proved { self.sheets.entry(slot).or_default() } else { &mut self.pool_sheet };
        sheet.early.retain(|&at| now - at <= rules.deaths_window);
        sheet.early.push(now);
        let fatal = sheet.early.len() >= usize::from(rules.deaths_max);
        let whole = (rules.delay_min * 2_u32.pow(sheet.streak.min(20))).min(rules.delay_max);
        if !fatal {
            sheet.streak += 1;
        }
        if fatal && !self.proved && !self.pool_fatal {
            self.pool_fatal = true;
            self.fatal.extend(self.rests.keys().copied());
            self.rests.clear();
        }
        if fatal || self.pool_fatal {
            self.fatal.insert(slot);
            return Shown::Fatal;
        }
        let least = least(whole, rules.jitter_percent);
        self.rests.insert(slot, (now + least, now + whole));
        Shown::Backoff
    }
}

/// A call goes on without whoever asked for it.
pub(crate) fn finishes(wish: OnAbandon, lost: bool) -> bool {
    wish == OnAbandon::Finish || wish == OnAbandon::FinishIfLost && lost
}
