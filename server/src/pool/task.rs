//! One loop around the core: facts in, decisions carried out.

use super::handle::{Handle, Verdict};
use super::inherit::{Heir, Inheritance};
use super::mailbox::{self, Ears, Order, Reply, Submission, Ways};
use super::measure::cause_of;
use super::strain;
use crate::own::hold::{Hold, SERVERS_FROM};
use crate::telemetry::{Events, What};
use crate::worker::brood::Brood;
use crate::worker::life::{LastWords, Spec, Told};
use crate::worker::link::Link;
use bytes::Bytes;
use sidewinder_core::{CallId, Checked, Effect, Event, Jitter, Life, Phase, Pool, Size, SlotId, Snapshot};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// What lives may tell before they wait.
const TOLD_MAX: usize = 4096;

/// A picture for operators.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    pub(crate) snapshot: Snapshot,
    pub(crate) size: Size,
    pub(crate) seats: u16,
    /// Calls that may wait.
    pub(crate) waiting_max: usize,
    /// The process of each life.
    pub(crate) pids: HashMap<Life, u32>,
    /// What the workers offer, as JSON.
    pub(crate) offer: Option<Bytes>,
    /// Why the last worker did not come up: message and traceback.
    pub(crate) unfit: Option<(String, String)>,
    /// How its fork server is, in a word or a sentence; empty without one.
    pub(crate) fork_server: String,
}

/// What the task knows beside the core.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) core: Pool,
    pub(super) spec: Arc<Spec>,
    pub(super) hold: Hold,
    pub(super) told: mpsc::Sender<Told>,
    /// Callers that wait for a worker.
    pub(super) waiting: HashMap<CallId, Reply>,
    /// Callers that have one.
    pub(super) verdicts: HashMap<CallId, oneshot::Sender<Verdict>>,
    pub(super) lives: HashMap<Life, Known>,
    pub(super) calls: HashMap<CallId, Life>,
    pub(super) next_number: u32,
    /// The first number of fork servers that an earlier daemon has not given.
    next_server: u32,
    pub(super) unfit: Option<(String, String)>,
    pub(super) words: HashMap<Life, Box<LastWords>>,
    /// Why the last life of each slot is gone.
    pub(super) causes: HashMap<SlotId, &'static str>,
    offer: Option<Bytes>,
    pub(super) events: Events,
    /// The fork server of the newest generation.
    pub(super) brood: Option<Brood>,
    /// What was told last.
    pub(super) phase: Phase,
    /// The pool is to end with its drain.
    ending: bool,
    /// There are lives of an earlier daemon that have not spoken yet.
    pub(super) heir: Option<Heir>,
}

/// One life, as the task knows it.
#[derive(Debug)]
pub(super) struct Known {
    /// Its number at the keeper.
    pub(super) number: u32,
    /// Its process, as this process knows it.
    pub(super) pid: Option<u32>,
    /// The way to it, once its process runs.
    pub(super) link: Option<Arc<Link>>,
    /// When it was wished for.
    pub(super) since: Instant,
    /// Why it is to go, once that is decided.
    pub(super) parting: Option<&'static str>,
    /// What it was told about that, perhaps before it could hear.
    pub(super) order: Option<Parting>,
}

impl Known {
    pub(super) fn begin(number: u32) -> Self {
        Self { number, pid: None, link: None, since: Instant::now(), parting: None, order: None }
    }
}

/// How a life is told to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parting {
    Asked,
    Killed,
}

/// Starts the pool, and the workers that it keeps.
pub(crate) fn start(
    policy: Checked,
    spec: Spec,
    hold: Hold,
    events: Events,
    inheritance: Inheritance,
) -> Handle {
    let (ways, ears) = mailbox::open();
    let (meter, first_call) = (spec.meter.clone(), spec.first_call);
    let pool = Arc::from(spec.pool.as_str());
    tokio::spawn(strain::watch(pool, hold.place(), ways.orders.downgrade(), events.clone()));
    tokio::spawn(run(policy, spec, hold, events, ears, Some((inheritance, ways.clone()))));
    Handle::new(ways, meter, first_call)
}

/// The task of a pool, from its first worker to its last.
pub(super) async fn run(
    policy: Checked,
    spec: Spec,
    hold: Hold,
    events: Events,
    ears: Ears,
    inherited: Option<(Inheritance, Ways)>,
) {
    let (told, tellings) = mpsc::channel(TOLD_MAX);
    let next_server = inherited.as_ref().map_or(SERVERS_FROM, |(inheritance, _)| inheritance.next_server);
    let brood = Brood::start(&spec, &hold, &events, policy.restart.start_timeout, next_server);
    let mut task = Task {
        core: Pool::new(Instant::now(), policy),
        spec: Arc::new(spec),
        hold,
        told,
        waiting: HashMap::new(),
        verdicts: HashMap::new(),
        lives: HashMap::new(),
        calls: HashMap::new(),
        next_number: 1,
        next_server,
        unfit: None,
        words: HashMap::new(),
        causes: HashMap::new(),
        offer: None,
        events,
        brood,
        phase: Phase::Serving,
        ending: false,
        heir: None,
    };
    let mut effects = Vec::new();
    if let Some((inheritance, ways)) = inherited {
        task.inherit(inheritance, ways, &mut effects);
    }
    task.run(ears, tellings, effects).await;
}

