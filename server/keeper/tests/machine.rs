//! A seeded world drives the keeper's decisions, and checks limits as well as safety.
//!
//! The same seed replays the same life; it is in every panic message. `SIM_EVENTS` says how many events to play.

#![allow(clippy::expect_used, clippy::panic, reason = "a test says what it expects")]

use sidewinder_keeper::machine::{Effect, Event, Machine};
use sidewinder_keeper_wire::Graces;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const LIVES_MAX: usize = 5;
const WARDEN_PATIENCE: Duration = Duration::from_secs(10);

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn grace(&mut self) -> Duration {
        Duration::from_millis([0, 50, 400][usize::try_from(self.below(3)).expect("small")])
    }
}

/// What the world knows of one worker.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Worker {
    /// Its own process has ended.
    exited: bool,
    /// Its tree was ordered dead at this time.
    killed: Option<Instant>,
    /// It was asked to stop, and must be killed by this time.
    kill_by: Option<Instant>,
    warden_lost: bool,
    gone: bool,
}

#[expect(clippy::struct_excessive_bools, reason = "facts about the world, not states of a machine")]
struct World {
    seed: u64,
    random: Random,
    now: Instant,
    machine: Machine,
    workers: BTreeMap<u32, Worker>,
    next: u32,
    graces: Graces,
    attached: bool,
    closed: bool,
    ending: bool,
    left: bool,
    drained: bool,
    missing_since: Option<Instant>,
    events: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let graces = Graces { stop: random.grace(), orphan: random.grace(), reattach: random.grace() };
        Self {
            seed,
            random,
            now: Instant::now(),
            machine: Machine::new(LIVES_MAX),
            workers: BTreeMap::new(),
            next: 1,
            graces,
            attached: false,
            closed: false,
            ending: false,
            left: false,
            drained: false,
            missing_since: None,
            events: 0,
        }
    }

    fn check(&self, truth: bool, what: &str) {
        assert!(truth, "seed {}: {what}\n{:?}\n{:?}", self.seed, self.machine, self.workers);
    }

    fn feed(&mut self, event: Event) -> Vec<Effect> {
        self.events += 1;
        let effects = self.machine.handle(self.now, event);
        self.take(&effects);
        effects
    }

    fn take(&mut self, effects: &[Effect]) {
        for effect in effects {
            self.check(!self.left, "an effect after leaving");
            match *effect {
                Effect::Signal(worker, _) => self.check(!self.workers[&worker].gone, "a signal for the dead"),
                Effect::KillTree(worker) => {
                    let now = self.now;
                    let known = self.workers[&worker];
                    self.check(known.killed.is_none() && !known.gone, "killed twice");
                    self.with(worker, |w| w.killed = Some(now));
                }
                Effect::KillWarden(worker) => {
                    let known = self.workers[&worker];
                    let since = known.killed.or(known.kill_by).unwrap_or(self.now);
                    self.check(known.killed.is_some() || known.exited, "a warden killed without reason");
                    self.check(
                        self.now >= since + WARDEN_PATIENCE || known.exited,
                        "a warden killed too early",
                    );
                    self.with(worker, |w| w.warden_lost = true);
                }
                Effect::TellGone(worker) => {
                    self.check(self.workers[&worker].warden_lost, "the keeper speaks for a living warden");
                    self.check(!self.workers[&worker].gone, "gone twice");
                    self.with(worker, |w| w.gone = true);
                }
                Effect::TellDrained => {
                    self.check(
                        self.all_gone() && self.ending && !self.drained,
                        "drained too early, or twice",
                    );
                    self.drained = true;
                }
                Effect::Leave => {
                    self.check(self.all_gone(), "left somebody behind");
                    self.check(self.closed || self.missing_since.is_some(), "left its owner");
                    self.left = true;
                }
                Effect::Refuse(_) => {}
            }
        }
    }

    fn with(&mut self, worker: u32, change: impl FnOnce(&mut Worker)) {
        change(self.workers.get_mut(&worker).expect("a known worker"));
    }

    fn all_gone(&self) -> bool {
        self.workers.values().all(|worker| worker.gone)
    }

    /// The pool is asked to end: who lives must be killed within this grace.
    fn expect_end(&mut self, grace: Duration) {
        self.ending = true;
        let by = self.now + grace;
        for worker in self.workers.values_mut().filter(|w| !w.exited && !w.warden_lost && w.killed.is_none())
        {
            worker.kill_by = Some(worker.kill_by.map_or(by, |planned| planned.min(by)));
        }
    }

    fn pick(&mut self, wanted: impl Fn(&Worker) -> bool) -> Option<u32> {
        let ids: Vec<u32> = self.workers.iter().filter(|(_, w)| wanted(w)).map(|(id, _)| *id).collect();
        if ids.is_empty() {
            return None;
        }
        let index = self.random.below(ids.len() as u64);
        Some(ids[usize::try_from(index).expect("small")])
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..4 if !self.closed => {
                self.attached = true;
                self.missing_since = None;
                self.drained = false;
                self.feed(Event::Attached(self.graces));
            }
            4..30 => self.ask_for_one(),
            30..45 => {
                if let Some(worker) = self.pick(|w| !w.exited && !w.warden_lost && !w.gone) {
                    self.with(worker, |w| w.exited = true);
                    self.feed(Event::Exited(worker));
                }
            }
            45..60 => {
                if let Some(worker) =
                    self.pick(|w| (w.exited || w.killed.is_some()) && !w.warden_lost && !w.gone)
                {
                    self.with(worker, |w| w.gone = true);
                    self.feed(Event::Gone(worker));
                }
            }
            60..64 => {
                if let Some(worker) = self.pick(|w| !w.warden_lost && !w.gone) {
                    self.with(worker, |w| w.warden_lost = true);
                    self.feed(Event::WardenLost(worker));
                }
            }
            64..70 if self.machine.hunts_strays() => drop(self.feed(Event::StraysGone)),
            70..76 => {
                if let Some(worker) = self.pick(|w| w.gone) {
                    self.workers.remove(&worker);
                    self.feed(Event::Acknowledged(worker));
                }
            }
            76..79 => drop(self.feed(Event::KillAsked(u32::try_from(self.random.0 % 12).expect("small")))),
            79 if self.random.below(4) == 0 => self.end_somehow(),
            _ => self.pass_time(),
        }
    }

    fn ask_for_one(&mut self) {
        let worker = self.next;
        self.next += 1;
        let full = self.workers.len() >= LIVES_MAX;
        let forked = self.random.below(8) == 0;
        let admitted = self.machine.admit(self.now, worker, forked).is_ok();
        self.check(admitted != (full || self.ending || !self.attached), "asked for a worker");
        if admitted {
            let fresh =
                Worker { exited: false, killed: None, kill_by: None, warden_lost: false, gone: false };
            self.workers.insert(worker, fresh);
            if forked {
                self.feed(Event::Hatched(worker));
            }
        }
        let twice = self.workers.keys().next().copied();
        if let Some(worker) = twice {
            let again = self.machine.admit(self.now, worker, false);
            self.check(again.is_err(), "a number in use was given again");
        }
    }

    fn end_somehow(&mut self) {
        match self.random.below(5) {
            0 if !self.closed => {
                self.closed = true;
                self.expect_end(self.graces.orphan);
                self.feed(Event::OwnerClosed);
            }
            1 if self.attached && self.missing_since.is_none() => {
                self.missing_since = Some(self.now);
                if self.graces.reattach.is_zero() {
                    self.expect_end(self.graces.orphan);
                }
                self.feed(Event::OwnerDied);
            }
            2 => {
                self.expect_end(Duration::ZERO);
                self.feed(Event::AbortAsked);
            }
            3 if self.attached => {
                let grace = self.random.grace();
                self.expect_end(grace);
                self.feed(Event::DrainAsked(grace));
            }
            _ => {
                let stop = if self.attached { self.graces.stop } else { Duration::ZERO };
                self.expect_end(stop);
                self.feed(Event::StopAsked);
            }
        }
    }

    fn pass_time(&mut self) {
        let until = self.now + Duration::from_millis(self.random.below(300));
        while let Some(due) = self.machine.next_deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            if let Some(since) = self.missing_since
                && self.now >= since + self.graces.reattach
                && !self.closed
            {
                self.expect_end(self.graces.orphan);
                self.closed = true;
            }
            self.feed(Event::TimePassed);
            let still_due =
                self.machine.next_deadline().is_some_and(|again| again <= due && again <= self.now);
            self.check(!still_due, "a deadline was handled and is still due");
        }
        self.now = until;
        for worker in self.workers.values() {
            let late = worker.kill_by.is_some_and(|by| by < self.now);
            let ended = worker.killed.is_some() || worker.exited || worker.warden_lost || worker.gone;
            self.check(!late || ended, "a worker outlived its grace");
        }
    }

    /// Everybody cooperates and the owner is gone: the keeper must leave.
    fn wind_up(&mut self) {
        self.closed = true;
        self.expect_end(self.graces.orphan);
        self.feed(Event::OwnerClosed);
        for _ in 0..1_000 {
            if self.left {
                return;
            }
            self.pass_time();
            if let Some(worker) = self.pick(|w| (w.exited || w.killed.is_some()) && !w.warden_lost && !w.gone)
            {
                self.with(worker, |w| w.gone = true);
                self.feed(Event::Gone(worker));
            } else if self.machine.hunts_strays() {
                self.feed(Event::StraysGone);
            }
        }
        self.check(self.left, "the keeper never left");
    }
}

