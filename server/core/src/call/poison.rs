//! Calls that kill workers.
//!
//! Each call that was on a worker when it died gets a strike on its key; enough of them and the key is
//! quarantined for a time. With several seats the innocent are struck too, so a call that finishes clears its
//! key. The table is bounded: the oldest strike is forgotten first.

use crate::id::CallKey;
use crate::policy::PoisonRules;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

#[derive(Debug, Default)]
pub(crate) struct Strikes {
    by_key: BTreeMap<CallKey, Strike>,
    by_age: BTreeSet<(Instant, CallKey)>,
}

#[derive(Clone, Copy, Debug)]
struct Strike {
    count: u8,
    last: Instant,
}

impl Strikes {
    /// A worker died under this key. Says whether that put it in quarantine.
    pub(crate) fn strike(&mut self, now: Instant, key: CallKey, rules: &PoisonRules) -> bool {
        let earlier =
            self.take(key).filter(|strike| now.saturating_duration_since(strike.last) < rules.quarantine);
        let count = earlier.map_or(0, |strike| strike.count).saturating_add(1);
        while self.by_key.len() >= rules.keys_max {
            let Some(&(_, oldest)) = self.by_age.first() else { break };
            self.take(oldest);
        }
        self.by_key.insert(key, Strike { count, last: now });
        self.by_age.insert((now, key));
        count == rules.strikes_max
    }

    pub(crate) fn is_quarantined(&self, now: Instant, key: CallKey, rules: &PoisonRules) -> bool {
        self.by_key.get(&key).is_some_and(|strike| {
            strike.count >= rules.strikes_max && now.saturating_duration_since(strike.last) < rules.quarantine
        })
    }

    /// A call of this key has finished.
    pub(crate) fn clear(&mut self, key: CallKey) {
        if !self.by_key.is_empty() {
            self.take(key);
        }
    }

    /// New code: everybody is innocent again.
    pub(crate) fn clear_all(&mut self) {
        self.by_key.clear();
        self.by_age.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    fn take(&mut self, key: CallKey) -> Option<Strike> {
        let strike = self.by_key.remove(&key)?;
        self.by_age.remove(&(strike.last, key));
        Some(strike)
    }
}
