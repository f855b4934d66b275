//! What outlives a daemon, so that its successor finds the same workers.
//!
//! ```text
//!   a keeper that stands, a life that is ready ──park──▶ Handover ──▶ a thread ──▶ the manager's store
//!   its end                                   ──forget─▶                              │ the next start
//!   operate ◀── Left: keepers by pool, lives by keeper ◀── parcels under their names ◀┘
//! ```
//!
//! A **parcel** is what lies in the store under one name: the descriptors of one keeper or one life, and a **deed** that
//! says what they are. It is written once, when there is something to inherit, and sealed; nothing in it ever changes, so
//! no death can come between two versions of it, and no call waits for the store. What does change, which calls run, is
//! known to whoever cannot be wrong about it: the workers tell it when they are asked (`proto/WORKER.md`, resync).
//!
//! A parked descriptor is a copy, so nobody at its other end sees an end-of-file when the daemon dies. That is the point,
//! and the danger: whatever ends has to be forgotten here.

mod deed;
mod left;

use crate::systemd::Store;
pub(crate) use deed::{Deed, KeeperDeed, LifeDeed, inode};
pub(crate) use left::{Left, LeftKeeper, LeftLife};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Timespec;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

/// The way to the store; to nowhere where nothing is to outlive the daemon.
///
/// The queue has no bound of its own: what waits in it is one word for each keeper and life that begins or ends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handover {
    way: Option<Sender<Word>>,
    /// Otherwise it only lets go what an earlier daemon has left.
    live: bool,
}

#[derive(Debug)]
enum Word {
    Park(String, Vec<OwnedFd>),
    Forget(String),
    /// Everything before this is in the store, as far as the manager has a hand free.
    Flush(SyncSender<()>),
}

impl Handover {
    /// Hands over through this store from now on, or only lets go what lies there.
    pub(crate) fn begin(store: Store, live: bool) -> io::Result<Self> {
        let (way, words) = channel();
        std::thread::Builder::new().name("handover".to_owned()).spawn(move || speak(&store, &words))?;
        Ok(Self { way: Some(way), live })
    }

    /// Whether anything outlives this daemon.
    pub(crate) fn is_on(&self) -> bool {
        self.live && self.way.is_some()
    }

    /// A successor is to find these, in the order of the deed.
    pub(crate) fn park(&self, deed: &Deed, fds: Vec<OwnedFd>) -> io::Result<()> {
        let Some(way) = self.way.as_ref().filter(|_| self.live) else { return Ok(()) };
        let mut parcel = vec![deed.seal()?];
        parcel.extend(fds);
        let _ = way.send(Word::Park(deed.name(), parcel));
        Ok(())
    }

    /// Nobody is to find what was parked under this name any more.
    pub(crate) fn forget(&self, name: String) {
        if self.live {
            self.let_go(name);
        }
    }

    /// The same, also for what an earlier daemon has parked when this one parks nothing.
    pub(crate) fn let_go(&self, name: String) {
        if let Some(way) = &self.way {
            let _ = way.send(Word::Forget(name));
        }
    }

    /// Waits until the manager has what it was given. Blocks, for so long at most.
    pub(crate) fn flush(&self, within: Duration) {
        if let Some(way) = &self.way {
            let (done, heard) = sync_channel(1);
            if way.send(Word::Flush(done)).is_ok() {
                let _ = heard.recv_timeout(within);
            }
        }
    }
}

fn speak(store: &Store, words: &Receiver<Word>) {
    let mut complained = false;
    for word in words {
        let said = match word {
            Word::Park(name, fds) => store.keep(&name, &fds),
            Word::Forget(name) => store.forget(&name),
            Word::Flush(done) => store.barrier().map(|sign| {
                let _ = poll(&mut [PollFd::new(&sign, PollFlags::IN)], None::<&Timespec>);
                let _ = done.try_send(());
            }),
        };
        if let (Err(error), false) = (said, complained) {
            complained = true;
            tracing::warn!("the service manager cannot keep what should outlive this daemon: {error}");
        }
    }
}
