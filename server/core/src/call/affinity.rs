//! Which life a key belongs to.
//!
//! A key is bound where its first call is assigned, and stays bound until that life closes or dies; the
//! next call binds it anew. The table is bounded: the key that was not used for longest goes first.

use crate::id::{AffinityKey, SlotId};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(crate) struct Bindings {
    by_key: BTreeMap<AffinityKey, Binding>,
    by_use: BTreeSet<(u64, AffinityKey)>,
    by_slot: BTreeSet<(SlotId, AffinityKey)>,
    uses: u64,
}

#[derive(Clone, Copy, Debug)]
struct Binding {
    slot: SlotId,
    used: u64,
}

impl Bindings {
    pub(crate) fn find(&self, key: AffinityKey) -> Option<SlotId> {
        self.by_key.get(&key).map(|binding| binding.slot)
    }

    /// A call of this key has been assigned. A key that is bound stays where it is.
    pub(crate) fn used(&mut self, key: AffinityKey, slot: SlotId, keys_max: usize) {
        self.uses += 1;
        let used = self.uses;
        let binding = self.by_key.entry(key).or_insert(Binding { slot, used });
        self.by_use.remove(&(binding.used, key));
        binding.used = used;
        self.by_slot.insert((binding.slot, key));
        self.by_use.insert((used, key));
        while self.by_key.len() > keys_max {
            let Some(&(_, oldest)) = self.by_use.first() else { break };
            self.forget(oldest);
        }
    }

    /// The life in this slot takes no more calls.
    pub(crate) fn part(&mut self, slot: SlotId) {
        while let Some(&(_, key)) =
            self.by_slot.range((slot, AffinityKey(0))..).next().filter(|at| at.0 == slot)
        {
            self.forget(key);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    fn forget(&mut self, key: AffinityKey) {
        if let Some(binding) = self.by_key.remove(&key) {
            self.by_use.remove(&(binding.used, key));
            self.by_slot.remove(&(binding.slot, key));
        }
    }
}
