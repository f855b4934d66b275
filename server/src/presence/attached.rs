//! A client that holds a lease, and its stream.

use super::beats::Beat;
use super::held::{Held, Lease};
use super::register::Register;
use crate::own::watched::death_of;
use sidewinder_core::presence::{Fact, Granted};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio::sync::watch;

/// A client that holds a lease, and its stream.
#[derive(Debug)]
pub(crate) struct Attached {
    pub(super) register: Register,
    pub(super) held: Arc<Held>,
    pub(super) granted: Granted,
    pub(super) lease: watch::Receiver<Lease>,
}

impl Attached {
    pub(crate) fn granted(&self) -> Granted {
        self.granted
    }

    pub(crate) fn name(&self) -> String {
        self.register.name_of(self.granted.lease)
    }

    pub(crate) fn held(&self) -> Arc<Held> {
        self.held.clone()
    }

    /// How the lease stands, now and from now on.
    pub(crate) fn lease(&self) -> watch::Receiver<Lease> {
        self.lease.clone()
    }

    /// Ends the lease with this process, whether or not its stream is open then: what a dying process had open is closed
    /// before it is dead.
    pub(crate) fn watch_over(&self, process: &OwnedFd) -> io::Result<()> {
        let (register, granted, mut lease) = (self.register.clone(), self.granted, self.lease.clone());
        let death = death_of(process)?;
        tokio::spawn(async move {
            let over = lease.wait_for(|lease| lease.ended.is_some() || lease.epoch != granted.epoch);
            tokio::select! {
                () = death => register.tell(Fact::Died(granted.lease, granted.epoch)),
                _ = over => {}
            }
        });
        Ok(())
    }

    /// A beat has come.
    pub(crate) fn hear(&self, beat: Beat, load: Option<u32>) {
        self.held.hear(beat, load);
        self.heard();
    }

    /// Something has come.
    pub(crate) fn heard(&self) {
        self.register.tell(Fact::Heard(self.granted.lease, self.granted.epoch));
    }

    /// It has said goodbye.
    pub(crate) fn leaves(&self) {
        self.register.tell(Fact::Left(self.granted.lease, self.granted.epoch));
    }

    /// Its process is dead, or all that can be known of it says so.
    pub(crate) fn has_died(&self) {
        self.register.tell(Fact::Died(self.granted.lease, self.granted.epoch));
    }
}

impl Drop for Attached {
    /// Its stream is over. Its lease is not, unless it has ended otherwise.
    fn drop(&mut self) {
        // Under the lock, so that it cannot come between another stream and its word that it is there.
        let _state = self.register.lock();
        if self.lease.borrow().epoch == self.granted.epoch {
            self.held.connect(false);
        }
    }
}
