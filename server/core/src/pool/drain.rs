//! The end of everything, within a bound.
//!
//! At once: what waits is refused, what is idle is asked to stop. Calls that run may finish. One grace
//! before the bound they are asked to give up; at the bound every life is killed. Said again, the shorter
//! bound holds.

use super::{Pool, Proof};
use crate::call::CallStage;
use crate::effect::{Effect, KillCause, Leave, Refusal};
use crate::life::slot::{Stage, Step};
use crate::policy::SPAN_MAX;
use crate::timer::Alarm;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Drain {
    by: Instant,
    interrupt_at: Option<Instant>,
    armed: Option<Instant>,
    pub(super) halted: bool,
}

impl Pool {
    pub(super) fn on_drain_requested(&mut self, within: Duration, effects: &mut Vec<Effect>) {
        let asked = self.now + within.min(SPAN_MAX);
        let mut drain = self.drain.take().unwrap_or(Drain {
            by: asked,
            interrupt_at: Some(asked),
            armed: None,
            halted: false,
        });
        drain.by = drain.by.min(asked);
        if drain.interrupt_at.is_some() {
            let at = drain.by.checked_sub(self.policy.grace.interrupt).unwrap_or(self.now).max(self.now);
            drain.interrupt_at = (at < drain.by).then_some(at);
        }
        self.arm(&mut drain);
        self.drain = Some(drain);
        self.refuse_everybody(Refusal::Draining, effects);
        for id in self.places.ids() {
            match self.places.get(id).stage {
                Stage::Backoff { .. } | Stage::Fatal => self.pardon(id),
                Stage::Starting { .. } => self.ask(id, Leave::Drain, effects),
                Stage::Running(_) => self.close(id, Leave::Drain, effects),
                Stage::Stopping { .. } | Stage::Empty => {}
            }
        }
    }

    pub(super) fn on_resume_requested(&mut self) {
        if let Some(mut drain) = self.drain.take() {
            self.timers.set(Alarm::Drain, &mut drain.armed, None);
            self.arm_desert(true);
            if !self.proof.proved {
                // The drain has pardoned the slots; the generation gets its new chance with them.
                self.proof = Proof::default();
            }
        }
    }

    pub(super) fn on_drain_alarm(&mut self, effects: &mut Vec<Effect>) {
        let Some(mut drain) = self.drain.take() else { return };
        drain.armed = None;
        let over = drain.by <= self.now;
        if drain.interrupt_at.take().is_some() && !over {
            self.interrupt_all(effects);
        }
        if !over {
            self.arm(&mut drain);
        }
        self.drain = Some(drain);
        if over {
            self.kill_all(effects);
        }
    }

    pub(super) fn halt(&mut self, effects: &mut Vec<Effect>) {
        let gone = self.places.census().processes() == 0;
        if let Some(drain) = self.drain.as_mut().filter(|drain| gone && !drain.halted) {
            drain.halted = true;
            effects.push(Effect::Halt);
            self.arm_desert(false);
        }
    }

    fn arm(&mut self, drain: &mut Drain) {
        let at = drain.interrupt_at.unwrap_or(drain.by);
        self.timers.set(Alarm::Drain, &mut drain.armed, Some(at));
    }

    fn interrupt_all(&mut self, effects: &mut Vec<Effect>) {
        for id in self.places.ids() {
            let Some(running) = self.places.get(id).running() else { continue };
            for call in running.seats.clone() {
                if let Some(CallStage::Running { life, interrupted: false }) =
                    self.calls.get(call).map(|call| call.stage)
                {
                    effects.push(Effect::Interrupt { life, call });
                    self.calls.turn(call, CallStage::Running { life, interrupted: true }, &mut self.timers);
                }
            }
        }
    }

    fn kill_all(&mut self, effects: &mut Vec<Effect>) {
        for id in self.places.ids() {
            match self.places.get(id).stage {
                Stage::Starting { .. }
                | Stage::Running(_)
                | Stage::Stopping { step: Step::Asked { .. }, .. } => {
                    self.kill(id, KillCause::Drain, effects);
                }
                Stage::Stopping { .. } | Stage::Empty | Stage::Backoff { .. } | Stage::Fatal => {}
            }
        }
    }
}
