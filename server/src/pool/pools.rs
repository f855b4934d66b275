//! The pools by name. A reload changes which there are; a call that has found its pool keeps it.

use super::handle::Handle;
use super::state::Look;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// A pool that does not answer for so long is not seen this time.
const PATIENCE: Duration = Duration::from_secs(1);

/// What there was to see of a pool.
#[derive(Debug)]
pub(crate) enum Seen {
    Look(Box<Look>),
    Ended,
    /// It did not answer in time.
    Nothing,
}

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

    /// A look at every pool, at all of them at the same time.
    pub(crate) async fn look(&self) -> BTreeMap<String, Seen> {
        let mut looks = JoinSet::new();
        for (name, pool) in self.all() {
            looks.spawn(async move {
                let seen = match timeout(PATIENCE, pool.look()).await {
                    Ok(Some(look)) => Seen::Look(Box::new(look)),
                    Ok(None) => Seen::Ended,
                    Err(_) => Seen::Nothing,
                };
                (name, seen)
            });
        }
        looks.join_all().await.into_iter().collect()
    }

    /// A look at these pools, at all of them at the same time, however long that takes. A pool that has ended is not there
    /// any more.
    pub(crate) async fn look_at(wanted: BTreeMap<String, Handle>) -> BTreeMap<String, Look> {
        let mut looks = JoinSet::new();
        for (name, pool) in wanted {
            looks.spawn(async move { pool.look().await.map(|look| (name, look)) });
        }
        looks.join_all().await.into_iter().flatten().collect()
    }

    pub(crate) fn add(&self, name: String, pool: Handle) {
        self.by_name.write().unwrap_or_else(PoisonError::into_inner).insert(name, pool);
    }

    /// No call finds it any more.
    pub(crate) fn remove(&self, name: &str) -> Option<Handle> {
        self.by_name.write().unwrap_or_else(PoisonError::into_inner).remove(name)
    }
}
