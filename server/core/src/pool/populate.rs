//! How many lives there are, and which: the one place that spawns.
//!
//! *Needed* are the busy ones, one for each seatful of waiting calls, and the spares, between the minimum
//! and the maximum. A life that is to be replaced goes out in one of two ways: with room for one process more it
//! becomes `Outgoing`, is missed, and so its replacement is spawned, which closes it when it is ready; without
//! room it is closed first and replaced when it is gone, one at a time. A closed life whose calls take long
//! is `Lingering`: others need not wait for it, but no more than a quarter of the places linger at a time, so
//! that a reload among long calls goes on and never takes the pool away.
//!
//! FATAL slots and slots that rest hold their places: giving up must not be got round by moving next door.
//! Waiting calls and spares may still ask for others.

use super::Pool;
use crate::effect::{Effect, Leave};
use crate::id::SlotId;
use crate::life::slot::{Stage, Standing};

impl Pool {
    pub(super) fn populate(&mut self, effects: &mut Vec<Effect>) {
        if self.drain.is_some() {
            return;
        }
        self.empty_out(effects);
        self.spawn_missing(effects);
        while !self.proof.fatal
            && let Some(slot) = self.places.next_due()
        {
            if self.is_surplus() || self.may_stop_first() {
                self.close(slot, Leave::ScaleDown, effects);
            } else if self.has_room() {
                self.send_out(slot);
            } else {
                break;
            }
            self.spawn_missing(effects);
        }
        // The need has gone, and with it the replacement: nobody is coming for these.
        while let Some(slot) = self.places.next_outgoing() {
            let census = self.places.census();
            if census.outgoing <= census.coming() + census.fatal || census.keeping() < self.need() {
                break;
            }
            self.close(slot, Leave::ScaleDown, effects);
        }
    }

    fn need(&self) -> usize {
        if self.drain.is_some() {
            return 0;
        }
        let census = self.places.census();
        let size = self.policy.size;
        let pressed = self.line.eligible().div_ceil(self.policy.seats.into());
        let (least, spare) =
            if self.desert.is_some() { (self.policy.warm, 0) } else { (size.min(), size.spare()) };
        let wanted = census.fatal + census.occupied + pressed + usize::from(spare);
        wanted.clamp(least.min(size.max()).into(), size.max().into())
    }

    /// There are more lives than needed.
    pub(super) fn is_surplus(&self) -> bool {
        self.places.census().keeping() > self.need()
    }

    fn has_room(&self) -> bool {
        self.places.census().processes() < self.policy.size.ceiling().into()
    }

    /// Nobody is on the way in, and few enough on the way out.
    fn may_stop_first(&self) -> bool {
        let census = self.places.census();
        let size = self.policy.size;
        let linger_max = usize::from(size.headroom()) + usize::from(size.max() / 4).max(1);
        !self.has_room()
            && census.coming() + census.outgoing + census.stopping + census.closed == 0
            && census.lingering < linger_max
    }

    fn spawn_missing(&mut self, effects: &mut Vec<Effect>) {
        while let Some(slot) = self.places.vacant() {
            if !self.spawn_if_needed(slot, effects) {
                break;
            }
        }
    }

    /// Spawns into this vacant slot if one more life is needed and possible.
    pub(super) fn spawn_if_needed(&mut self, slot: SlotId, effects: &mut Vec<Effect>) -> bool {
        let missing = self.drain.is_none() && self.places.census().keeping() < self.need();
        if !missing || self.proof.fatal || !self.has_room() {
            return false;
        }
        let generation = self.generation;
        let ready_by = self.now + self.policy.restart.start_timeout;
        let life = self.change(slot, |slot| {
            slot.number += 1;
            slot.stage = Stage::Starting { generation, ready_by };
            slot.named()
        });
        effects.push(Effect::Spawn { life, generation });
        true
    }

    /// No life serves, and none will without an operator.
    pub(super) fn is_hopeless(&self) -> bool {
        let census = self.places.census();
        // Without hope all that is kept has given up.
        let full = census.keeping() >= self.policy.size.max().into();
        self.drain.is_none() && census.hopeful() == 0 && (self.proof.fatal || full)
    }

    /// This life has served long enough. It goes when its turn comes.
    pub(super) fn want_leave(&mut self, slot: SlotId, why: Leave) {
        self.turns += 1;
        let turn = self.turns;
        self.change(slot, |slot| {
            if let Some(running) = slot.running_mut()
                && running.standing == Standing::Kept
            {
                running.standing = Standing::Due(why, turn);
            }
        });
    }

    fn send_out(&mut self, slot: SlotId) {
        self.change(slot, |slot| {
            if let Some(running) = slot.running_mut()
                && let Standing::Due(why, turn) = running.standing
            {
                running.standing = Standing::Outgoing(why, turn);
            }
        });
    }
}
