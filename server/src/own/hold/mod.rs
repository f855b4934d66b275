//! A keeper in the runtime: one task owns the lifeline, everybody else asks it.
//!
//! A keeper that is killed takes its workers along, and the next worker that is asked for gets a new keeper.

mod post;
mod stand;
mod task;

use super::ground::Ground;
use super::identity;
use super::lifeline::Known;
use super::limit::Limit;
use super::subtree::Wish;
use crate::handover::{Deed, Handover, LeftKeeper, LeftLife};
use sidewinder_keeper_wire::{Ending, Failure, ForkRequest, Gone, Graces, SpawnRequest, Welcome};
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// Requests that wait for the task.
const MAILBOX: usize = 1024;
/// Numbers of fork servers, far from those of workers.
pub(crate) const SERVERS_FROM: u32 = 1 << 31;
/// What is told of one worker: spawned, exited, gone; and a failure instead of any.
const NEWS_MAX: usize = 4;

/// What the keeper tells of one worker.
#[derive(Debug)]
pub(crate) enum News {
    /// Its program runs: its pidfd, and the run of the keeper.
    Spawned(OwnedFd, Arc<str>),
    Failed(Failure),
    /// Its own process has ended.
    Exited(Ending),
    /// Its whole tree is gone.
    Gone(Box<Gone>),
}

enum Order {
    Spawn { request: Box<SpawnRequest>, fds: Vec<OwnedFd>, news: mpsc::Sender<News>, number: u32 },
    Fork { request: Box<ForkRequest>, fds: Vec<OwnedFd>, news: mpsc::Sender<News>, number: u32 },
    Signal(u32, i32),
    Kill(u32),
    Limit(Vec<Limit>, oneshot::Sender<Result<(), String>>),
    Ping(oneshot::Sender<()>),
}

/// A way to the keeper. When the last one is dropped, the pool ends.
#[derive(Clone, Debug)]
pub(crate) struct Hold {
    orders: mpsc::Sender<Order>,
    over: watch::Receiver<Option<PathBuf>>,
}

/// A way to a keeper that does not keep it.
#[derive(Clone, Debug)]
pub(crate) struct WeakHold {
    orders: mpsc::WeakSender<Order>,
}

impl WeakHold {
    pub(crate) async fn signal(&self, number: u32, signal: i32) {
        if let Some(orders) = self.orders.upgrade() {
            let _ = orders.send(Order::Signal(number, signal)).await;
        }
    }
}

/// Waits for the end of a keeper without holding it.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    over: watch::Receiver<Option<PathBuf>>,
}

impl Ended {
    pub(crate) async fn wait(mut self) {
        while self.over.changed().await.is_ok() {}
    }
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Spawn { .. } => "Spawn",
            Self::Fork { .. } => "Fork",
            Self::Signal(..) => "Signal",
            Self::Kill(_) => "Kill",
            Self::Limit(..) => "Limit",
            Self::Ping(_) => "Ping",
        })
    }
}

/// What every keeper of a pool is to be like.
#[derive(Clone, Debug)]
pub(crate) struct Wishes {
    pub(crate) namespace: bool,
    pub(crate) cgroup: Wish,
    /// What each worker may use.
    pub(crate) limits: Vec<Limit>,
    pub(crate) graces: Graces,
    /// Which daemon it is, by where that listens.
    pub(crate) instance: String,
    pub(crate) parking: Parking,
}

/// How a keeper is left for a successor of its owner.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parking {
    pub(crate) handover: Handover,
    pub(crate) pool: String,
    /// A digest of the rules by which keepers are started.
    pub(crate) rules: u64,
}

/// A life of a keeper that was taken over.
#[derive(Debug)]
pub(crate) struct Survivor {
    pub(crate) left: LeftLife,
    /// Its process, as this process knows it.
    pub(crate) pid: Option<u32>,
    pub(crate) news: mpsc::Receiver<News>,
}

/// What there is after a keeper was taken over.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) hold: Hold,
    pub(crate) welcome: Welcome,
    pub(crate) survivors: Vec<Survivor>,
    /// How many of its workers were there for nobody, and end.
    pub(crate) unknown: usize,
    /// The first numbers that no worker and no fork server has.
    pub(crate) next_number: u32,
    pub(crate) next_server: u32,
}

impl Hold {
    /// Starts a keeper, and a task that talks to it.
    pub(crate) async fn start(wishes: Wishes) -> io::Result<(Self, Welcome)> {
        let (post, welcome) = post::Post::take(&wishes).await?;
        let (orders, mailbox) = mpsc::channel(MAILBOX);
        let (alive, over) = watch::channel(None);
        tokio::spawn(task::Task::new(wishes, post, alive).run(mailbox));
        Ok((Self { orders, over }, welcome))
    }

