//! A keeper in the runtime: one task owns the lifeline, everybody else asks it.
//!
//! A keeper that is killed takes its workers along, and the next worker that is asked for gets a new keeper.

mod stand;
mod task;

use super::ground::Ground;
use super::limit::Limit;
use super::subtree::Wish;
use sidewinder_keeper::wire::{Ending, Failure, ForkRequest, Gone, Graces, SpawnRequest, Welcome};
use std::io;
use std::os::fd::OwnedFd;
use tokio::sync::{mpsc, oneshot, watch};

/// Requests that wait for the task.
const MAILBOX: usize = 1024;
/// What is told of one worker: spawned, exited, gone; and a failure instead of any.
const NEWS_MAX: usize = 4;

/// What the keeper tells of one worker.
#[derive(Debug)]
pub(crate) enum News {
    /// Its program runs; the descriptor is its pidfd.
    Spawned(OwnedFd),
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
    over: watch::Receiver<()>,
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
    over: watch::Receiver<()>,
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
}

impl Hold {
    /// Starts a keeper, and a task that talks to it.
    pub(crate) async fn start(wishes: Wishes) -> io::Result<(Self, Welcome)> {
        let (post, welcome) = task::Post::take(&wishes).await?;
        let (orders, mailbox) = mpsc::channel(MAILBOX);
        let (alive, over) = watch::channel(());
        tokio::spawn(task::Task::new(wishes, post, alive).run(mailbox));
        Ok((Self { orders, over }, welcome))
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
        let (alive, over) = watch::channel(());
        (Self { orders, over }, (mailbox, alive))
    }

    /// Waits until the keeper has answered, if there is one now. False: nobody is there who could ask it.
    pub(crate) async fn ping(&self) -> bool {
        let (reply, answer) = oneshot::channel();
        let _ = self.orders.send(Order::Ping(reply)).await;
        answer.await.is_ok()
    }

    /// A way to wait for the end of the keeper.
    pub(crate) fn ended(&self) -> Ended {
        Ended { over: self.over.clone() }
    }
}
