//! One pool as one machine: a closed set of events, one owner, no waiting.
//!
//! An event is recorded first, then everything that is due by now happens, then calls meet seats and the
//! number of lives is put right. In that order a fact in hand beats an alarm of the same moment, and a call
//! whose deadline has passed is gone before anybody could start it.

mod admin;
mod admit;
mod desert;
mod drain;
mod inherit;
mod leave;
mod lives;
mod populate;
mod settle;

use crate::call::Calls;
use crate::call::affinity::Bindings;
use crate::call::line::Line;
use crate::call::poison::Strikes;
use crate::effect::Effect;
use crate::event::Event;
use crate::id::{ClientId, Generation, Life, SlotId};
use crate::life::Places;
use crate::life::restart::Record;
use crate::life::slot::{Slot, Stage, Standing, Step};
use crate::policy::Checked;
use crate::snapshot::{Phase, SlotView, Snapshot, State};
use crate::timer::{Alarm, Timers};
use desert::Desert;
use drain::Drain;
use std::time::Instant;

/// A named set of identical workers and the line of calls waiting for them.
#[derive(Debug)]
pub struct Pool {
    policy: Checked,
    /// The latest time anybody has told; time does not run backwards here.
    now: Instant,
    places: Places,
    calls: Calls,
    line: Line,
    bindings: Bindings,
    strikes: Strikes,
    timers: Timers,
    generation: Generation,
    proof: Proof,
    drain: Option<Drain>,
    desert: Option<Desert>,
    /// Orders the turns of lives that are to be replaced.
    turns: u64,
    /// The generation whose arrival was last reported.
    renewed: Generation,
    /// A call was refused because the line was full, and it has not recovered since.
    saturated: bool,
}

/// Whether the present generation can live at all.
#[derive(Debug, Default)]
struct Proof {
    /// A life of it has been ready.
    proved: bool,
    /// It has been given up.
    fatal: bool,
    /// Early deaths before it was proved.
    record: Record,
}

impl Pool {
    /// A pool without lives. Its first deadline is now: that starts them.
    pub fn new(now: Instant, policy: Checked) -> Self {
        let mut pool = Self {
            policy,
            now,
            places: Places::default(),
            calls: Calls::default(),
            line: Line::default(),
            bindings: Bindings::default(),
            strikes: Strikes::default(),
            timers: Timers::default(),
            generation: Generation::default(),
            proof: Proof::default(),
            drain: None,
            desert: None,
            turns: 0,
            renewed: Generation::default(),
            saturated: false,
        };
        pool.places.grow(pool.policy.size.slots());
        pool.line.set_running_max(pool.policy.line.client_running_max);
        pool.timers.set(Alarm::Birth, &mut None, Some(now));
        pool
    }

    /// Records a fact and decides what to do about it.
    pub fn handle(&mut self, now: Instant, event: Event, effects: &mut Vec<Effect>) {
        self.now = self.now.max(now);
        let mut newcomer = None;
        match event {
            Event::Submitted(request) => {
                newcomer = Some(request.client);
                self.on_submitted(request, effects);
            }
            Event::Extended { call, deadline } => self.calls.extend(call, deadline, &mut self.timers),
            Event::Abandoned { call, lost } => self.on_abandoned(call, lost, effects),
            Event::Ready { life, jitter } => self.on_ready(life, jitter, effects),
            Event::Finished { life, call } => self.on_finished(life, call, effects),
            Event::Exited { life, jitter } => self.on_exited(life, jitter, effects),
            Event::SpawnFailed { life, jitter } => self.on_spawn_failed(life, jitter, effects),
            Event::Suspected { life } => self.on_suspected(life),
            Event::Recovered { life } => self.on_recovered(life),
            Event::Measured { life, resident } => self.on_measured(life, resident),
            Event::RestartRequested { slot } => self.on_restart_requested(slot, effects),
            Event::Resized { size } => self.on_resized(size, effects),
            Event::Amended { policy } => self.on_amended(*policy, effects),
            Event::Reloaded { policy } => self.on_reloaded(*policy, effects),
            Event::DrainRequested { within } => self.on_drain_requested(within, effects),
            Event::ResumeRequested => self.on_resume_requested(),
            Event::Deserted { within } => self.on_deserted(within, effects),
            Event::Attended => self.on_attended(),
            Event::Adopted { lives } => self.on_adopted(&lives),
            Event::Resumed { life, calls, jitter } => self.on_resumed(life, calls, jitter, effects),
        }
        self.come_to_rest(newcomer, effects);
    }

