//! A keeper in the runtime: one task owns the lifeline, everybody else asks it.

use super::lifeline::{Heard, Lifeline};
use super::record::Record;
use super::watched::watched;
use rustix::process::{Signal, pidfd_send_signal};
use sidewinder_keeper::linux::facts;
use sidewinder_keeper::wire::{Ending, Failure, Gone, Graces, Report, Request, SpawnRequest, Welcome};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, watch};

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
    Signal(u32, i32),
    Kill(u32),
}

/// A way to the keeper. When the last one is dropped, the pool ends.
#[derive(Clone, Debug)]
pub(crate) struct Hold {
    orders: mpsc::Sender<Order>,
    over: watch::Receiver<()>,
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
            Self::Signal(..) => "Signal",
            Self::Kill(_) => "Kill",
        })
    }
}

impl Hold {
    /// Starts a keeper, and a task that talks to it. Blocks for the few milliseconds that the keeper takes.
    pub(crate) fn start(namespace: bool, graces: Graces) -> io::Result<(Self, Welcome, String)> {
        let mut record = Record::begin(facts::boot_id()?, super::identity::own().ok())?;
        let mut lifeline = Lifeline::start(namespace, &record)?;
        let (welcome, keeper) = lifeline.hello(graces, None)?;
        record.note(|facts| facts.keeper = super::identity::Identity::of(&keeper).ok())?;
        let run = record.facts.run.clone();
        let (orders, mailbox) = mpsc::channel(MAILBOX);
        let (alive, over) = watch::channel(());
        let task = Task {
            lifeline,
            keeper,
            record,
            _alive: alive,
            workers: HashMap::new(),
            unacknowledged: Vec::new(),
        };
        tokio::spawn(task.run(mailbox));
        Ok((Self { orders, over }, welcome, run))
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

    pub(crate) async fn signal(&self, number: u32, signal: i32) {
        let _ = self.orders.send(Order::Signal(number, signal)).await;
    }

    pub(crate) async fn kill(&self, number: u32) {
        let _ = self.orders.send(Order::Kill(number)).await;
    }

    /// A way to wait for the end of the keeper.
    pub(crate) fn ended(&self) -> Ended {
        Ended { over: self.over.clone() }
    }
}

struct Task {
    lifeline: Lifeline,
    keeper: OwnedFd,
    /// Its lock says that somebody is there to clean up.
    record: Record,
    /// Dropped at the end of the task, which is the end of the keeper.
    _alive: watch::Sender<()>,
    workers: HashMap<u32, mpsc::Sender<News>>,
    /// Endings to acknowledge when the keeper reads again.
    unacknowledged: Vec<u32>,
}

impl Task {
    async fn run(mut self, mailbox: mpsc::Receiver<Order>) {
        let Ok((line, keeper)) = self.watched() else { return };
        self.serve(mailbox, &line, &keeper).await;
        // Nobody needs the keeper any more, or it is dead. Its end is the proof that everybody below it is gone.
        drop((self.lifeline, line));
        let _ = keeper.readable().await;
        self.record.end();
    }

    async fn serve(
        &mut self,
        mut mailbox: mpsc::Receiver<Order>,
        line: &AsyncFd<OwnedFd>,
        keeper: &AsyncFd<OwnedFd>,
    ) {
        loop {
            self.acknowledge();
            tokio::select! {
                order = mailbox.recv() => match order {
                    Some(order) => if self.carry_out(order, line).await.is_err() { break },
                    None => break,
                },
                ready = line.readable() => {
                    let Ok(mut ready) = ready else { break };
                    ready.clear_ready();
                    if !self.hear() { break }
                }
                _ = keeper.readable() => {
                    self.hear();
                    break;
                }
            }
        }
    }

    /// Copies of the descriptors, for the runtime to watch. They are closed together with the originals.
    fn watched(&self) -> io::Result<(AsyncFd<OwnedFd>, AsyncFd<OwnedFd>)> {
        let line =
            watched(self.lifeline.as_fd().try_clone_to_owned()?, Interest::READABLE | Interest::WRITABLE)?;
        let keeper = watched(self.keeper.try_clone()?, Interest::READABLE)?;
        Ok((line, keeper))
    }

    async fn carry_out(&mut self, order: Order, line: &AsyncFd<OwnedFd>) -> io::Result<()> {
        let (request, fds) = match order {
            Order::Spawn { request, fds, news, number } => {
                self.workers.insert(number, news);
                (Request::Spawn(number, request), fds)
            }
            Order::Signal(number, signal) => (Request::Signal(number, signal), Vec::new()),
            Order::Kill(number) => (Request::Kill(number), Vec::new()),
        };
        // A keeper that somebody has stopped is woken by every order.
        let _ = pidfd_send_signal(&self.keeper, Signal::CONT);
        loop {
            let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
            match self.lifeline.send(&request, &fds) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    line.writable().await?.clear_ready();
                }
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Err(error),
                Err(error) => {
                    self.refuse(&request, &error);
                    return Ok(());
                }
                Ok(()) => return Ok(()),
            }
        }
    }

    /// A request that cannot be sent at all (an environment too large, say) is a worker that cannot be started.
    fn refuse(&mut self, request: &Request, error: &io::Error) {
        if let Request::Spawn(number, _) = request {
            let stage = sidewinder_keeper::wire::Stage::Fork;
            self.tell(*number, News::Failed(Failure { stage, errno: 0, message: error.to_string() }));
            self.workers.remove(number);
        }
    }

    /// Hears what there is. False when the keeper is gone.
    fn hear(&mut self) -> bool {
        loop {
            match self.lifeline.hear() {
                Ok(Heard::Nothing) => return true,
                Ok(Heard::Closed) | Err(_) => return false,
                Ok(Heard::Report(report, fd)) => self.pass_on(report, fd),
            }
        }
    }

    fn pass_on(&mut self, report: Report, fd: Option<OwnedFd>) {
        match report {
            Report::Spawned(number, _) => {
                if let Some(pidfd) = fd {
                    self.tell(number, News::Spawned(pidfd));
                }
            }
            Report::Failed(number, failure) => {
                self.tell(number, News::Failed(failure));
                self.workers.remove(&number);
            }
            Report::Exited(number, ending) => self.tell(number, News::Exited(ending)),
            Report::Gone(number, gone) => {
                self.tell(number, News::Gone(gone));
                self.workers.remove(&number);
                self.unacknowledged.push(number);
            }
            Report::Refused(number, why) => {
                let stage = sidewinder_keeper::wire::Stage::Fork;
                self.tell(number, News::Failed(Failure { stage, errno: 0, message: why }));
            }
            Report::Welcome(_) | Report::Entry(..) | Report::Listed(_) | Report::Drained => {}
        }
    }

    fn acknowledge(&mut self) {
        let lifeline = &self.lifeline;
        self.unacknowledged.retain(|number| lifeline.send(&Request::Acknowledge(*number), &[]).is_err());
    }

    fn tell(&self, number: u32, news: News) {
        if let Some(worker) = self.workers.get(&number) {
            let _ = worker.try_send(news);
        }
    }
}
