//! What a pool knows, around the core: facts in, decisions carried out. Nothing here waits.

mod effects;
mod inherit;
mod measure;
mod tell;

pub(crate) use effects::leave;
pub(crate) use inherit::{Carried, Carrier, Inheritance};

use super::desk::{Desk, Order, Ways, ways};
use super::errand::{Errand, Waiting};
use super::handle::{Handle, Verdict};
use super::strain;
use crate::own::hold::Hold;
use crate::telemetry::{Events, What};
use crate::worker::brood::Brood;
use crate::worker::life::{LastWords, Listener, Spec, Told};
use crate::worker::link::Link;
use bytes::Bytes;
use inherit::Heir;
use measure::cause_of;
use rustc_hash::FxHashMap;
use sidewinder_core::{
    CallId, Checked, Effect, Event, Jitter, Life, Phase, Pool, Request, Size, SlotId, Snapshot,
};
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Instant;
use tokio::sync::oneshot;

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

/// What is known beside the core.
#[derive(Debug)]
pub(super) struct State {
    pub(super) core: Pool,
    spec: Arc<Spec>,
    hold: Hold,
    /// Whom lives tell.
    desk: Weak<Desk>,
    /// Calls that wait for a worker.
    waiting: FxHashMap<CallId, Box<Waiting>>,
    /// Calls that have one and whose callers have let go, until it is known whether they go on all the same.
    unheard: FxHashMap<CallId, Errand>,
    /// Calls that have one.
    running: FxHashMap<CallId, Running>,
    lives: FxHashMap<Life, Known>,
    next_number: u32,
    /// The first number of fork servers that an earlier daemon has not given.
    next_server: u32,
    unfit: Option<(String, String)>,
    words: FxHashMap<Life, Box<LastWords>>,
    /// Why the last life of each slot is gone.
    causes: FxHashMap<SlotId, &'static str>,
    offer: Option<Bytes>,
    events: Events,
    /// The fork server of the newest generation.
    brood: Option<Brood>,
    /// What was told last.
    phase: Phase,
    /// The pool is to end with its drain.
    ending: bool,
    /// There are lives of an earlier daemon that have not spoken yet.
    heir: Option<Heir>,
    /// What is waited for.
    pub(super) armed: Option<Instant>,
    /// What is to be said once the door is free.
    pub(super) errands: Vec<Errand>,
}

/// One life, as the pool knows it.
#[derive(Debug)]
struct Known {
    /// Its number at the keeper.
    number: u32,
    /// Its process, as this process knows it.
    pid: Option<u32>,
    /// The way to it, once its process runs.
    link: Option<Arc<Link>>,
    /// When it was wished for.
    since: Instant,
    /// Why it is to go, once that is decided.
    parting: Option<&'static str>,
    /// What it was told about that, perhaps before it could hear.
    order: Option<Parting>,
}

impl Known {
    fn begin(number: u32) -> Self {
        Self { number, pid: None, link: None, since: Instant::now(), parting: None, order: None }
    }
}

/// A call that a life has, and who waits for a word in the worker's place.
#[derive(Debug)]
struct Running {
    life: Life,
    verdict: oneshot::Sender<Verdict>,
}

/// How a life is told to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parting {
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
    let (ways, ears) = ways();
    let (meter, first_call) = (spec.meter.clone(), spec.first_call);
    let pool = Arc::from(spec.pool.as_str());
    tokio::spawn(strain::watch(pool, hold.place(), ways.orders.downgrade(), events.clone()));
    let next_server = inheritance.next_server;
    let desk = Desk::around(|desk| State::new(policy, spec, hold, events, next_server, desk));
    desk.enter(|state, effects| state.begin(inheritance, &ways, effects));
    tokio::spawn(desk.clone().keep(ears));
    Handle::new(desk, ways, meter, first_call)
}

