//! A world that drives a pool: callers, workers good and bad, operators, time.

use crate::ensure;
use crate::model::{Model, Phase};
use crate::rng::Rng;
use crate::rules::{self, ms};
use sidewinder_core::{
    Adopted, Affinity, AffinityKey, AffinityMode, CallId, CallKey, ClientId, Effect, Event, Generation, Life,
    OnAbandon, Pool, Priority, Request, SlotId,
};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::time::Instant;

pub(crate) struct World {
    pub(crate) model: Model,
    pub(crate) rng: Rng,
    pub(crate) pool: Pool,
    next_call: u64,
    graveyard: Vec<Life>,
    /// Lives of an earlier daemon that have not spoken yet.
    pub(crate) left_behind: BTreeSet<Life>,
    /// Of a hundred workers, so many die before they are ready, and so many in mid-call.
    boot_crash: u64,
    call_crash: u64,
    /// One caller talks more than the others.
    noisy: bool,
    begin: Instant,
    /// Tell what happens.
    trace: bool,
    pub(crate) events: u64,
}

impl World {
    pub(crate) fn new(seed: u64, begin: Instant, trace: bool) -> Self {
        let mut rng = Rng::new(seed);
        let policy = rules::policy(&mut rng);
        let pool = Pool::new(begin, policy.clone().check().expect("a policy without flaws"));
        let model = Model {
            seed,
            now: begin,
            policy,
            generation: Generation::default(),
            procs: BTreeMap::new(),
            calls: BTreeMap::new(),
            waiting: BTreeSet::new(),
            saturated: false,
            deadlines: BTreeSet::new(),
            seated: BTreeMap::new(),
            numbers: BTreeMap::new(),
            strikes: BTreeMap::new(),
            bound: BTreeMap::new(),
            vague: BTreeSet::new(),
            sheets: BTreeMap::new(),
            pool_sheet: crate::model::Sheet::default(),
            proved: false,
            pool_fatal: false,
            rests: BTreeMap::new(),
            fatal: BTreeSet::new(),
            drain: None,
            halted: false,
            deserted: false,
            forsaken_at: None,
            left: BTreeSet::new(),
            overtaken: BTreeMap::new(),
            passed: BTreeMap::new(),
            plain: rng.percent(50),
            resized: false,
            before: pool.snapshot(),
            event: None,
            bereft: false,
            early: None,
            strays: Vec::new(),
            digest: std::hash::DefaultHasher::new(),
        };
        let boot_crash = rng.pick(&[0, 5, 40, 100]).unwrap_or(0);
        let call_crash = rng.pick(&[0, 3, 10, 30]).unwrap_or(0);
        let noisy = rng.percent(50);
        let mut world = Self {
            model,
            rng,
            pool,
            next_call: 0,
            graveyard: Vec::new(),
            left_behind: BTreeSet::new(),
            boot_crash,
            call_crash,
            noisy,
            begin,
            trace,
            events: 0,
        };
        if world.rng.percent(30) {
            world.adopt();
        }
        world.time(begin);
        world
    }

    /// An earlier daemon has left lives to this one.
    fn adopt(&mut self) {
        let slots = self.model.policy.size.max();
        let mut lives = Vec::new();
        for slot in (0..slots).map(SlotId) {
            if self.rng.percent(60) {
                let number = u32::from(self.rng.small(1, 9));
                lives.push(Adopted { life: Life { slot, number }, outdated: self.rng.percent(20) });
            }
        }
        self.left_behind = lives.iter().map(|adopted| adopted.life).collect();
        self.feed(Event::Adopted { lives });
    }

    /// One of them says what it does.
    pub(crate) fn resumes(&mut self, life: Life) {
        let jitter = self.rng.jitter();
        let calls = self.rng.below(u64::from(self.model.policy.seats) + 1);
        let running = |world: &mut Self| {
            world.next_call += 1;
            let mut request = Request::new(CallId(world.next_call), ClientId(world.rng.below(4)));
            if world.rng.percent(40) {
                request.deadline = Some(world.model.now + ms(1 + world.rng.below(3_000)));
            }
            request.on_abandon = OnAbandon::FinishIfLost;
            request
        };
        let calls: Vec<Request> = (0..calls).map(|_| running(self)).collect();
        self.left_behind.remove(&life);
        self.feed(Event::Resumed { life, calls, jitter });
    }

    pub(crate) fn digest(&self) -> u64 {
        self.model.digest.finish()
    }

    pub(crate) fn feed(&mut self, event: Event) {
        self.events += 1;
        self.model.fact(&event);
        self.model.event = Some(event.clone());
        let mut effects = Vec::new();
        self.pool.handle(self.model.now, event, &mut effects);
        self.settle(&effects);
    }

