//! The one place where waiting calls meet free seats, and the one that sees to it that nothing is left
//! undecided when an event has been handled.

use super::Pool;
use crate::call::CallStage;
use crate::call::line::Dest;
use crate::effect::{Effect, Leave, Notice, Refusal};
use crate::event::{AffinityMode, Request};
use crate::id::{CallId, ClientId, SlotId};

impl Pool {
    pub(super) fn settle(&mut self, newcomer: Option<ClientId>, effects: &mut Vec<Effect>) {
        self.meet(effects);
        self.populate(effects);
        // Lives that were just closed may have sent those who waited for them back to the others.
        self.meet(effects);
        self.displace(newcomer, effects);
        if self.line.len() > 0 && self.is_hopeless() {
            self.refuse_everybody(Refusal::Fatal, effects);
        }
        self.halt(effects);
    }

    fn meet(&mut self, effects: &mut Vec<Effect>) {
        loop {
            let others = self.line.head(Dest::Anyone);
            if let Some(slot) = self.line.stirred() {
                let own = self.line.head(Dest::Slot(slot));
                if own.is_none() || !self.places.has_free_seat(slot) {
                    self.line.calm(slot);
                } else if own > others {
                    self.start_pinned(slot, effects);
                } else {
                    self.start_next(effects);
                }
            } else if let Some(slot) = self.places.free_seat().filter(|_| others.is_some()) {
                debug_assert!(self.places.has_free_seat(slot), "the index of seats is stale");
                self.start_next(effects);
            } else {
                break;
            }
        }
    }

    fn start_pinned(&mut self, slot: SlotId, effects: &mut Vec<Effect>) {
        let Some(id) = self.line.pop(Dest::Slot(slot)) else { return };
        let Some(request) = self.calls.get(id).map(|call| call.request) else { return };
        if self.is_quarantined(&request) {
            self.refuse_popped(id, Refusal::Quarantined, effects);
        } else {
            self.start(&request, slot, effects);
        }
    }

    fn start_next(&mut self, effects: &mut Vec<Effect>) {
        let Some(id) = self.line.pop(Dest::Anyone) else { return };
        let Some(request) = self.calls.get(id).map(|call| call.request) else { return };
        if self.is_quarantined(&request) {
            self.refuse_popped(id, Refusal::Quarantined, effects);
            return;
        }
        match self.choose(&request) {
            Choice::Run(slot) => self.start(&request, slot, effects),
            Choice::Wait(dest) => self.wait_for(&request, dest),
            Choice::Refuse(refusal) => self.refuse_popped(id, refusal, effects),
        }
    }

    /// Where a call runs that has waited for anyone. Its key may have been bound since it came.
    fn choose(&self, request: &Request) -> Choice {
        let anyone = self.places.free_seat().map_or(Choice::Wait(Dest::Anyone), Choice::Run);
        let Some(affinity) = request.affinity else { return anyone };
        let Some(slot) = self.bindings.find(affinity.key) else { return anyone };
        if self.places.has_free_seat(slot) {
            return Choice::Run(slot);
        }
        match affinity.mode {
            AffinityMode::Hint => anyone,
            AffinityMode::StrictQueue => Choice::Wait(Dest::Slot(slot)),
            AffinityMode::StrictFailFast => Choice::Refuse(Refusal::AffinityBusy),
        }
    }

    fn start(&mut self, request: &Request, slot: SlotId, effects: &mut Vec<Effect>) {
        let call = request.call;
        let (life, begun, limits) = self.change(slot, |slot| {
            let life = slot.named();
            slot.running_mut().map_or((life, 0, None), |running| {
                running.seats.insert(call);
                running.begun += 1;
                (life, running.begun, Some(running.limits))
            })
        });
        self.calls.turn(call, CallStage::Running { life, interrupted: false }, &mut self.timers);
        self.line.seated(request.client);
        if let Some(affinity) = request.affinity {
            self.bindings.used(affinity.key, slot, self.policy.line.affinity_keys_max);
        }
        effects.push(Effect::Assign { call, life });
        self.recover(effects);
        if limits.is_some_and(|limits| begun >= limits.calls_soft) {
            self.want_leave(slot, Leave::Calls);
        }
        if limits.is_some_and(|limits| begun >= limits.calls_hard) {
            self.close(slot, Leave::Calls, effects);
        }
    }

    /// A call that was just taken out of the line waits for somebody else, and keeps its age.
    pub(super) fn wait_for(&mut self, request: &Request, dest: Dest) {
        let Some(CallStage::Waiting(spot)) = self.calls.get(request.call).map(|call| call.stage) else {
            return;
        };
        let spot = spot.to(dest);
        self.line.put(request, spot);
        self.calls.turn(request.call, CallStage::Waiting(spot), &mut self.timers);
    }

    /// Ends a call that was just taken out of the line.
    fn refuse_popped(&mut self, call: CallId, refusal: Refusal, effects: &mut Vec<Effect>) {
        self.calls.remove(call, &mut self.timers);
        effects.push(Effect::Refuse { call, refusal });
    }

    /// Brings the line back to its length.
    fn displace(&mut self, newcomer: Option<ClientId>, effects: &mut Vec<Effect>) {
        while self.line.len() > self.policy.line.waiting_max {
            let Some(call) = self.line.to_displace(newcomer) else { break };
            self.withdraw(call, Effect::Refuse { call, refusal: Refusal::QueueFull }, effects);
            if !std::mem::replace(&mut self.saturated, true) {
                effects.push(Effect::Report(Notice::Saturated));
            }
        }
    }

    /// Said when half of the line is free again, so that it is not said after each call.
    fn recover(&mut self, effects: &mut Vec<Effect>) {
        if self.saturated && self.line.len() <= self.policy.line.waiting_max / 2 {
            self.saturated = false;
            effects.push(Effect::Report(Notice::Recovered));
        }
    }

    pub(super) fn refuse_everybody(&mut self, refusal: Refusal, effects: &mut Vec<Effect>) {
        for call in self.line.everybody() {
            self.withdraw(call, Effect::Refuse { call, refusal }, effects);
        }
    }
}

enum Choice {
    Run(SlotId),
    Wait(Dest),
    Refuse(Refusal),
}
