//! What a successor of the daemon needs of a life, once that is ready.

use super::Living;
use crate::handover::{Deed, LifeDeed, inode};
use std::io;
use std::os::fd::OwnedFd;

/// What a worker may offer that is kept for a successor. Of more it learns with the next life.
const OFFER_MAX: usize = 1 << 20;

/// Copies of the pipes, which are read elsewhere.
pub(crate) type Pipes = [OwnedFd; 2];

impl Living {
    /// From here on a successor finds this life.
    pub(super) fn park(&mut self, offer: &[u8]) {
        let Some(pipes) = self.parcel.take() else { return };
        if let Err(error) = self.try_park(pipes, offer) {
            tracing::warn!("worker {} will not outlive this daemon: {error}", self.life);
        }
    }

    fn try_park(&self, [stdout, stderr]: Pipes, offer: &[u8]) -> io::Result<()> {
        let fds = vec![self.link.calls.copy()?, self.link.control.copy()?, stdout, stderr];
        let inodes = fds.iter().map(inode).collect::<io::Result<_>>()?;
        let offer = if offer.len() <= OFFER_MAX {
            String::from_utf8_lossy(offer).into_owned()
        } else {
            String::new()
        };
        let deed = LifeDeed {
            run: self.run.clone(),
            number: self.number,
            slot: self.life.slot.0,
            life: self.life.number,
            rules: self.spec.rules,
            offer,
            inodes,
        };
        self.spec.handover.park(&Deed::Life(deed), fds)
    }

    /// Nothing is left of it.
    pub(super) fn forget(&self) {
        self.spec.handover.forget(format!("life.{}.{}", self.run, self.number));
    }
}
