//! The pools by name. A reload changes which there are; a call that has found its pool keeps it.

use super::handle::Handle;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// The pools by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pools {
    by_name: Arc<RwLock<BTreeMap<String, Handle>>>,
}

impl Pools {
    /// The pool of this name; the only one, or the one called `default`, when there is no name.
    pub(crate) fn find(&self, name: &str) -> Option<(String, Handle)> {
        let pools = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        let found = match (name, pools.len()) {
            ("", 1) => pools.iter().next(),
            ("", _) => pools.get_key_value("default"),
            (name, _) => pools.get_key_value(name),
        };
        found.map(|(name, pool)| (name.clone(), pool.clone()))
    }

    /// Every pool, by name.
    pub(crate) fn all(&self) -> BTreeMap<String, Handle> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn add(&self, name: String, pool: Handle) {
        self.by_name.write().unwrap_or_else(PoisonError::into_inner).insert(name, pool);
    }

    /// No call finds it any more.
    pub(crate) fn remove(&self, name: &str) -> Option<Handle> {
        self.by_name.write().unwrap_or_else(PoisonError::into_inner).remove(name)
    }
}
