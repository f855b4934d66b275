//! Lives that an earlier daemon has left to this one.
//!
//! They are there before anything is decided: each holds its slot like one that starts, until it has said what it does.
//! Then it is ready, with the calls that run on it. One that never says so is killed like one that never got ready. What
//! it was promised by the rules begins anew, because nobody has counted meanwhile.

use super::{Pool, Proof};
use crate::effect::{Effect, Leave};
use crate::event::{Adopted, Jitter, Request};
use crate::id::{Generation, Life};
use crate::life::slot::Stage;
use crate::policy::SLOTS_MAX;

/// Of before the first generation that this pool knows.
const EARLIER: Generation = Generation(u32::MAX);

impl Pool {
    pub(super) fn on_adopted(&mut self, lives: &[Adopted]) {
        let ready_by = self.now + self.policy.restart.start_timeout;
        for Adopted { life, outdated } in lives.iter().filter(|adopted| adopted.life.slot.0 < SLOTS_MAX) {
            self.places.grow(life.slot.0 + 1);
            let Stage::Empty = self.places.get(life.slot).stage else { continue };
            let generation = if *outdated { EARLIER } else { self.generation };
            self.change(life.slot, |slot| {
                slot.number = life.number;
                slot.stage = Stage::Starting { generation, ready_by };
            });
            if !outdated {
                // It has been ready once.
                self.proof = Proof { proved: true, ..Proof::default() };
            }
        }
    }

    pub(super) fn on_resumed(
        &mut self,
        life: Life,
        calls: Vec<Request>,
        jitter: Jitter,
        effects: &mut Vec<Effect>,
    ) {
        let Some(id) = self.door(life) else { return };
        let Stage::Starting { generation, .. } = self.places.get(id).stage else { return };
        self.on_ready(life, jitter, effects);
        for request in calls {
            if self.calls.get(request.call).is_some() {
                continue;
            }
            self.change(id, |slot| {
                if let Some(running) = slot.running_mut() {
                    running.seats.insert(request.call);
                }
            });
            self.line.seated(request.client);
            self.calls.resume(request, life, &mut self.timers);
        }
        if generation == EARLIER {
            self.want_leave(id, Leave::Reload);
        }
    }
}
