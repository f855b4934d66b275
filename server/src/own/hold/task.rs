//! The task that talks to a keeper, and takes another one when it is lost.

use super::stand::{self, is_root};
use super::{Ground, Limit, NEWS_MAX, News, Order, Parking, Wishes};
use crate::handover::{Deed, Handover, KeeperDeed, LeftKeeper, inode};
use crate::own::ground::Standing;
use crate::own::lifeline::{Heard, Known, Lifeline};
use crate::own::sweep::Scope;
use crate::own::watched::watched;
use crate::own::{identity, record, sweep};
use rustix::process::{Signal, pidfd_send_signal};
use sidewinder_keeper::wire::{Failure, Report, Request, SpawnRequest, Stage, Welcome};
use sidewinder_keeper::{RUN_VARIABLE, Tier, complain};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

/// A keeper that does not move is woken this often,
const WAKE_EVERY: Duration = Duration::from_millis(500);
/// so many times, and then killed.
const WAKES_MAX: u32 = 40;
/// A killed keeper is gone at once, but for a process below it in uninterruptible sleep.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// A keeper at its post.
pub(super) struct Post {
    ground: Ground,
    lifeline: Lifeline,
    keeper: OwnedFd,
    /// Copies of the descriptors, for the runtime to watch.
    line: AsyncFd<OwnedFd>,
    death: AsyncFd<OwnedFd>,
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
    async fn leave(self) {
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
    fn abandon(self) {
        self.forget();
        let Self { ground, .. } = self;
        clean_up_after(ground);
    }

    async fn send(&self, request: &Request, fds: &[OwnedFd]) -> io::Result<()> {
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
    fn complete(&self, mut request: SpawnRequest) -> SpawnRequest {
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

pub(super) struct Task {
    wishes: Wishes,
    post: Option<Post>,
    /// Where the cgroup of the keeper is. Dropped at the end of the task, which is the end of the keeper.
    place: watch::Sender<Option<PathBuf>>,
    workers: HashMap<u32, mpsc::Sender<News>>,
    /// Workers that are there and for nobody.
    unwanted: Vec<u32>,
    /// Endings to acknowledge when the keeper reads again.
    unacknowledged: Vec<u32>,
    /// Who waits for the keeper to say who lives: proof that it is there.
    pings: Vec<oneshot::Sender<()>>,
    /// The keeper was asked who lives and has not answered yet.
    owed: Option<Owed>,
}

/// A sign of life that a keeper owes. Its age is counted in wakes: a daemon that stands still blames nobody for it.
struct Owed {
    wakes: u32,
    next: Instant,
}

impl Owed {
    fn from_now() -> Self {
        Self { wakes: 0, next: Instant::now() + WAKE_EVERY }
    }
}

impl Task {
    pub(super) fn new(wishes: Wishes, post: Post, place: watch::Sender<Option<PathBuf>>) -> Self {
        post.ground.held.notes.iter().for_each(|note| complain!("{note}"));
        place.send_replace(post.ground.cgroup.clone());
        Self {
            wishes,
            post: Some(post),
            place,
            workers: HashMap::new(),
            unwanted: Vec::new(),
            unacknowledged: Vec::new(),
            pings: Vec::new(),
            owed: None,
        }
    }

    /// News of a worker that is there already.
    pub(super) fn expect(&mut self, number: u32) -> mpsc::Receiver<News> {
        let (news, receiver) = mpsc::channel(NEWS_MAX);
        self.workers.insert(number, news);
        receiver
    }

    /// Ends a worker with whom nobody can speak.
    pub(super) fn end(&mut self, number: u32) {
        self.unwanted.push(number);
    }

    /// Until nobody holds the pool any more.
    pub(super) async fn run(mut self, mut mailbox: mpsc::Receiver<Order>) {
        for number in std::mem::take(&mut self.unwanted) {
            self.carry_out(Order::Kill(number)).await;
        }
        while let Some(order) = self.attend(&mut mailbox).await {
            self.carry_out(order).await;
        }
        if let Some(post) = self.post.take() {
            post.leave().await;
        }
    }

    /// Hears what the keeper says until there is an order; nothing when there will be none.
    async fn attend(&mut self, mailbox: &mut mpsc::Receiver<Order>) -> Option<Order> {
        loop {
            self.acknowledge();
            let Some(post) = &self.post else { return mailbox.recv().await };
            let wake = self.owed.as_ref().map_or_else(Instant::now, |owed| owed.next);
            tokio::select! {
                order = mailbox.recv() => return order,
                () = sleep_until(wake), if self.owed.is_some() => self.wake(),
                ready = post.line.readable() => {
                    if let Ok(mut ready) = ready { ready.clear_ready(); }
                    if !self.hear() { self.lose() }
                }
                _ = post.death.readable() => {
                    self.hear();
                    self.lose();
                }
            }
        }
    }

    /// A keeper that owes a sign of life is woken, and killed when that does not help: what is below it goes with it,
    /// and nobody waits for it any longer.
    fn wake(&mut self) {
        let (Some(post), Some(owed)) = (&self.post, &mut self.owed) else { return };
        *owed = Owed { wakes: owed.wakes + 1, next: Instant::now() + WAKE_EVERY };
        let patient = owed.wakes < WAKES_MAX;
        let _ = pidfd_send_signal(&post.keeper, if patient { Signal::CONT } else { Signal::KILL });
        if !patient {
            complain!("the keeper did not answer for {:?} and was killed", WAKE_EVERY * WAKES_MAX);
            self.owed = None;
        }
    }

    /// Whoever waits for news learns that there will be none.
    fn lose(&mut self) {
        if let Some(post) = self.post.take() {
            complain!(
                "the keeper (process {}) was lost, and its workers with it",
                identity::pid_of(&post.keeper).unwrap_or(0)
            );
            self.place.send_replace(None);
            post.abandon();
        }
        self.workers.clear();
        self.unacknowledged.clear();
        self.owed = None;
        self.answer_pings();
    }

    async fn carry_out(&mut self, order: Order) {
        let (request, fds) = match order {
            Order::Spawn { request, fds, news, number } => {
                self.workers.insert(number, news);
                if let Err(error) = self.man().await {
                    return self.refuse(number, &error);
                }
                let request = self.post.as_ref().map(|post| Box::new(post.complete(*request)));
                let Some(request) = request else { return };
                (Request::Spawn(number, request), fds)
            }
            Order::Fork { mut request, fds, news, number } => {
                self.workers.insert(number, news);
                // A keeper that is lost took its fork servers along.
                let Some(post) = &self.post else { return drop(self.workers.remove(&number)) };
                request.limits = post.ground.held.tree.clone();
                request.rlimits.clone_from(&post.ground.held.process);
                (Request::Fork(number, request), fds)
            }
            Order::Signal(number, signal) => (Request::Signal(number, signal), Vec::new()),
            Order::Kill(number) => (Request::Kill(number), Vec::new()),
            Order::Ping(reply) => {
                self.pings.retain(|waiting| !waiting.is_closed());
                self.pings.push(reply);
                if self.post.is_none() {
                    // The next worker that is asked for gets another keeper: nobody owes an answer now.
                    self.answer_pings();
                }
                (Request::List, Vec::new())
            }
            Order::Limit(limits, reply) => {
                // Whoever asked may be gone.
                let _ = reply.send(self.limit(limits));
                return;
            }
        };
        let Some(post) = &self.post else { return };
        match (post.send(&request, &fds).await, &request) {
            (Err(error), _) if error.kind() == io::ErrorKind::BrokenPipe => self.lose(),
            // A request that cannot be sent at all (an environment too large, say) is a worker that cannot be started.
            (Err(error), Request::Spawn(number, _) | Request::Fork(number, _)) => {
                self.refuse(*number, &error);
            }
            // A dead worker may take its time in the kernel; its keeper may not.
            (Ok(()), Request::Kill(_)) => self.ask().await,
            (Ok(()), Request::List) => _ = self.owed.get_or_insert_with(Owed::from_now),
            (Ok(()) | Err(_), _) => {}
        }
    }

    /// Has the keeper show that it is there.
    async fn ask(&mut self) {
        let Some(post) = self.post.as_ref().filter(|_| self.owed.is_none()) else { return };
        match post.send(&Request::List, &[]).await {
            Ok(()) => self.owed = Some(Owed::from_now()),
            Err(_) => self.lose(),
        }
    }

    fn limit(&mut self, limits: Vec<Limit>) -> Result<(), String> {
        if let Some(post) = &mut self.post {
            post.ground.hold_to(&self.wishes.cgroup, &limits, is_root())?;
            post.ground.held.notes.iter().for_each(|note| complain!("{note}"));
        }
        self.wishes.limits = limits;
        Ok(())
    }

    /// Sees to it that there is a keeper.
    async fn man(&mut self) -> io::Result<()> {
        if self.post.is_none() {
            let (post, welcome) = Post::take(&self.wishes).await?;
            complain!("a new keeper stands (tier {})", welcome.tier);
            self.place.send_replace(post.ground.cgroup.clone());
            self.post = Some(post);
        }
        Ok(())
    }

    fn refuse(&mut self, number: u32, error: &io::Error) {
        let failure = Failure { stage: Stage::Fork, errno: 0, message: error.to_string() };
        self.tell(number, News::Failed(failure));
        self.workers.remove(&number);
    }

    /// Hears what there is. False when the keeper is gone.
    fn hear(&mut self) -> bool {
        loop {
            let Some(post) = &mut self.post else { return false };
            match post.lifeline.hear() {
                Ok(Heard::Nothing) => return true,
                Ok(Heard::Closed) | Err(_) => return false,
                Ok(Heard::Report(report, fd)) => self.pass_on(report, fd),
            }
        }
    }

    fn pass_on(&mut self, report: Report, fd: Option<OwnedFd>) {
        match report {
            Report::Spawned(number, _) => {
                if let (Some(pidfd), Some(post)) = (fd, &self.post) {
                    let run = Arc::from(post.ground.record.facts.run.as_str());
                    self.tell(number, News::Spawned(pidfd, run));
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
                self.tell(number, News::Failed(Failure { stage: Stage::Fork, errno: 0, message: why }));
            }
            Report::Listed(_) => {
                self.owed = None;
                self.answer_pings();
            }
            Report::Welcome(_) | Report::Entry(..) | Report::Drained => {}
        }
    }

    fn answer_pings(&mut self) {
        // Whoever asked may have lost patience.
        for reply in self.pings.drain(..) {
            let _ = reply.send(());
        }
    }

    fn acknowledge(&mut self) {
        let Some(post) = &self.post else { return };
        self.unacknowledged.retain(|number| post.lifeline.send(&Request::Acknowledge(*number), &[]).is_err());
    }

    fn tell(&self, number: u32, news: News) {
        if let Some(worker) = self.workers.get(&number) {
            let _ = worker.try_send(news);
        }
    }
}