#[test]
fn no_worker_outlives_its_pool_and_no_deadline_is_missed() {
    let wanted: u64 = std::env::var("SIM_EVENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(200_000);
    let (mut events, mut seed) = (0, 0);
    let started = Instant::now();
    while events < wanted {
        let mut world = World::new(seed);
        for _ in 0..300 {
            if world.left {
                break;
            }
            world.step();
        }
        if !world.left {
            world.wind_up();
        }
        events += world.events;
        seed += 1;
    }
    println!("{events} events, {seed} seeds, {:?}", started.elapsed());
}

#[test]
fn a_fork_that_never_shows_itself_is_over_in_time_and_one_that_does_is_a_worker() {
    let start = Instant::now();
    let mut machine = Machine::new(LIVES_MAX);
    let feed = |machine: &mut Machine, now, event| (machine.handle(now, event), machine.next_deadline());
    feed(&mut machine, start, Event::Attached(Graces::default()));
    assert_eq!([1, 2].map(|worker| machine.admit(start, worker, true)), [Ok(()), Ok(())]);
    feed(&mut machine, start, Event::Hatched(2));
    let due = machine.next_deadline().expect("the first is awaited");
    assert_eq!(due, start + Duration::from_secs(5));
    let given_up = feed(&mut machine, due, Event::TimePassed);
    assert_eq!(given_up, (vec![Effect::KillWarden(1)], None), "nobody waits for the second");
    assert_eq!(machine.handle(due, Event::StraysGone), [Effect::TellGone(1)]);
    let asked = machine.handle(due, Event::DrainAsked(Duration::from_secs(1)));
    assert_eq!(asked, [Effect::Signal(2, libc::SIGTERM)]);
    assert!(machine.admit(due, 3, true).is_err(), "an ending pool takes nobody");
}