    pub(crate) fn time(&mut self, now: Instant) {
        self.events += 1;
        self.model.now = now;
        let mut effects = Vec::new();
        self.pool.handle_timeout(now, &mut effects);
        self.settle(&effects);
    }

    fn settle(&mut self, effects: &[Effect]) {
        if self.trace {
            eprintln!("{:?}: {:?} {effects:?}", self.model.now - self.begin, self.model.event);
        }
        for effect in effects {
            effect.hash(&mut self.model.digest);
            self.model.effect(effect);
        }
        self.model.after(self.pool.snapshot(), self.pool.next_deadline());
    }

    /// A fact that must change nothing.
    fn stale(&mut self, event: Event) {
        self.events += 1;
        let before = self.pool.snapshot();
        let told = format!("{event:?}");
        let mut effects = Vec::new();
        self.pool.handle(self.model.now, event, &mut effects);
        ensure!(self.model, effects.is_empty(), "{told} is stale, and yet {effects:?}");
        ensure!(self.model, before == self.pool.snapshot(), "{told} is stale, and changed something");
    }

    pub(crate) fn step(&mut self) {
        match self.rng.below(1_000) {
            0..280 => self.submit(),
            280..330 => self.abandon(),
            330..340 => self.extend(),
            340..660 => self.worker(),
            660..700 => self.gossip(),
            700..720 => self.measure(),
            720..730 => self.late_facts(),
            730..737 => self.operator(),
            _ => self.pass_time(),
        }
    }

    fn submit(&mut self) {
        self.next_call += 1;
        let client = if self.noisy && self.rng.percent(70) { 0 } else { self.rng.below(4) };
        let mut request = Request::new(CallId(self.next_call), ClientId(client));
        if self.rng.percent(40) {
            request.deadline = Some(self.model.now + ms(self.rng.below(3_000)));
        }
        if self.rng.percent(30) {
            request.priority = self.rng.pick(&[Priority::Low, Priority::High]).unwrap_or_default();
        }
        if self.rng.percent(15) {
            let wishes = [OnAbandon::Finish, OnAbandon::FinishIfLost];
            request.on_abandon = self.rng.pick(&wishes).unwrap_or(OnAbandon::Finish);
        }
        if self.rng.percent(40) {
            request.key = Some(CallKey(self.rng.below(6)));
        }
        if !self.model.plain && self.rng.percent(50) {
            let modes = [AffinityMode::Hint, AffinityMode::StrictQueue, AffinityMode::StrictFailFast];
            let mode = self.rng.pick(&modes).unwrap_or(AffinityMode::Hint);
            request.affinity = Some(Affinity { key: AffinityKey(self.rng.below(5)), mode });
        }
        self.feed(Event::Submitted(request));
    }

    fn abandon(&mut self) {
        let calls: Vec<CallId> = self.model.calls.keys().copied().collect();
        let known = self.rng.pick(&calls).unwrap_or(CallId(self.next_call + 7));
        let lost = self.rng.percent(50);
        self.feed(Event::Abandoned { call: known, lost });
    }

    fn extend(&mut self) {
        let calls: Vec<CallId> = self.model.calls.keys().copied().collect();
        let known = self.rng.pick(&calls).unwrap_or(CallId(self.next_call + 7));
        let further = self.model.now + ms(self.rng.below(5_000));
        let deadline = self.rng.percent(80).then_some(further);
        self.feed(Event::Extended { call: known, deadline });
    }

    fn some_life(&mut self) -> Option<Life> {
        let lives: Vec<Life> = self.model.procs.keys().copied().collect();
        self.rng.pick(&lives)
    }

    fn worker(&mut self) {
        let Some(life) = self.some_life() else { return self.pass_time() };
        let jitter = self.rng.jitter();
        match self.model.procs[&life].phase {
            Phase::Starting { .. } if self.rng.percent(self.boot_crash) => {
                self.bury(life);
                let failed = self.rng.percent(30);
                self.feed(if failed {
                    Event::SpawnFailed { life, jitter }
                } else {
                    Event::Exited { life, jitter }
                });
            }
            Phase::Starting { .. } if self.left_behind.contains(&life) => self.resumes(life),
            Phase::Starting { .. } => self.feed(Event::Ready { life, jitter }),
            Phase::Ready => self.work(life),
            Phase::Stopping { .. } | Phase::Killed { .. } => {
                self.bury(life);
                self.feed(Event::Exited { life, jitter });
            }
        }
    }

    fn work(&mut self, life: Life) {
        let jitter = self.rng.jitter();
        let calls: Vec<CallId> = self.model.procs[&life].calls.iter().copied().collect();
        let crash = if calls.is_empty() { self.call_crash / 3 } else { self.call_crash };
        if self.rng.percent(crash) {
            self.bury(life);
            self.feed(Event::Exited { life, jitter });
        } else if let Some(call) = self.rng.pick(&calls) {
            self.feed(Event::Finished { life, call });
        }
    }

