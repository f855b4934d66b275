//! A keeper at its post: how it takes that, is spoken to, and leaves it.

use super::stand;
use super::{Ground, Parking, Wishes};
use crate::handover::{Deed, Handover, KeeperDeed, LeftKeeper, inode};
use crate::own::ground::Standing;
use crate::own::lifeline::{Known, Lifeline};
use crate::own::sweep::Scope;
use crate::own::watched::watched;
use crate::own::{record, sweep};
use rustix::process::{Signal, pidfd_send_signal};
use sidewinder_keeper_kernel::complain;
use sidewinder_keeper_wire::{RUN_VARIABLE, Request, SpawnRequest, Tier, Welcome};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A keeper that does not move is woken this often,
pub(super) const WAKE_EVERY: Duration = Duration::from_millis(500);
/// so many times, and then killed.
pub(super) const WAKES_MAX: u32 = 40;
/// A killed keeper is gone at once, but for a process below it in uninterruptible sleep.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// A keeper at its post.
pub(super) struct Post {
    pub(super) ground: Ground,
    pub(super) lifeline: Lifeline,
    pub(super) keeper: OwnedFd,
    /// Copies of the descriptors, for the runtime to watch.
    pub(super) line: AsyncFd<OwnedFd>,
    pub(super) death: AsyncFd<OwnedFd>,
    handover: Handover,
}

/// What is kept for a successor takes more than this machine gives.
fn may_be_left(wishes: &Wishes, welcome: &Welcome) -> io::Result<()> {
    match wishes.parking.handover.key() {
        Some(key) if welcome.tier == Tier::C => Err(io::Error::other(format!(
            "{key} takes a PID namespace or a delegated cgroup, so that nothing is left when daemon and keeper die \
             together, and this machine gives neither (tier C, see `sidewinder doctor`): allow one of them, or switch \
             it off"
        ))),
        Some(_) | None => Ok(()),
    }
}

fn watch(lifeline: &Lifeline, keeper: &OwnedFd) -> io::Result<(AsyncFd<OwnedFd>, AsyncFd<OwnedFd>)> {
    let line = watched(lifeline.as_fd().try_clone_to_owned()?, Interest::READABLE | Interest::WRITABLE)?;
    Ok((line, watched(keeper.try_clone()?, Interest::READABLE)?))
}

impl Post {
    /// Has a keeper take its post.
    pub(super) async fn take(wishes: &Wishes) -> io::Result<(Self, Welcome)> {
        let (ground, standing) = stand::apart(wishes.clone()).await?;
        let Standing { lifeline, keeper, welcome } = standing;
        let ready = may_be_left(wishes, &welcome).and_then(|()| watch(&lifeline, &keeper));
        match ready {
            Ok((line, death)) => {
                let handover = wishes.parking.handover.clone();
                let post = Self { ground, lifeline, keeper, line, death, handover };
                post.park(&wishes.parking)?;
                Ok((post, welcome))
            }
            Err(error) => {
                stand::dismiss(ground, lifeline, &keeper);
                Err(error)
            }
        }
    }

    /// Has a keeper that has lost its owner go on for this one.
    pub(super) async fn take_over(
        wishes: &Wishes,
        left: LeftKeeper,
    ) -> io::Result<(Self, Welcome, Vec<Known>)> {
        let (ground, standing, known) = stand::take_over_apart(wishes.clone(), left).await?;
        let Standing { lifeline, keeper, welcome } = standing;
        let (line, death) = watch(&lifeline, &keeper)?;
        let handover = wishes.parking.handover.clone();
        Ok((Self { ground, lifeline, keeper, line, death, handover }, welcome, known))
    }

    /// A successor of this process is to find the keeper.
    fn park(&self, parking: &Parking) -> io::Result<()> {
        if !self.handover.is_on() {
            return Ok(());
        }
        let fds = vec![self.lifeline.as_fd().try_clone_to_owned()?, self.ground.record.lock()?];
        let inodes = fds.iter().map(inode).collect::<io::Result<_>>()?;
        let (run, record) = (self.ground.record.facts.run.clone(), self.ground.record.path.clone());
        let (pool, rules) = (parking.pool.clone(), parking.rules);
        self.handover.park(&Deed::Keeper(KeeperDeed { run, pool, record, rules, inodes }), fds)
    }

    fn forget(&self) {
        self.handover.forget(format!("keeper.{}", self.ground.record.facts.run));
    }

    /// Lets the keeper leave. Its end is the proof that everybody below it is gone.
    pub(super) async fn leave(self) {
        // A parked copy of its lifeline would keep it.
        self.forget();
        let Self { ground, lifeline, line, death, keeper, .. } = self;
        drop((lifeline, line));
        for _ in 0..WAKES_MAX {
            // Somebody may have stopped it.
            let _ = pidfd_send_signal(&keeper, Signal::CONT);
            if timeout(WAKE_EVERY, death.readable()).await.is_ok() {
                return ground.clear();
            }
        }
        let _ = pidfd_send_signal(&keeper, Signal::KILL);
        complain!("a keeper that did not leave was killed");
        if timeout(KILL_PATIENCE, clean_up_after(ground)).await.is_err() {
            complain!("something of it is left: `sidewinder reap` ends it when the kernel lets go of it");
        }
    }

    /// The keeper was killed.
    pub(super) fn abandon(self) {
        self.forget();
        let Self { ground, .. } = self;
        clean_up_after(ground);
    }

    pub(super) async fn send(&self, request: &Request, fds: &[OwnedFd]) -> io::Result<()> {
        let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        let mut wakes = 0;
        while wakes < WAKES_MAX {
            // A keeper that somebody has stopped is woken by every order.
            let _ = pidfd_send_signal(&self.keeper, Signal::CONT);
            match self.lifeline.send(request, &fds) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match timeout(WAKE_EVERY, self.line.writable()).await {
                        Ok(ready) => ready?.clear_ready(),
                        Err(_) => wakes += 1,
                    }
                }
                other => return other,
            }
        }
        let _ = pidfd_send_signal(&self.keeper, Signal::KILL);
        Err(io::ErrorKind::BrokenPipe.into())
    }

    /// What a worker of this keeper is, beside what the pool wishes.
    pub(super) fn complete(&self, mut request: SpawnRequest) -> SpawnRequest {
        let held = &self.ground.held;
        request.limits = held.tree.clone();
        if request.nest.is_some() {
            // Many are below a fork server while they are on their way.
            request.limits.pids_max = None;
        }
        request.rlimits.clone_from(&held.process);
        request.environment.push(format!("{RUN_VARIABLE}={}", self.ground.record.facts.run).into_bytes());
        request
    }
}

/// The wardens of a keeper that was killed end what is below them; then somebody has to clean up.
fn clean_up_after(ground: Ground) -> JoinHandle<()> {
    let path = ground.record.path.clone();
    let scope = Scope::of(&ground.record.facts.instance);
    drop(ground);
    tokio::task::spawn_blocking(move || {
        record::wait_until_free(&path);
        if let Err(error) = sweep::sweep(&scope) {
            complain!("cannot look for what the lost keeper left: {error}");
        }
    })
}
