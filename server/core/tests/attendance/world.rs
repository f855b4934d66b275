//! Clients that beat, fall silent, die, come back late and call by names that others have; networks that hold words
//! back; a daemon that is stopped in the middle of it; a clock that somebody turns back.

use crate::model::Model;
use crate::rng::Rng;
use sidewinder_core::presence::{
    Asked, Bounds, Deed, Epoch, Fact, Granted, LeaseId, Parting, Presence, PresenceRules,
};
use std::time::{Duration, Instant};

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

#[derive(Debug)]
struct Client {
    run: String,
    granted: Option<Granted>,
    /// Its words do not arrive for now. Those it says meanwhile arrive later.
    partitioned: bool,
    late: Vec<Fact>,
}

pub(crate) struct World {
    rng: Rng,
    presence: Presence,
    model: Model,
    now: Instant,
    clients: Vec<Client>,
    next_run: u64,
    ready: bool,
    pub(crate) events: u64,
}

impl World {
    pub(crate) fn new(seed: u64, begin: Instant) -> Self {
        let mut rng = Rng::new(seed);
        let rules = rules(&mut rng);
        let presence = Presence::new(begin, rules.clone().check().expect("no flaws"), 0);
        let model = Model::new(rules);
        Self { rng, presence, model, now: begin, clients: Vec::new(), next_run: 0, ready: false, events: 0 }
    }

    pub(crate) fn digest(&self) -> u64 {
        self.model.digest()
    }

    pub(crate) fn step(&mut self) {
        match self.rng.below(100) {
            0..12 => self.come(),
            12..40 => self.beat(),
            40..50 => self.call(),
            50..54 => self.cut(),
            54..57 => self.deliver(),
            57..61 => self.part(),
            61..66 => self.pass_by(),
            66..68 => self.stand_still(),
            68..70 => self.turn_back(),
            70..72 => self.tell(Fact::Emptied),
            72..74 if !self.ready => {
                self.ready = true;
                if self.model.leases.is_empty() && self.model.passing == 0 && self.model.alone.is_none() {
                    self.model.alone = Some((self.model.attended, self.model.rules.startup));
                }
                self.tell(Fact::Ready);
            }
            _ => {
                let span = self.rng.pick(&[1, 20, 100, 400, 2_000]).unwrap_or(1);
                let span = ms(self.rng.below(span));
                self.run(span);
            }
        }
    }

    /// The daemon runs for so long: it is driven whenever it wishes, at most a little late.
    fn run(&mut self, span: Duration) {
        let until = self.now + span;
        while let Some(next) = self.presence.next_deadline().filter(|next| *next <= until) {
            let late = if self.rng.percent(20) { ms(self.rng.below(40)) } else { Duration::ZERO };
            let next = next.max(self.now) + late;
            self.pass(next);
            self.drive(late);
        }
        self.pass(until.max(self.now));
    }

    fn pass(&mut self, now: Instant) {
        self.model.attended += now - self.now;
        self.now = now;
    }

    fn drive(&mut self, slack: Duration) {
        let mut deeds = Vec::new();
        self.presence.handle_timeout(self.now, &mut deeds);
        self.settle(&deeds, slack);
    }

    fn settle(&mut self, deeds: &[Deed], slack: Duration) {
        self.events += 1;
        for deed in deeds {
            self.model.deed(*deed);
        }
        self.model.after(slack);
        let seen = self.presence.snapshot(self.now);
        assert!(seen.leases.keys().eq(self.model.leases.keys()), "{seen:?}, and not {:?}", self.model);
        assert_eq!(seen.passing, self.model.passing);
    }

    fn tell(&mut self, fact: Fact) {
        // What is due has to happen before the fact is known, as the machine does it.
        self.drive(Duration::ZERO);
        let mut deeds = Vec::new();
        match fact {
            Fact::Heard(lease, epoch) => self.model.heard(lease, epoch),
            Fact::Left(lease, epoch) => self.expect(lease, epoch, Parting::Left),
            Fact::Died(lease, epoch) => self.expect(lease, epoch, Parting::Died),
            Fact::Came => {
                self.model.passing += 1;
                self.model.somebody();
            }
            Fact::Went => {
                self.model.passing -= 1;
                self.model.gone();
            }
            Fact::Ready | Fact::Emptied | Fact::Stopping => {}
        }
        self.presence.handle(self.now, fact, &mut deeds);
        let told = self.model.told.is_some();
        let ended = deeds.iter().any(|deed| matches!(deed, Deed::End { .. }));
        assert_eq!(told, ended, "{fact:?} {deeds:?}");
        self.settle(&deeds, Duration::ZERO);
    }

    fn expect(&mut self, lease: LeaseId, epoch: Epoch, why: Parting) {
        let current = self.model.leases.get(&lease).is_some_and(|held| held.epoch == epoch);
        self.model.told = current.then_some((lease, why));
    }