impl Task {
    async fn run(mut self, ears: Ears, mut tellings: mpsc::Receiver<Told>, mut effects: Vec<Effect>) {
        let Ears { mut submissions, mut orders, mut abandoned } = ears;
        self.core.handle_timeout(Instant::now(), &mut effects);
        self.carry_out(&mut effects);
        while !(self.ending && self.phase == Phase::Drained) {
            let due = self.core.next_deadline().map(tokio::time::Instant::from_std);
            tokio::select! {
                // What lives tell frees seats: it goes first.
                biased;
                Some(told) = tellings.recv() => self.on_told(told, &mut effects),
                Some((call, lost)) = abandoned.recv() => {
                    // It may have overtaken its submission.
                    while let Ok(submission) = submissions.try_recv() {
                        self.on_submitted(submission, &mut effects);
                    }
                    self.core.handle(Instant::now(), Event::Abandoned { call, lost }, &mut effects);
                }
                Some(order) = orders.recv() => {
                    // It may be about a call that it has overtaken.
                    if let Order::Fact(Event::Extended { .. }) = order {
                        while let Ok(submission) = submissions.try_recv() {
                            self.on_submitted(submission, &mut effects);
                        }
                    }
                    self.on_order(order, &mut effects);
                    // A crowd that looks keeps no call out of the line.
                    if let Ok(submission) = submissions.try_recv() {
                        self.on_submitted(submission, &mut effects);
                    }
                }
                submission = submissions.recv() => match submission {
                    Some(submission) => self.on_submitted(submission, &mut effects),
                    None => break,
                },
                () = sleep_until(due) => self.core.handle_timeout(Instant::now(), &mut effects),
            }
            self.carry_out(&mut effects);
            self.tell_phase();
        }
    }

    fn on_submitted(&mut self, submission: Submission, effects: &mut Vec<Effect>) {
        let Submission { request, reply } = submission;
        // Its abandonment has overtaken it, or is about to be heard.
        if reply.is_closed() {
            return;
        }
        self.waiting.insert(request.call, reply);
        self.core.handle(Instant::now(), Event::Submitted(request), effects);
    }

    fn on_order(&mut self, order: Order, effects: &mut Vec<Effect>) {
        let now = Instant::now();
        match order {
            Order::Fact(event) => {
                self.tell_fact(&event);
                self.core.handle(now, event, effects);
            }
            Order::Look(reply) => {
                // Whoever asked may be gone.
                let _ = reply.send(self.look());
            }
            Order::Links(reply) => {
                let _ = reply.send(self.lives.values().filter_map(|known| known.link.clone()).collect());
            }
            Order::Numbers(reply) => {
                let numbers = self.lives.iter().map(|(life, known)| (*life, known.number));
                let _ = reply.send(numbers.collect());
            }
            Order::Reload { spec, policy, renew } => {
                if renew {
                    // The older one leaves at once: nobody is forked from it any more.
                    let patience = policy.restart.start_timeout;
                    self.brood = Brood::start(&spec, &self.hold, &self.events, patience, self.next_server);
                }
                self.spec = Arc::from(spec);
                let event = if renew { Event::Reloaded { policy } } else { Event::Amended { policy } };
                self.core.handle(now, event, effects);
            }
            Order::End { within } => {
                self.ending = true;
                self.core.handle(now, Event::DrainRequested { within }, effects);
            }
        }
    }

    fn on_told(&mut self, told: Told, effects: &mut Vec<Effect>) {
        let now = Instant::now();
        match told {
            Told::Fact(event) => {
                self.measure_fact(&event);
                self.tell_fact(&event);
                self.core.handle(now, event, effects);
            }
            Told::Opened(link, pid) => {
                let life = link.life;
                if let Some(known) = self.lives.get_mut(&life) {
                    known.pid = pid;
                    known.link = Some(link);
                }
                self.say_parting_again(life);
            }
            Told::Resumed(life, standing) => self.on_resumed(life, standing, effects),
            Told::Offers(offer) => {
                if self.offer.as_ref() != Some(&offer) {
                    self.spec.meter.offered(&offer);
                }
                self.offer = Some(offer);
                self.unfit = None;
            }
            Told::NotStarted(life, why) => {
                self.tell(What::WorkerUnfit, Some(life), format!("could not be started: {why}"));
                self.unfit = Some((why, String::new()));
                self.measure_gone(life, "not_started");
                self.lives.remove(&life);
                self.has_spoken(life);
                let jitter = Jitter(crate::worker::dice());
                self.core.handle(now, Event::SpawnFailed { life, jitter }, effects);
            }
            Told::Ended(life, words) => {
                self.tell_gone(life, &words);
                self.measure_gone(life, cause_of(&words));
                let asked = self.lives.get(&life).is_some_and(|known| known.order == Some(Parting::Asked));
                if let Some(unfit) = words.why_unfit().filter(|_| !asked) {
                    self.unfit = Some(unfit);
                }
                self.words.insert(life, words);
                let jitter = Jitter(crate::worker::dice());
                self.core.handle(now, Event::Exited { life, jitter }, effects);
                // The verdicts that these words explain are among the effects.
                self.carry_out(effects);
                self.words.remove(&life);
                self.lives.remove(&life);
                self.has_spoken(life);
                // Of calls that it had from an earlier daemon nobody else may know.
                let calls = self.calls.extract_if(|_, runs_on| *runs_on == life);
                calls.for_each(|(call, _)| drop(self.verdicts.remove(&call)));
            }
        }
    }

    fn look(&self) -> Look {
        Look {
            snapshot: self.core.snapshot(),
            size: self.core.policy().size,
            seats: self.core.policy().seats,
            waiting_max: self.core.policy().line.waiting_max,
            pids: self.lives.iter().filter_map(|(life, known)| Some((*life, known.pid?))).collect(),
            offer: self.offer.clone(),
            unfit: self.unfit.clone(),
            fork_server: self.brood.as_ref().map(Brood::shown).unwrap_or_default(),
        }
    }
}

async fn sleep_until(due: Option<tokio::time::Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
