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
//! Without a service manager the parcels lie in this process (`shelf`), and go on with it when another program is executed
//! in the place of this one (`passage`), once that has shown that it takes them over (`successor`).
//!
//! A parked descriptor is a copy, so nobody at its other end sees an end-of-file when the daemon dies. That is the point,
//! and the danger: whatever ends has to be forgotten here.

mod deed;
mod digest;
mod left;
mod passage;
mod shelf;
mod successor;

use crate::systemd::Store;
pub(crate) use deed::{Deed, KeeperDeed, LifeDeed, inode};
pub(crate) use digest::Digest;
pub(crate) use left::{Left, LeftKeeper, LeftLife};
pub(crate) use passage::{Doors, Passed, TcpDoor, UnixDoor};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Timespec;
use shelf::Shelf;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;
pub(crate) use successor::{Successor, introduction};

/// The way to what outlives the daemon.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handover {
    way: Way,
}

#[derive(Clone, Debug, Default)]
enum Way {
    /// Nothing is to outlive it.
    #[default]
    Nowhere,
    /// To the manager's store. Without `live` it only lets go what an earlier daemon has left there.
    ///
    /// The queue has no bound of its own: what waits in it is one word for each keeper and life that begins or ends.
    Store { words: Sender<Word>, live: bool },
    /// To the next program of this process.
    Shelf(Shelf),
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
        let (words, heard) = channel();
        std::thread::Builder::new().name("handover".to_owned()).spawn(move || speak(&store, &heard))?;
        Ok(Self { way: Way::Store { words, live } })
    }

    /// Hands over to the next program of this process. What the one before has left is kept for that one, too.
    pub(crate) fn within(left: &[(String, OwnedFd)]) -> io::Result<Self> {
        Ok(Self { way: Way::Shelf(Shelf::with_copies(left)?) })
    }

    /// Whether anything outlives this daemon.
    pub(crate) fn is_on(&self) -> bool {
        self.key().is_some()
    }

    /// Whether it outlives the process of this daemon, and not only its program.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.way, Way::Store { live: true, .. })
    }

    /// The setting by which something outlives this daemon.
    pub(crate) fn key(&self) -> Option<&'static str> {
        match self.way {
            Way::Store { live: true, .. } => Some("daemon.live"),
            Way::Shelf(_) => Some("daemon.upgrade"),
            Way::Nowhere | Way::Store { live: false, .. } => None,
        }
    }

    /// Whether another program can go on in this process; the text says why not.
    pub(crate) fn may_pass(&self) -> Result<(), String> {
        Err(match self.way {
            Way::Shelf(_) => return Ok(()),
            Way::Store { live: true, .. } => {
                "a service manager keeps what outlives this daemon: restart its unit (`systemctl restart`) instead"
            }
            Way::Nowhere | Way::Store { live: false, .. } => {
                "`daemon.upgrade` is off, so nothing is kept for a next daemon: set it, and start this one again"
            }
        }
        .to_owned())
    }

    /// A successor is to find these, in the order of the deed.
    pub(crate) fn park(&self, deed: &Deed, fds: Vec<OwnedFd>) -> io::Result<()> {
        if !self.is_on() {
            return Ok(());
        }
        let mut parcel = vec![deed.seal()?];
        parcel.extend(fds);
        match &self.way {
            Way::Nowhere => {}
            Way::Store { words, .. } => _ = words.send(Word::Park(deed.name(), parcel)),
            Way::Shelf(here) => here.put(deed.name(), parcel),
        }
        Ok(())
    }

    /// Nobody is to find what was parked under this name any more.
    pub(crate) fn forget(&self, name: String) {
        if self.is_on() {
            self.let_go(name);
        }
    }

    /// The same, also for what an earlier daemon has parked when this one parks nothing.
    pub(crate) fn let_go(&self, name: String) {
        match &self.way {
            Way::Nowhere => {}
            Way::Store { words, .. } => _ = words.send(Word::Forget(name)),
            Way::Shelf(here) => here.drop(&name),
        }
    }

    /// Waits until the manager has what it was given. Blocks, for so long at most.
    pub(crate) fn flush(&self, within: Duration) {
        if let Way::Store { words, .. } = &self.way {
            let (done, heard) = sync_channel(1);
            if words.send(Word::Flush(done)).is_ok() {
                let _ = heard.recv_timeout(within);
            }
        }
    }

    /// Has another program go on in this process, with these doors and everything that is parked. Returns only to say
    /// why that failed; then nothing has changed.
    pub(crate) fn pass(&self, to: &Successor, doors: &Doors) -> io::Error {
        match &self.way {
            Way::Shelf(here) => passage::pass(to, doors, &here.look()),
            Way::Nowhere | Way::Store { .. } => io::Error::other("nothing is kept for it"),
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