impl State {
    pub(super) fn new(
        policy: Checked,
        spec: Spec,
        hold: Hold,
        events: Events,
        next_server: u32,
        desk: Weak<Desk>,
    ) -> Self {
        let brood = Brood::start(&spec, &hold, &events, policy.restart.start_timeout, next_server);
        Self {
            core: Pool::new(Instant::now(), policy),
            spec: Arc::new(spec),
            hold,
            desk,
            waiting: FxHashMap::default(),
            unheard: FxHashMap::default(),
            running: FxHashMap::default(),
            lives: FxHashMap::default(),
            next_number: 1,
            next_server,
            unfit: None,
            words: FxHashMap::default(),
            causes: FxHashMap::default(),
            offer: None,
            events,
            brood,
            phase: Phase::Serving,
            ending: false,
            heir: None,
            armed: None,
            errands: Vec::new(),
        }
    }

    fn begin(&mut self, inheritance: Inheritance, ways: &Ways, effects: &mut Vec<Effect>) {
        self.inherit(inheritance, ways, effects);
        self.core.handle_timeout(Instant::now(), effects);
    }

    /// Nothing of it is left, and nothing more is to come.
    pub(super) fn is_over(&self) -> bool {
        self.ending && self.phase == Phase::Drained
    }

    /// Whether what is waited for has come nearer.
    pub(super) fn arm(&mut self) -> bool {
        let next = self.core.next_deadline();
        let is_nearer = next.is_some_and(|next| self.armed.is_none_or(|armed| next < armed));
        if is_nearer {
            self.armed = next;
        }
        is_nearer
    }

    pub(super) fn on_submitted(
        &mut self,
        request: Request,
        waiting: Box<Waiting>,
        effects: &mut Vec<Effect>,
    ) {
        self.waiting.insert(request.call, waiting);
        self.core.handle(Instant::now(), Event::Submitted(request), effects);
    }

    pub(super) fn on_abandoned(&mut self, call: CallId, lost: bool, effects: &mut Vec<Effect>) {
        self.core.handle(Instant::now(), Event::Abandoned { call, lost }, effects);
        self.carry_out(effects);
        if let Some(waiting) = self.waiting.get_mut(&call) {
            waiting.is_left = true;
        }
        // If it was given up, its worker does not take it any more.
        self.errands.extend(self.unheard.remove(&call));
    }

    pub(super) fn on_order(&mut self, order: Order, effects: &mut Vec<Effect>) {
        let now = Instant::now();
        // Whoever asked may be gone.
        match order {
            Order::Fact(event) => {
                if let Event::Extended { call, deadline } = &event
                    && let Some(waiting) = self.waiting.get_mut(call)
                {
                    waiting.deadline = waiting.deadline.zip(*deadline).map(|(one, other)| one.max(other));
                }
                self.tell_fact(&event);
                self.core.handle(now, event, effects);
            }
            Order::Look(reply) => _ = reply.send(self.look()),
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

    pub(super) fn on_told(&mut self, told: Told, effects: &mut Vec<Effect>) {
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
            Told::Ended(life, words) => self.on_ended(life, words, effects),
        }
    }

    fn on_ended(&mut self, life: Life, words: Box<LastWords>, effects: &mut Vec<Effect>) {
        self.tell_gone(life, &words);
        self.measure_gone(life, cause_of(&words));
        let asked = self.lives.get(&life).is_some_and(|known| known.order == Some(Parting::Asked));
        if let Some(unfit) = words.why_unfit().filter(|_| !asked) {
            self.unfit = Some(unfit);
        }
        self.words.insert(life, words);
        let jitter = Jitter(crate::worker::dice());
        self.core.handle(Instant::now(), Event::Exited { life, jitter }, effects);
        // The verdicts that these words explain are among the effects.
        self.carry_out(effects);
        self.words.remove(&life);
        self.lives.remove(&life);
        self.has_spoken(life);
        // Of calls that it had from an earlier daemon nobody else may know.
        self.running.retain(|_, running| running.life != life);
    }

    /// Whom a life is to tell.
    fn listener(&self) -> Option<Arc<dyn Listener>> {
        self.desk.upgrade().map(|desk| desk as Arc<dyn Listener>)
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
