//! What operators ask for: restart, resize, reload. None of it is on the way of a call, so it may look
//! at every slot.

use super::{Pool, Proof};
use crate::effect::{Effect, Leave};
use crate::id::{Generation, SlotId};
use crate::life::restart::Record;
use crate::life::slot::Stage;
use crate::policy::{Checked, Size};

impl Pool {
    /// Fresh lives, one after the other; those that rest or have given up try again at once. What was
    /// written down against them is struck out.
    pub(super) fn on_restart_requested(&mut self, only: Option<SlotId>, effects: &mut Vec<Effect>) {
        if self.drain.is_some() {
            return;
        }
        if !self.proof.proved {
            self.proof = Proof::default();
        }
        for id in self.places.ids().filter(|&id| only.is_none_or(|only| only == id)) {
            self.change(id, |slot| slot.record = Record::default());
            match self.places.get(id).stage {
                Stage::Backoff { .. } | Stage::Fatal => {
                    self.pardon(id);
                    self.spawn_if_needed(id, effects);
                }
                Stage::Running(_) => self.want_leave(id, Leave::Restart),
                Stage::Empty | Stage::Starting { .. } | Stage::Stopping { .. } => {}
            }
        }
    }

    pub(super) fn on_resized(&mut self, size: Size, effects: &mut Vec<Effect>) {
        self.policy.resize(size);
        self.places.grow(size.slots());
        self.shrink(effects);
    }

    /// New rules for the same generation. What a life was promised when it became ready stays as it was.
    pub(super) fn on_amended(&mut self, policy: Checked, effects: &mut Vec<Effect>) {
        let seats = self.policy.seats;
        self.policy = policy;
        self.policy.keep_seats(seats);
        self.places.grow(self.policy.size.slots());
        self.line.set_running_max(self.policy.line.client_running_max);
        self.shrink(effects);
    }

    /// A new generation, start-first. Lives that have begun to start under the old one are not waited for.
    pub(super) fn on_reloaded(&mut self, policy: Checked, effects: &mut Vec<Effect>) {
        self.policy = policy;
        self.generation = Generation(self.generation.0.wrapping_add(1));
        self.proof = Proof::default();
        self.strikes.clear_all();
        self.places.grow(self.policy.size.slots());
        self.line.set_running_max(self.policy.line.client_running_max);
        if self.drain.is_none() {
            for id in self.places.ids() {
                match self.places.get(id).stage {
                    Stage::Backoff { .. } | Stage::Fatal => self.pardon(id),
                    Stage::Starting { .. } => self.ask(id, Leave::Reload, effects),
                    Stage::Running(_) => self.want_leave(id, Leave::Reload),
                    Stage::Empty | Stage::Stopping { .. } => {}
                }
            }
            self.shrink(effects);
        }
    }

    /// What this slot did is forgotten.
    pub(super) fn pardon(&mut self, id: SlotId) {
        self.change(id, |slot| {
            slot.record = Record::default();
            slot.stage = Stage::Empty;
        });
    }

    /// Gives places back: first those without a worker, then those that start, the idle, the busy; from the right.
    fn shrink(&mut self, effects: &mut Vec<Effect>) {
        let mut order: Vec<(u8, SlotId)> = self
            .places
            .all()
            .iter()
            .filter_map(|slot| {
                let rank = match &slot.stage {
                    Stage::Fatal => 0,
                    Stage::Backoff { .. } => 1,
                    Stage::Starting { .. } => 2,
                    Stage::Running(running) => 3 + u8::from(!running.is_idle()),
                    Stage::Empty | Stage::Stopping { .. } => return None,
                };
                Some((rank, slot.id))
            })
            .collect();
        order.sort_by_key(|&(rank, id)| (rank, std::cmp::Reverse(id)));
        for (_, id) in order {
            // Who fails is on its way out, and nobody takes its place then.
            let census = self.places.census();
            if census.keeping() - census.failing <= self.policy.size.max().into() {
                break;
            }
            match self.places.get(id).stage {
                Stage::Fatal | Stage::Backoff { .. } => self.pardon(id),
                Stage::Starting { .. } => self.ask(id, Leave::Resize, effects),
                Stage::Running(_) => self.close(id, Leave::Resize, effects),
                Stage::Empty | Stage::Stopping { .. } => {}
            }
        }
    }
}