    /// Somebody attaches: a new run, often under a name that is taken, or a known one that comes back.
    fn come(&mut self) {
        let index = usize::try_from(self.rng.below(6)).expect("small");
        if index >= self.clients.len() || self.rng.percent(30) {
            self.next_run += 1;
            let run = format!("name-{} run-{}", self.rng.below(2), self.next_run);
            let client = Client { run, granted: None, partitioned: false, late: Vec::new() };
            if index < self.clients.len() {
                self.clients[index] = client;
            } else {
                self.clients.push(client);
            }
        }
        self.drive(Duration::ZERO);
        let index = index.min(self.clients.len() - 1);
        let wish = |rng: &mut Rng, most| rng.percent(30).then(|| ms(rng.below(most)));
        let (interval, ttl) = (wish(&mut self.rng, 2_000), wish(&mut self.rng, 20_000));
        let run = self.clients[index].run.clone();
        let remote = self.rng.percent(30);
        let mut deeds = Vec::new();
        // Those of one name come from one peer.
        let peer: std::sync::Arc<str> = run.split(' ').next().unwrap_or_default().into();
        let asked = Asked { run: run.as_str().into(), peer: peer.clone(), interval, ttl, remote };
        if let Ok(granted) = self.presence.attach(self.now, asked, &mut deeds) {
            for deed in std::mem::take(&mut deeds) {
                let recalls = matches!(deed, Deed::Recall);
                if recalls {
                    self.model.somebody();
                }
                self.model.deed(deed);
            }
            self.model.granted(&run, granted);
            let of_peer = self.model.leases.values().filter(|held| held.run.starts_with(&*peer)).count();
            assert!(granted.resumed || of_peer <= self.model.rules.per_peer, "{run}");
            self.clients[index].granted = Some(granted);
            self.clients[index].partitioned = false;
        } else {
            let known = self.model.leases.values().any(|held| held.run == run);
            let of_peer = self.model.leases.values().filter(|held| held.run.starts_with(&*peer)).count();
            let full = self.model.leases.len() >= self.model.rules.clients_max;
            assert!(!known && (full || of_peer >= self.model.rules.per_peer), "{run}");
        }
        self.settle(&deeds, Duration::ZERO);
    }

    fn some_client(&mut self) -> Option<usize> {
        let all: Vec<usize> = (0..self.clients.len()).collect();
        self.rng.pick(&all).filter(|index| self.clients[*index].granted.is_some())
    }

    fn beat(&mut self) {
        let Some(index) = self.some_client() else { return };
        let client = &mut self.clients[index];
        let Some(granted) = client.granted else { return };
        let fact = Fact::Heard(granted.lease, granted.epoch);
        if client.partitioned {
            client.late.push(fact);
        } else {
            self.tell(fact);
        }
    }

    /// A call, often of a client that has been overtaken or expired, sometimes with an epoch that was never granted.
    fn call(&mut self) {
        let Some(index) = self.some_client() else { return };
        let Some(mut granted) = self.clients[index].granted else { return };
        if self.rng.percent(30) {
            granted.epoch.0 = self.rng.below(self.model.highest + 2);
        }
        self.drive(Duration::ZERO);
        let mut deeds = Vec::new();
        let admitted = self.presence.admit(self.now, granted.lease, granted.epoch, &mut deeds).is_ok();
        let worker = self.rng.below(4);
        self.model.own(worker, granted.lease, granted.epoch, admitted);
        if admitted {
            self.model.heard(granted.lease, granted.epoch);
        }
        self.settle(&deeds, Duration::ZERO);
    }

    fn cut(&mut self) {
        if let Some(index) = self.some_client() {
            let client = &mut self.clients[index];
            client.partitioned = !client.partitioned;
        }
    }

    /// What a partition held back arrives, long after it was said.
    fn deliver(&mut self) {
        let Some(index) = self.some_client() else { return };
        for fact in std::mem::take(&mut self.clients[index].late) {
            self.tell(fact);
        }
    }

    fn part(&mut self) {
        let Some(index) = self.some_client() else { return };
        let Some(granted) = self.clients[index].granted else { return };
        let (lease, epoch) = (granted.lease, granted.epoch);
        let fact = if self.rng.percent(50) { Fact::Left(lease, epoch) } else { Fact::Died(lease, epoch) };
        self.tell(fact);
    }

    fn pass_by(&mut self) {
        let goes = self.model.passing > 0 && self.rng.percent(60);
        self.tell(if goes { Fact::Went } else { Fact::Came });
    }

    /// The daemon is stopped, or starved: time goes by, and it is not driven.
    fn stand_still(&mut self) {
        let span = ms(300 + self.rng.below(60_000));
        self.drive(Duration::ZERO);
        if self.presence.next_deadline().is_none() {
            // Nothing is counted, so nothing could be missed.
            self.model.attended += span;
        }
        self.now += span;
        self.drive(Duration::ZERO);
    }

    /// Somebody says a time that has been.
    fn turn_back(&mut self) {
        self.drive(Duration::ZERO);
        let past = self.now.checked_sub(ms(self.rng.below(5_000))).unwrap_or(self.now);
        let mut deeds = Vec::new();
        self.presence.handle_timeout(past, &mut deeds);
        assert!(deeds.is_empty(), "a time that has been decides {deeds:?}");
    }

    /// Everybody falls silent: leases end, and workers leave, if they ever do.
    pub(crate) fn end(&mut self) {
        while self.model.passing > 0 {
            self.tell(Fact::Went);
        }
        self.run(ms(40_000));
        assert!(self.model.leases.is_empty(), "{:?}", self.model);
        let leaves = self.model.alone.is_some_and(|(_, span)| span.is_some());
        assert_eq!(self.model.released, leaves, "{:?}", self.model);
        let next = self.presence.next_deadline();
        assert!(next.is_none(), "nothing is counted, and {next:?} is wanted");
    }
}

fn rules(rng: &mut Rng) -> PresenceRules {
    let some = |rng: &mut Rng, most| rng.percent(80).then(|| ms(rng.below(most)));
    PresenceRules {
        interval: Bounds { least: ms(100), local: ms(500), remote: ms(500), most: ms(5_000) },
        ttl: Bounds {
            least: ms(500),
            local: ms(1_000 + rng.below(5_000)),
            remote: ms(8_000),
            most: ms(15_000),
        },
        clients_max: usize::from(rng.small(1, 6)),
        per_peer: usize::from(rng.small(1, 6)),
        no_client: some(rng, 10_000),
        startup: some(rng, 10_000),
        finish_grace: some(rng, 10_000),
        exit_when_idle: rng.percent(30),
    }
}
