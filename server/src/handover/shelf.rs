//! Parcels that lie in this very process: they outlive its program, when another one is executed in its place, and end with
//! the process.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Descriptors by their name.
pub(super) type Parcels = BTreeMap<String, Vec<OwnedFd>>;

/// Where they lie.
#[derive(Clone, Debug, Default)]
pub(super) struct Shelf {
    parcels: Arc<Mutex<Parcels>>,
}

impl Shelf {
    /// With copies of what an earlier program has left: nobody parks it a second time.
    pub(super) fn with_copies(left: &[(String, OwnedFd)]) -> io::Result<Self> {
        let shelf = Self::default();
        for (name, fd) in left {
            shelf.look().entry(name.clone()).or_default().push(fd.try_clone()?);
        }
        Ok(shelf)
    }

    pub(super) fn put(&self, name: String, parcel: Vec<OwnedFd>) {
        self.look().insert(name, parcel);
    }

    pub(super) fn drop(&self, name: &str) {
        // Closed without the lock.
        let _parcel = self.look().remove(name);
    }

    pub(super) fn look(&self) -> MutexGuard<'_, Parcels> {
        self.parcels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
