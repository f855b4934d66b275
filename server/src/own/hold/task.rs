//! The task that talks to a keeper, and takes another one when it is lost.

use super::post::{Post, WAKE_EVERY, WAKES_MAX};
use super::stand::is_root;
use super::{Limit, NEWS_MAX, News, Order, Wishes};
use crate::own::identity;
use crate::own::lifeline::Heard;
use rustix::process::{Signal, pidfd_send_signal};
use sidewinder_keeper_kernel::complain;
use sidewinder_keeper_wire::{ENDING, Failure, Report, Request, Stage};
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

/// Shorter than any pause before a worker is tried again.
const ASKED_MEANWHILE: Duration = Duration::from_millis(50);

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
    /// The keeper was told to end by a stranger, and nobody is left below it.
    dismissed: bool,
    /// Workers that the keeper does not start any more. They hear of it when it has left, and another one can be had.
    put_off: Vec<u32>,
    /// When there was no keeper to be had, and why.
    denied: Option<(Instant, String)>,
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
            dismissed: false,
            put_off: Vec::new(),
            denied: None,
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
                    if !self.hear() {
                        self.lose();
                    } else if self.dismissed {
                        self.release().await;
                    }
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
            post.abandon();
        }
        self.forget();
    }

    /// Lets a keeper go that takes nobody any more, and has nobody.
    async fn release(&mut self) {
        if let Some(post) = self.post.take() {
            complain!(
                "the keeper (process {}) was told to end by somebody else, and leaves",
                identity::pid_of(&post.keeper).unwrap_or(0)
            );
            post.leave().await;
        }
        self.forget();
    }

    /// What was of the keeper that was there.
    fn forget(&mut self) {
        self.place.send_replace(None);
        for number in std::mem::take(&mut self.put_off) {
            self.refuse(number, &io::Error::other(ENDING));
        }
        self.workers.clear();
        self.unacknowledged.clear();
        self.owed = None;
        self.dismissed = false;
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

    /// Sees to it that there is a keeper. A try may take seconds: those who asked meanwhile have the same answer.
    async fn man(&mut self) -> io::Result<()> {
        if self.post.is_some() {
            return Ok(());
        }
        if let Some((when, why)) = &self.denied
            && when.elapsed() < ASKED_MEANWHILE
        {
            return Err(io::Error::other(why.clone()));
        }
        match Post::take(&self.wishes).await {
            Ok((post, welcome)) => {
                complain!("a new keeper stands (tier {})", welcome.tier);
                self.place.send_replace(post.ground.cgroup.clone());
                self.post = Some(post);
                Ok(())
            }
            Err(error) => {
                self.denied = Some((Instant::now(), error.to_string()));
                Err(error)
            }
        }
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
            // Its last workers may take their time, and nobody is to be given up meanwhile.
            Report::Refused(number, why) if why == ENDING => self.put_off.push(number),
            Report::Refused(number, why) => {
                self.tell(number, News::Failed(Failure { stage: Stage::Fork, errno: 0, message: why }));
            }
            Report::Listed(_) => {
                self.owed = None;
                self.answer_pings();
            }
            // Not because of us: somebody has told it to end, and it takes nobody any more.
            Report::Drained => self.dismissed = true,
            Report::Welcome(_) | Report::Entry(..) => {}
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