    fn bury(&mut self, life: Life) {
        self.graveyard.push(life);
        if self.graveyard.len() > 50 {
            self.graveyard.remove(0);
        }
    }

    fn gossip(&mut self) {
        let Some(life) = self.some_life() else { return };
        let suspect = self.rng.percent(40);
        self.feed(if suspect { Event::Suspected { life } } else { Event::Recovered { life } });
    }

    fn measure(&mut self) {
        let Some(life) = self.some_life() else { return };
        let resident = self.rng.below(1_100);
        self.feed(Event::Measured { life, resident });
    }

    /// From the dead, about the dead, or about something that never was.
    fn late_facts(&mut self) {
        self.time(self.model.now);
        let jitter = self.rng.jitter();
        let call = CallId(self.rng.below(self.next_call + 1));
        let old = self.rng.pick(&self.graveyard.clone());
        let dying = self.some_life().filter(|life| {
            matches!(self.model.procs[life].phase, Phase::Stopping { .. } | Phase::Killed { .. })
        });
        if let Some(life) = old {
            for event in [
                Event::Ready { life, jitter },
                Event::Finished { life, call },
                Event::Exited { life, jitter },
                Event::SpawnFailed { life, jitter },
                Event::Suspected { life },
                Event::Measured { life, resident: u64::MAX },
            ] {
                self.stale(event);
            }
            let future = Life { slot: life.slot, number: life.number + 1_000 };
            self.stale(Event::Exited { life: future, jitter });
        }
        if let Some(life) = dying {
            self.stale(Event::Ready { life, jitter });
            self.stale(Event::Finished { life, call });
            self.stale(Event::Suspected { life });
        }
        if let Some(life) = self.some_life()
            && !self.model.procs[&life].calls.contains(&call)
        {
            self.stale(Event::Finished { life, call });
        }
        self.stale(Event::Exited { life: Life { slot: SlotId(4_000), number: 1 }, jitter });
    }

    fn operator(&mut self) {
        match self.rng.below(8) {
            6 => self.desert(),
            7 => self.feed(Event::Attended),
            0 | 1 => {
                let one = self.rng.percent(50).then(|| SlotId(self.rng.small(0, 6)));
                self.feed(Event::RestartRequested { slot: one });
            }
            2 => {
                let size = rules::size(&mut self.rng);
                let on_demand = size.min() == 0 && self.model.policy.line.waiting_max == 0;
                if !on_demand && self.rng.percent(50) {
                    self.time(self.model.now);
                    self.feed(Event::Resized { size });
                }
            }
            3 | 4 => {
                let mut policy = rules::policy(&mut self.rng);
                policy.grace = self.model.policy.grace.clone();
                policy.line.affinity_keys_max = self.model.policy.line.affinity_keys_max;
                if self.rng.percent(70) {
                    policy.size = self.model.policy.size;
                    policy.warm = self.model.policy.warm.min(policy.size.max());
                    policy.line.waiting_max = policy.line.waiting_max.max(1);
                }
                if self.rng.percent(30) {
                    // What was promised to calls and keys before stays comparable.
                    (policy.seats, policy.poison) =
                        (self.model.policy.seats, self.model.policy.poison.clone());
                    policy.line.waiting_max = policy.line.waiting_max.max(self.model.waiting.len());
                    self.time(self.model.now);
                    self.feed(Event::Amended { policy: Box::new(policy.check().expect("no flaws")) });
                    return;
                }
                self.feed(Event::Reloaded { policy: Box::new(policy.check().expect("no flaws")) });
            }
            _ => {
                let within = ms(self.rng.below(2_000));
                self.feed(Event::DrainRequested { within });
                for _ in 0..self.rng.below(60) {
                    self.step_without_operator();
                }
                self.feed(Event::ResumeRequested);
            }
        }
    }

    fn desert(&mut self) {
        let within = self.rng.percent(80).then(|| ms(self.rng.below(2_000)));
        self.feed(Event::Deserted { within });
    }

    pub(crate) fn step_without_operator(&mut self) {
        match self.rng.below(100) {
            0..25 => self.submit(),
            25..30 => self.abandon(),
            30..70 => self.worker(),
            _ => self.pass_time(),
        }
    }

    pub(crate) fn pass_time(&mut self) {
        let now = self.model.now;
        let next = self.pool.next_deadline();
        let later = match self.rng.below(100) {
            0..50 => next.unwrap_or(now + ms(10)),
            50..80 => now + ms(self.rng.below(50)),
            80..97 => now + ms(self.rng.below(1_500)),
            _ => now + ms(self.rng.below(60_000)),
        };
        self.model.now = later.max(now);
        // Often the clock has moved on by the time a fact arrives, and nobody has said so.
        if self.rng.percent(70) {
            self.time(self.model.now);
        }
    }
}