    /// Does what is due. To be called at [`Pool::next_deadline`]; coming early or twice is harmless.
    pub fn handle_timeout(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.now = self.now.max(now);
        self.come_to_rest(None, effects);
    }

    /// The next moment at which [`Pool::handle_timeout`] may have something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// The rules that hold now.
    pub fn policy(&self) -> &Checked {
        &self.policy
    }

    /// What it is doing.
    pub fn phase(&self) -> Phase {
        match &self.drain {
            Some(drain) if drain.halted => Phase::Drained,
            Some(_) => Phase::Draining,
            None if self.is_hopeless() => Phase::Fatal,
            None => Phase::Serving,
        }
    }

    /// What it looks like now.
    pub fn snapshot(&self) -> Snapshot {
        let slots: Vec<SlotView> = self.places.all().iter().filter_map(view).collect();
        Snapshot {
            phase: self.phase(),
            deserted: self.desert.is_some(),
            saturated: self.saturated,
            generation: self.generation,
            waiting: self.line.len(),
            running: slots.iter().map(|slot| slot.busy).sum(),
            processes: self.places.census().processes(),
            bound_keys: self.bindings.len(),
            struck_keys: self.strikes.len(),
            slots,
        }
    }

    /// Until nothing is due: with a grace of nothing, what was just asked for is late already.
    fn come_to_rest(&mut self, newcomer: Option<ClientId>, effects: &mut Vec<Effect>) {
        self.ring(effects);
        self.settle(newcomer, effects);
        while self.timers.next().is_some_and(|at| at <= self.now) {
            self.ring(effects);
            self.settle(None, effects);
        }
    }

    /// Everything that is due, in the order of time.
    fn ring(&mut self, effects: &mut Vec<Effect>) {
        while let Some(alarm) = self.timers.take_due(self.now) {
            match alarm {
                Alarm::Birth => {}
                Alarm::Drain => self.on_drain_alarm(effects),
                Alarm::Desert => self.on_desert_alarm(effects),
                Alarm::Slot(slot) => self.on_slot_alarm(slot, effects),
                Alarm::Call(call) => self.on_call_alarm(call, effects),
            }
        }
    }

    /// The door for facts about lives: only the life that is in its slot now comes through.
    fn door(&self, life: Life) -> Option<SlotId> {
        let slot = self.places.find(life.slot)?;
        (slot.life() == Some(life)).then_some(slot.id)
    }

    fn change<R>(&mut self, slot: SlotId, act: impl FnOnce(&mut Slot) -> R) -> R {
        self.places.change(slot, &mut self.timers, act)
    }
}

/// A slot as operators see it; nothing if nobody is meant to live there.
fn view(slot: &Slot) -> Option<SlotView> {
    let running = slot.running();
    let rests_until = if let Stage::Backoff { until } = slot.stage { Some(until) } else { None };
    let (state, generation, unkillable) = match &slot.stage {
        Stage::Empty => return None,
        Stage::Backoff { .. } => (State::Backoff, None, false),
        Stage::Starting { generation, .. } => (State::Starting, Some(*generation), false),
        Stage::Running(running) => (State::Running, Some(running.generation), false),
        Stage::Stopping { generation, step, .. } => {
            (State::Stopping, Some(*generation), *step == Step::Unkillable)
        }
        Stage::Fatal => (State::Fatal, None, false),
    };
    Some(SlotView {
        slot: slot.id,
        state,
        life: slot.life(),
        rests_until,
        ready_since: running.map(|running| running.since),
        generation,
        busy: running.map_or(0, |running| running.seats.len()),
        begun: running.map_or(0, |running| running.begun),
        served: running.map_or(0, |running| running.served),
        resident: running.map_or(0, |running| running.resident),
        suspect_since: running.and_then(|running| running.suspect_since),
        leaving: running.and_then(crate::life::slot::Running::leave),
        replacing: running.is_some_and(|running| matches!(running.standing, Standing::Outgoing(..))),
        open: running.is_some_and(|running| !running.is_closed()),
        unkillable,
    })
}
