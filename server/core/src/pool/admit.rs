//! Calls coming and going: the door into the line, and the ways out of it that are not an answer.

use super::Pool;
use crate::call::CallStage;
use crate::call::line::Dest;
use crate::effect::{Effect, Failure, KillCause, Leave, Refusal};
use crate::event::{AffinityMode, OnAbandon, Request};
use crate::id::{CallId, Life};
use crate::life::slot::Condemned;

impl Pool {
    pub(super) fn on_submitted(&mut self, request: Request, effects: &mut Vec<Effect>) {
        let call = request.call;
        if self.calls.get(call).is_some() {
            return;
        }
        match self.admit(&request) {
            Ok(dest) => {
                let spot = self.line.push(&request, dest);
                self.calls.admit(request, spot, &mut self.timers);
            }
            Err(refusal) => effects.push(Effect::Refuse { call, refusal }),
        }
    }

    /// Whom the call is to wait for, or why it may not wait at all. Whether the line has room is seen
    /// after the free seats were given out: a call that does not wait needs no room.
    fn admit(&self, request: &Request) -> Result<Dest, Refusal> {
        if self.drain.is_some() {
            return Err(Refusal::Draining);
        }
        if self.is_hopeless() {
            return Err(Refusal::Fatal);
        }
        if self.is_quarantined(request) {
            return Err(Refusal::Quarantined);
        }
        let limit = self.policy.line.client_waiting_max;
        let waiting = self.line.waiting_of(request.client);
        if limit.is_some_and(|max| waiting >= usize::try_from(max).unwrap_or(usize::MAX)) {
            return Err(Refusal::ClientLimit);
        }
        let Some(affinity) = request.affinity else { return Ok(Dest::Anyone) };
        let Some(slot) = self.bindings.find(affinity.key) else { return Ok(Dest::Anyone) };
        match affinity.mode {
            AffinityMode::Hint => Ok(Dest::Anyone),
            AffinityMode::StrictQueue => Ok(Dest::Slot(slot)),
            AffinityMode::StrictFailFast if self.places.has_free_seat(slot) => Ok(Dest::Slot(slot)),
            AffinityMode::StrictFailFast => Err(Refusal::AffinityBusy),
        }
    }

    pub(super) fn is_quarantined(&self, request: &Request) -> bool {
        request.key.is_some_and(|key| self.strikes.is_quarantined(self.now, key, &self.policy.poison))
    }

    pub(super) fn on_abandoned(&mut self, id: CallId, lost: bool, effects: &mut Vec<Effect>) {
        let Some(call) = self.calls.get(id) else { return };
        let finishes = match call.request.on_abandon {
            OnAbandon::Cancel => false,
            OnAbandon::Finish => true,
            OnAbandon::FinishIfLost => lost,
        };
        if finishes {
            self.on_left_to_finish(id, effects);
        } else {
            self.call_off(id, effects);
        }
    }

    pub(super) fn on_call_alarm(&mut self, id: CallId, effects: &mut Vec<Effect>) {
        let Some(call) = self.calls.rung(id) else { return };
        match call.stage {
            CallStage::Waiting(_) => {
                self.withdraw(id, Effect::Refuse { call: id, refusal: Refusal::DeadlinePassed }, effects);
            }
            CallStage::Running { life, interrupted } => {
                let ending = Effect::Fail { call: id, failure: Failure::DeadlineExceeded };
                self.end_running(id, life, interrupted, ending, effects);
            }
            CallStage::Ghost { life, .. } => self.on_overdue(id, life, effects),
        }
    }

    /// Ends a call that waits.
    pub(super) fn withdraw(&mut self, id: CallId, ending: Effect, effects: &mut Vec<Effect>) {
        let Some(call) = self.calls.remove(id, &mut self.timers) else { return };
        if let CallStage::Waiting(spot) = call.stage {
            self.line.remove(&call.request, spot);
        }
        effects.push(ending);
    }

    /// Ends a call that runs. Its seat is free only when the tool has given up, or the life is dead.
    pub(super) fn end_running(
        &mut self,
        id: CallId,
        life: Life,
        interrupted: bool,
        ending: Effect,
        effects: &mut Vec<Effect>,
    ) {
        if !interrupted {
            effects.push(Effect::Interrupt { life, call: id });
        }
        effects.push(ending);
        let kill_at = Some(self.now + self.policy.grace.interrupt);
        self.calls.turn(id, CallStage::Ghost { life, kill_at }, &mut self.timers);
        self.change(life.slot, |slot| {
            if let Some(running) = slot.running_mut() {
                running.ghosts += 1;
            }
        });
        self.after_call(life.slot, effects);
    }

    /// A tool does not give up. Innocent calls on the same life get a little more time, then it is killed.
    fn on_overdue(&mut self, id: CallId, life: Life, effects: &mut Vec<Effect>) {
        let grace = self.policy.grace.sibling;
        let Some(running) = self.places.get(life.slot).running() else { return };
        if running.seats.len() == running.ghosts || grace.is_zero() {
            self.kill(life.slot, KillCause::Overdue { call: id }, effects);
            return;
        }
        let kill_at = self.now + grace;
        self.calls.turn(id, CallStage::Ghost { life, kill_at: None }, &mut self.timers);
        self.close(life.slot, Leave::Overdue, effects);
        self.change(life.slot, |slot| {
            if let Some(running) = slot.running_mut() {
                running.condemned.get_or_insert(Condemned { call: id, kill_at });
            }
        });
    }
}
