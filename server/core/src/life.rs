//! All slots of a pool, and what can be asked about them without looking at each.
//!
//! Slots are changed through one door, [`Places::change`]. It compares what the slot counted as before
//! and after and brings the indices up to date, so no index can be forgotten and no question needs a scan:
//! who has a free seat, who is next to be replaced, which place is vacant, how many of each kind there are.

pub(crate) mod recycle;
pub(crate) mod restart;
pub(crate) mod slot;

use crate::id::SlotId;
use crate::timer::{Alarm, Timers};
use slot::{Class, SeatRank, Slot, View};
use std::collections::BTreeSet;

/// How many slots count as what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    pub(crate) backoff: usize,
    pub(crate) starting: usize,
    /// Running and meant to stay, those due for replacement included.
    pub(crate) kept: usize,
    /// Those of them that have a call, or are silent: no help for whoever waits.
    pub(crate) occupied: usize,
    pub(crate) outgoing: usize,
    pub(crate) closed: usize,
    /// Closed for so long that nobody waits for them any more.
    pub(crate) lingering: usize,
    pub(crate) stopping: usize,
    /// Dying of not having become ready.
    pub(crate) failing: usize,
    pub(crate) fatal: usize,
}

impl Census {
    /// Slots that hold a place against the size of the pool.
    pub(crate) fn keeping(&self) -> usize {
        self.kept + self.fatal + self.coming()
    }

    pub(crate) fn processes(&self) -> usize {
        self.starting
            + self.kept
            + self.outgoing
            + self.closed
            + self.lingering
            + self.stopping
            + self.failing
    }

    /// Those that serve, or may serve without anybody's help.
    pub(crate) fn hopeful(&self) -> usize {
        self.kept + self.outgoing + self.coming()
    }

    /// Slots that will serve, or give up.
    pub(crate) fn coming(&self) -> usize {
        self.starting + self.backoff + self.failing
    }

    fn count(&mut self, class: Class, add: bool) {
        let step = |count: &mut usize| *count = if add { *count + 1 } else { *count - 1 };
        match class {
            Class::Empty => {}
            Class::Backoff => step(&mut self.backoff),
            Class::Starting => step(&mut self.starting),
            Class::Kept { occupied } => {
                step(&mut self.kept);
                if occupied {
                    step(&mut self.occupied);
                }
            }
            Class::Outgoing => step(&mut self.outgoing),
            Class::Closed => step(&mut self.closed),
            Class::Lingering => step(&mut self.lingering),
            Class::Stopping => step(&mut self.stopping),
            Class::Failing => step(&mut self.failing),
            Class::Fatal => step(&mut self.fatal),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Places {
    slots: Vec<Slot>,
    vacant: BTreeSet<SlotId>,
    seats: BTreeSet<SeatRank>,
    due: BTreeSet<(u64, SlotId)>,
    outgoing: BTreeSet<(u64, SlotId)>,
    census: Census,
}

impl Places {
    /// Makes room for so many slots. Room is never taken back: the numbers of lives must go on growing.
    pub(crate) fn grow(&mut self, slots: u16) {
        let from = u16::try_from(self.slots.len()).unwrap_or(u16::MAX);
        for id in (from..slots).map(SlotId) {
            self.slots.push(Slot::new(id));
            self.vacant.insert(id);
        }
    }

    pub(crate) fn all(&self) -> &[Slot] {
        &self.slots
    }

    pub(crate) fn get(&self, id: SlotId) -> &Slot {
        &self.slots[id.index()]
    }

    pub(crate) fn find(&self, id: SlotId) -> Option<&Slot> {
        self.slots.get(id.index())
    }

    pub(crate) fn ids(&self) -> impl DoubleEndedIterator<Item = SlotId> + use<> {
        (0..u16::try_from(self.slots.len()).unwrap_or(u16::MAX)).map(SlotId)
    }

    pub(crate) fn census(&self) -> Census {
        self.census
    }

    pub(crate) fn vacant(&self) -> Option<SlotId> {
        self.vacant.first().copied()
    }

    /// The best place for a call without wishes.
    pub(crate) fn free_seat(&self) -> Option<SlotId> {
        self.seats.first().map(|&(_, _, id)| id)
    }

    pub(crate) fn has_free_seat(&self, id: SlotId) -> bool {
        self.find(id).is_some_and(|slot| slot.seen.seat.is_some())
    }

    /// An idle life: first one that is to be replaced anyway, then from the right.
    pub(crate) fn last_idle(&self) -> Option<SlotId> {
        let of = |due| self.seats.range((due, 0, SlotId(0))..=(due, 0, SlotId(u16::MAX))).next_back();
        of(true).or_else(|| of(false)).map(|&(_, _, id)| id)
    }

    /// Who is to be replaced next.
    pub(crate) fn next_due(&self) -> Option<SlotId> {
        self.due.first().map(|&(_, id)| id)
    }

    /// Who has waited longest for its replacement.
    pub(crate) fn next_outgoing(&self) -> Option<SlotId> {
        self.outgoing.first().map(|&(_, id)| id)
    }

    /// The one door through which a slot changes.
    pub(crate) fn change<R>(
        &mut self,
        id: SlotId,
        timers: &mut Timers,
        act: impl FnOnce(&mut Slot) -> R,
    ) -> R {
        let slot = &mut self.slots[id.index()];
        let before = slot.seen;
        let result = act(slot);
        let after = slot.view();
        slot.seen = after;
        let due = slot.due_at();
        if slot.running().is_some() {
            timers.no_later(Alarm::Slot(id), &mut slot.armed, due);
        } else {
            timers.set(Alarm::Slot(id), &mut slot.armed, due);
        }
        if before != after {
            self.index(id, before, after);
        }
        result
    }

    /// The alarm of this slot has rung; sets the next one.
    pub(crate) fn rung(&mut self, id: SlotId) {
        self.slots[id.index()].armed = None;
    }

    fn index(&mut self, id: SlotId, before: View, after: View) {
        if before.class != after.class {
            self.census.count(after.class, true);
            self.census.count(before.class, false);
            if after.class == Class::Empty {
                self.vacant.insert(id);
            } else if before.class == Class::Empty {
                self.vacant.remove(&id);
            }
        }
        if before.seat != after.seat {
            if let Some(rank) = before.seat {
                self.seats.remove(&rank);
            }
            if let Some(rank) = after.seat {
                self.seats.insert(rank);
            }
        }
        if (before.class, before.turn) != (after.class, after.turn) {
            if let Some(turn) = before.turn {
                self.turns(before.class).remove(&(turn, id));
            }
            if let Some(turn) = after.turn {
                self.turns(after.class).insert((turn, id));
            }
        }
    }

    fn turns(&mut self, class: Class) -> &mut BTreeSet<(u64, SlotId)> {
        if class == Class::Outgoing { &mut self.outgoing } else { &mut self.due }
    }
}
