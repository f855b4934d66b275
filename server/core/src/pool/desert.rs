//! Nobody has been there for long enough: lives leave as soon as they are idle, and nobody is refused.
//!
//! A call that comes all the same is served, and somebody who is there again ends the desertion with nothing lost.
//! Calls that nobody waits for any more, and that were told to finish, have until the bound.

use super::Pool;
use crate::call::CallStage;
use crate::effect::{Effect, Leave};
use crate::id::CallId;
use crate::life::slot::Stage;
use crate::policy::SPAN_MAX;
use crate::timer::Alarm;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Desert {
    /// From then on an abandoned call is a cancelled one. Never, if it is nothing.
    by: Option<Instant>,
    armed: Option<Instant>,
}

impl Pool {
    pub(super) fn on_deserted(&mut self, within: Option<Duration>, effects: &mut Vec<Effect>) {
        self.on_attended();
        let by = within.map(|within| self.now + within.min(SPAN_MAX));
        self.desert = Some(Desert { by, armed: None });
        self.arm_desert(true);
        if self.drain.is_none() {
            self.turn_back(effects);
        }
    }

    pub(super) fn on_attended(&mut self) {
        self.arm_desert(false);
        self.desert = None;
    }

    /// A pool that is drained has nobody to give up on, until it serves again.
    pub(super) fn arm_desert(&mut self, armed: bool) {
        if let Some(desert) = &mut self.desert {
            let at = desert.by.filter(|_| armed);
            self.timers.set(Alarm::Desert, &mut desert.armed, at);
        }
    }

    /// Whoever is about to come need not, from the right. Pauses go on: leaving must not be a way round them.
    fn turn_back(&mut self, effects: &mut Vec<Effect>) {
        for id in self.places.ids().rev() {
            if self.is_surplus()
                && let Stage::Starting { .. } = self.places.get(id).stage
            {
                self.ask(id, Leave::Deserted, effects);
            }
        }
    }

    /// Idle lives do not wait to be given back.
    pub(super) fn empty_out(&mut self, effects: &mut Vec<Effect>) {
        while self.desert.is_some()
            && self.is_surplus()
            && let Some(idle) = self.places.last_idle()
        {
            self.close(idle, Leave::Deserted, effects);
        }
    }

    pub(super) fn on_desert_alarm(&mut self, effects: &mut Vec<Effect>) {
        let Some(desert) = &mut self.desert else { return };
        desert.armed = None;
        for call in self.calls.abandoned() {
            self.call_off(call, effects);
        }
    }

    /// Nobody waits for a call that was to finish all the same.
    pub(super) fn on_left_to_finish(&mut self, id: CallId, effects: &mut Vec<Effect>) {
        self.calls.leave_alone(id);
        let late = |desert: &Desert| desert.by.is_some_and(|by| by <= self.now);
        if self.desert.as_ref().is_some_and(late) {
            self.call_off(id, effects);
        }
    }

    /// Ends a call that nobody wants.
    pub(super) fn call_off(&mut self, id: CallId, effects: &mut Vec<Effect>) {
        let Some(call) = self.calls.get(id) else { return };
        match call.stage {
            CallStage::Waiting(_) => self.withdraw(id, Effect::Forget { call: id }, effects),
            CallStage::Running { life, interrupted } => {
                self.end_running(id, life, interrupted, Effect::Forget { call: id }, effects);
            }
            CallStage::Ghost { .. } => {}
        }
    }
}