    /// Takes a keeper over that an earlier daemon has left, and those of its workers that were left with it. The others
    /// are ended: nobody can speak with them.
    pub(crate) async fn take_over(
        wishes: Wishes,
        keeper: LeftKeeper,
        lives: Vec<LeftLife>,
    ) -> io::Result<Taken> {
        let (post, welcome, known) = post::Post::take_over(&wishes, keeper).await?;
        let (servers, workers): (Vec<u32>, Vec<u32>) =
            known.iter().map(|known| known.number).partition(|number| *number >= SERVERS_FROM);
        let next_number = workers.into_iter().max().map_or(1, |last| last + 1);
        let next_server = servers.into_iter().max().map_or(SERVERS_FROM, |last| last.saturating_add(1));
        let (orders, mailbox) = mpsc::channel(MAILBOX);
        let (alive, over) = watch::channel(None);
        let handover = wishes.parking.handover.clone();
        let mut task = task::Task::new(wishes, post, alive);
        let mut lives: HashMap<u32, LeftLife> =
            lives.into_iter().map(|left| (left.deed.number, left)).collect();
        let (mut survivors, mut unknown) = (Vec::new(), 0);
        let hold = Self { orders, over };
        for Known { number, pidfd, .. } in known.into_iter().filter(|known| known.living) {
            if let Some(left) = lives.remove(&number) {
                let pid = pidfd.and_then(|pidfd| identity::pid_of(&pidfd).ok());
                let pid = pid.and_then(|pid| u32::try_from(pid).ok());
                survivors.push(Survivor { left, pid, news: task.expect(number) });
            } else {
                unknown += usize::from(number < SERVERS_FROM);
                task.end(number);
            }
        }
        // They have ended while nobody was there.
        lives.into_values().for_each(|left| handover.forget(Deed::Life(left.deed).name()));
        tokio::spawn(task.run(mailbox));
        Ok(Taken { hold, welcome, survivors, unknown, next_number, next_server })
    }

    /// Asks for a worker. The news ends without `Gone` or `Failed` when the keeper is lost.
    pub(crate) async fn spawn(
        &self,
        number: u32,
        request: SpawnRequest,
        fds: Vec<OwnedFd>,
    ) -> mpsc::Receiver<News> {
        let (news, receiver) = mpsc::channel(NEWS_MAX);
        // A keeper that is lost drops the sender: that is the answer.
        let _ = self.orders.send(Order::Spawn { request: Box::new(request), fds, news, number }).await;
        receiver
    }

    /// Asks for a worker that is forked from a fork server. Without `Spawned` before its `Gone` it never began.
    pub(crate) async fn fork(
        &self,
        number: u32,
        from: u32,
        numbers: &[u32],
        fds: Vec<OwnedFd>,
    ) -> mpsc::Receiver<News> {
        let (news, receiver) = mpsc::channel(NEWS_MAX);
        let request = ForkRequest { from, fds: numbers.to_vec(), ..ForkRequest::default() };
        let _ = self.orders.send(Order::Fork { request: Box::new(request), fds, news, number }).await;
        receiver
    }

    pub(crate) async fn signal(&self, number: u32, signal: i32) {
        let _ = self.orders.send(Order::Signal(number, signal)).await;
    }

    pub(crate) async fn kill(&self, number: u32) {
        let _ = self.orders.send(Order::Kill(number)).await;
    }

    /// Gives other limits to the workers that are started from now on.
    pub(crate) async fn limit(&self, limits: Vec<Limit>) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        let _ = self.orders.send(Order::Limit(limits, reply)).await;
        answer.await.unwrap_or(Ok(()))
    }

    /// A way to a keeper that may have left by the time that it is needed. It holds nobody.
    pub(crate) fn weak(&self) -> WeakHold {
        WeakHold { orders: self.orders.downgrade() }
    }

    /// A hold whose keeper never does anything. It lasts for as long as the guard.
    #[cfg(test)]
    pub(crate) fn deaf() -> (Self, impl Send) {
        let (orders, mailbox) = mpsc::channel(MAILBOX);
        let (alive, over) = watch::channel(None);
        (Self { orders, over }, (mailbox, alive))
    }

    /// Waits until the keeper has answered, if there is one now. False: nobody is there who could ask it.
    pub(crate) async fn ping(&self) -> bool {
        let (reply, answer) = oneshot::channel();
        let _ = self.orders.send(Order::Ping(reply)).await;
        answer.await.is_ok()
    }

    /// Where the cgroup of the keeper is, if it has one. It holds nobody, and ends with the last hold.
    pub(crate) fn place(&self) -> watch::Receiver<Option<PathBuf>> {
        self.over.clone()
    }

    /// A way to wait for the end of the keeper.
    pub(crate) fn ended(&self) -> Ended {
        Ended { over: self.over.clone() }
    }
}
