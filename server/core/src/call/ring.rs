//! Clients taking turns, on three levels.

use crate::event::Priority;
use crate::id::ClientId;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// How often a level that has somebody waiting may be passed over for a higher one.
const PATIENCE: u32 = 8;

const LEVELS: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];

/// Who is first in a ring. The greater goes before the lesser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Head {
    level: Priority,
    turn: Reverse<u64>,
}

#[derive(Debug, Default)]
pub(super) struct Ring {
    levels: [Level; 3],
}

#[derive(Debug, Default)]
struct Level {
    turns: BTreeMap<u64, ClientId>,
    passed_over: u32,
}

impl Ring {
    /// Puts a client where its turn says; turns only grow, so that is the back.
    pub(super) fn join(&mut self, level: Priority, turn: u64, client: ClientId) -> u64 {
        self.level_mut(level).turns.insert(turn, client);
        turn
    }

    pub(super) fn leave(&mut self, level: Priority, turn: u64) {
        self.level_mut(level).turns.remove(&turn);
    }

    pub(super) fn head(&self) -> Option<Head> {
        let level = self.turn_of()?;
        let (&turn, _) = self.levels[index(level)].turns.first_key_value()?;
        Some(Head { level, turn: Reverse(turn) })
    }

    /// Takes the client whose turn it is out of the ring.
    pub(super) fn serve(&mut self) -> Option<(Priority, ClientId)> {
        let chosen = self.turn_of()?;
        let (_, client) = self.level_mut(chosen).turns.pop_first()?;
        for level in LEVELS {
            let entry = self.level_mut(level);
            if level == chosen || entry.turns.is_empty() {
                entry.passed_over = 0;
            } else if level < chosen {
                entry.passed_over += 1;
            }
        }
        Some((chosen, client))
    }

    /// The level that is served next: the highest, unless a lower one has lost its patience.
    fn turn_of(&self) -> Option<Priority> {
        let waiting = |level: &Priority| !self.levels[index(*level)].turns.is_empty();
        let impatient = |level: &Priority| self.levels[index(*level)].passed_over >= PATIENCE;
        LEVELS
            .into_iter()
            .rev()
            .find(|level| waiting(level) && impatient(level))
            .or_else(|| LEVELS.into_iter().find(waiting))
    }

    fn level_mut(&mut self, level: Priority) -> &mut Level {
        &mut self.levels[index(level)]
    }
}

fn index(level: Priority) -> usize {
    match level {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    }
}
