//! The keeper's loop: one thread, one poll, one place for every decision ([`crate::machine`]).
//!
//! It holds the lifeline to its owner, the owner's pidfd, and a leash to every warden. Facts arrive on those and
//! as signals; each is told to the machine, and what the machine decides is done before the next one is read.

use super::cgroup::{self, Cgroup};
use super::facts;
use super::lineage::Lineage;
use super::link::{Link, Received};
use super::sys::{self, Signals};
use super::ward::{self, Heard, Ward};
use crate::Tier;
use crate::machine::{Effect, Event, Machine};
use crate::wire::{self, Entry, FRAME_MAX, Gone, Hello, Report, Request, SpawnRequest, Stage, Welcome};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::Timespec;
use rustix::process::PidfdFlags;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A slow owner is not listened to while so many frames wait for it.
const OUTBOX_MAX: usize = 64;
/// How long the hunt for strays waits for a death before it looks again, at first and when it drags on: a process
/// in uninterruptible sleep dies when it wakes.
const HUNT_ROUND: Duration = Duration::from_millis(5);
const HUNT_ROUND_LATER: Duration = Duration::from_millis(250);
const HUNT_ROUNDS_FAST: u32 = 400;

/// Where the keeper found itself.
#[derive(Debug)]
pub(super) struct Place {
    /// It is the init of a PID namespace of its own.
    pub(super) init: bool,
    /// `/proc` shows the namespace it is in.
    pub(super) fresh_proc: bool,
    /// How it came to be init, or why it is not.
    pub(super) why: String,
}

/// A keeper and all it holds.
#[derive(Debug)]
pub(super) struct Keeper {
    machine: Machine,
    place: Place,
    lineage: Lineage,
    signals: Signals,
    lifeline: Option<Link>,
    owner: Option<OwnedFd>,
    outbox: VecDeque<(Vec<u8>, Option<OwnedFd>)>,
    wards: BTreeMap<u32, Ward>,
    endings: BTreeMap<u32, Gone>,
    asked: Option<(Box<SpawnRequest>, Vec<OwnedFd>)>,
    pool: Option<Cgroup>,
    greeted: bool,
    leaving: bool,
    hunted: u32,
    /// Held, never used: while it is open, somebody is there to clean up.
    lock: OwnedFd,
    record: Option<PathBuf>,
}

impl Keeper {
    pub(super) fn new(
        lifeline: Link,
        lock: OwnedFd,
        record: Option<PathBuf>,
        place: Place,
    ) -> io::Result<Self> {
        Ok(Self {
            machine: Machine::new(wire::WORKERS_MAX),
            place,
            lineage: Lineage::look()?,
            signals: Signals::take_all()?,
            lifeline: Some(lifeline),
            owner: None,
            outbox: VecDeque::new(),
            wards: BTreeMap::new(),
            endings: BTreeMap::new(),
            asked: None,
            pool: None,
            greeted: false,
            leaving: false,
            hunted: 0,
            lock,
            record,
        })
    }

    pub(super) fn run(mut self) -> ! {
        while !self.leaving {
            self.reap();
            self.hunt();
            self.flush();
            if !self.leaving {
                self.wait();
            }
        }
        self.leave()
    }

    fn wait(&mut self) {
        let timeout = self.patience().map(|patience| Timespec {
            tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: patience.subsec_nanos().into(),
        });
        let workers: Vec<u32> =
            self.wards.iter().filter(|(_, w)| w.leash.is_some()).map(|(id, _)| *id).collect();
        let mut fds = vec![PollFd::new(self.signals.fd(), PollFlags::IN)];
        fds.extend(
            self.wards.values().filter_map(|ward| ward.leash.as_ref()).map(|l| PollFd::new(l, PollFlags::IN)),
        );
        let lifeline = self.lifeline.as_ref().map(|lifeline| {
            fds.push(PollFd::new(lifeline, self.interest()));
            fds.len() - 1
        });
        let owner = self.owner.as_ref().map(|owner| {
            fds.push(PollFd::new(owner, PollFlags::IN));
            fds.len() - 1
        });
        // An interrupted wait only means that the loop looks around earlier.
        let _ = rustix::event::poll(&mut fds, timeout.as_ref());
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        self.take_signals();
        for (index, worker) in workers.into_iter().enumerate() {
            if ready[index + 1] {
                self.hear_warden(worker);
            }
        }
        if lifeline.is_some_and(|index| ready[index]) {
            self.hear_owner();
        }
        if owner.is_some_and(|index| ready[index]) {
            self.owner = None;
            self.learn(Event::OwnerDied);
        }
        self.take_time();
    }

    fn interest(&self) -> PollFlags {
        let listen = if self.outbox.len() < OUTBOX_MAX { PollFlags::IN } else { PollFlags::empty() };
        let speak = if self.outbox.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
        listen | speak
    }

    fn patience(&self) -> Option<Duration> {
        let round = if self.hunted < HUNT_ROUNDS_FAST { HUNT_ROUND } else { HUNT_ROUND_LATER };
        let hunt = self.machine.hunts_strays().then_some(round);
        let due = self.machine.next_deadline().map(|due| due.saturating_duration_since(Instant::now()));
        hunt.into_iter().chain(due).min()
    }

    fn take_time(&mut self) {
        let now = Instant::now();
        if self.machine.next_deadline().is_some_and(|due| due <= now) {
            let mut effects = Vec::new();
            self.machine.handle_timeout(now, &mut effects);
            effects.into_iter().for_each(|effect| self.apply(effect));
        }
    }

    fn take_signals(&mut self) {
        while let Some(signal) = self.signals.next() {
            match signal {
                libc::SIGTERM | libc::SIGINT | libc::SIGHUP | libc::SIGQUIT => self.learn(Event::StopAsked),
                libc::SIGSEGV | libc::SIGABRT | libc::SIGBUS | libc::SIGILL | libc::SIGFPE | libc::SIGSYS => {
                    self.learn(Event::AbortAsked);
                }
                _ => {}
            }
        }
    }

    fn reap(&mut self) {
        while let Ok(Some(reaped)) = sys::reap_or_stopped() {
            if libc::WIFSTOPPED(reaped.status) {
                self.on_stopped(reaped.pid);
                continue;
            }
            for ward in self.wards.values_mut() {
                if ward.warden == reaped.pid && !ward.warden_reaped {
                    ward.warden_reaped = true;
                } else if ward.pid == reaped.pid.unsigned_abs() {
                    ward.reaped = Some(reaped);
                }
            }
        }
    }

    fn on_stopped(&mut self, pid: i32) {
        let stopped = self.wards.iter_mut().find(|(_, ward)| ward.warden == pid && !ward.warden_reaped);
        if let Some((worker, ward)) = stopped {
            let worker = *worker;
            if ward.on_stopped() {
                self.learn(Event::WardenLost(worker));
            }
        }
    }

    /// Kills every child that is no warden: its own warden is dead.
    fn hunt(&mut self) {
        if !self.machine.hunts_strays() {
            self.hunted = 0;
            return;
        }
        self.hunted = self.hunted.saturating_add(1);
        let lost = |ward: &&Ward| ward.leash.is_none();
        self.wards.values().filter(lost).for_each(Ward::kill_cgroup);
        let guarded: Vec<i32> = self.wards.values().filter(|w| w.leash.is_some()).map(|w| w.warden).collect();
        // Who cannot be seen is not gone.
        let left = self.lineage.strike(|pid| guarded.contains(&pid)).unwrap_or(usize::MAX);
        self.reap();
        if left == 0 && self.wards.values().filter(lost).all(Ward::is_empty) {
            self.learn(Event::StraysGone);
        }
    }

    fn hear_warden(&mut self, worker: u32) {
        while let Some(heard) = self.wards.get_mut(&worker).and_then(Ward::hear) {
            match heard {
                Heard::Report(Report::Gone(_, gone)) => self.bury(worker, *gone),
                Heard::Report(Report::Failed(_, failure)) => {
                    self.forget(worker);
                    self.learn(Event::SpawnFailed(worker));
                    self.tell(&Report::Failed(worker, failure), None);
                }
                Heard::Report(Report::Exited(_, ending)) => {
                    self.learn(Event::Exited(worker));
                    self.tell(&Report::Exited(worker, ending), None);
                }
                Heard::Report(report @ Report::Spawned(..)) => {
                    let pidfd =
                        self.wards.get(&worker).and_then(|ward| ward.pidfd.as_ref()?.try_clone().ok());
                    self.tell(&report, pidfd);
                }
                Heard::Report(_) => {}
                Heard::Lost => {
                    if let Some(ward) = self.wards.get(&worker) {
                        ward.kill_warden();
                    }
                    self.learn(Event::WardenLost(worker));
                }
            }
        }
    }

    fn hear_owner(&mut self) {
        let mut buffer = vec![0; FRAME_MAX];
        while self.outbox.len() < OUTBOX_MAX {
            let Some(lifeline) = &self.lifeline else { return };
            match lifeline.receive(&mut buffer) {
                Ok(Received::Nothing) => return,
                Ok(Received::Frame(length, fds)) => match Request::decode(&buffer[..length]) {
                    Ok(request) => self.carry_out(request, fds),
                    Err(broken) => self.tell(&Report::Refused(0, broken.to_string()), None),
                },
                Ok(Received::Closed) => {
                    (self.lifeline, self.owner) = (None, None);
                    self.learn(Event::OwnerClosed);
                }
                Err(error) => self.tell(&Report::Refused(0, error.to_string()), None),
            }
        }
    }

    fn carry_out(&mut self, request: Request, mut fds: Vec<OwnedFd>) {
        match request {
            Request::Hello(_) if self.greeted => {
                let why = "this keeper has had an owner already: adopt it instead".to_owned();
                self.tell(&Report::Refused(0, why), None);
            }
            Request::Hello(hello) => self.greet(hello, fds.pop(), false),
            Request::Adopt(hello) => self.greet(hello, fds.pop(), true),
            Request::Spawn(worker, request) => {
                if let Err(why) = super::launch::check_numbers(&request, &fds) {
                    self.tell(&Report::Refused(worker, why.to_owned()), None);
                    return;
                }
                self.asked = Some((request, fds));
                self.learn(Event::SpawnAsked(worker));
                self.asked = None;
            }
            Request::Signal(worker, signal) => self.learn(Event::SignalAsked(worker, signal)),
            Request::Kill(worker) => self.learn(Event::KillAsked(worker)),
            Request::List => self.list(),
            Request::Drain(grace) => self.learn(Event::DrainAsked(grace)),
            Request::Acknowledge(worker) => {
                self.endings.remove(&worker);
                self.learn(Event::Acknowledged(worker));
            }
        }
    }

    fn greet(&mut self, hello: Hello, owner: Option<OwnedFd>, adopted: bool) {
        let ours = (wire::oldest_adoptable(wire::VERSION), wire::VERSION);
        let Some(version) = wire::agree(ours, hello.versions) else {
            let why = format!("no common version: this keeper speaks {} to {}", ours.0, ours.1);
            return self.tell(&Report::Refused(0, why), None);
        };
        if let Some(path) = hello.cgroup.filter(|_| !adopted) {
            match Cgroup::open(PathBuf::from(&path)) {
                Ok(pool) => self.pool = Some(pool),
                Err(error) => return self.tell(&Report::Refused(0, format!("{path}: {error}")), None),
            }
        }
        self.greeted = true;
        self.owner = owner;
        self.learn(Event::Attached(hello.graces));
        let tier = match (self.place.init, &self.pool) {
            (true, _) => Tier::A,
            (false, Some(_)) => Tier::B,
            (false, None) => Tier::C,
        };
        let welcome = Welcome {
            version,
            tier,
            boot: facts::boot_id().unwrap_or_default(),
            namespace: facts::pid_namespace().unwrap_or(0),
            fresh_proc: self.place.fresh_proc,
            why: self.place.why.clone(),
        };
        let own = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty()).ok();
        self.tell(&Report::Welcome(welcome), own);
        if adopted {
            self.list();
            let endings: Vec<_> = self.endings.iter().map(|(worker, gone)| (*worker, gone.clone())).collect();
            endings
                .into_iter()
                .for_each(|(worker, gone)| self.tell(&Report::Gone(worker, Box::new(gone)), None));
        }
    }

    fn list(&mut self) {
        let known: Vec<(u32, bool)> = self.machine.list().collect();
        for (worker, living) in &known {
            let ward = self.wards.get(worker);
            let pid = ward.map_or(0, |ward| ward.pid);
            let pidfd = ward.and_then(|ward| ward.pidfd.as_ref()?.try_clone().ok());
            self.tell(&Report::Entry(*worker, Entry { pid, living: *living }), pidfd);
        }
        self.tell(&Report::Listed(u32::try_from(known.len()).unwrap_or(u32::MAX)), None);
    }

    fn learn(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.machine.handle(Instant::now(), event, &mut effects);
        effects.into_iter().for_each(|effect| self.apply(effect));
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Start(worker) => self.start(worker),
            Effect::Refuse(worker, why) => self.tell(&Report::Refused(worker, why.text().to_owned()), None),
            Effect::Signal(worker, signal) => {
                self.with(worker, |ward| ward.say(&Request::Signal(worker, signal)));
            }
            Effect::KillTree(worker) => self.with(worker, |ward| {
                ward.say(&Request::Kill(worker));
                ward.kill_cgroup();
            }),
            Effect::KillWarden(worker) => {
                self.with(worker, |ward| {
                    ward.kill_warden();
                    ward.leash = None;
                });
            }
            Effect::TellGone(worker) => {
                if let Some(gone) = self.wards.get(&worker).map(Ward::gone) {
                    self.bury(worker, gone);
                }
            }
            Effect::TellDrained => self.tell(&Report::Drained, None),
            Effect::Leave => self.leaving = true,
        }
    }

    fn with(&mut self, worker: u32, act: impl FnOnce(&mut Ward)) {
        if let Some(ward) = self.wards.get_mut(&worker) {
            act(ward);
        }
    }

    fn start(&mut self, worker: u32) {
        let Some((request, fds)) = self.asked.take() else { return };
        let kept = [2, self.lock.as_raw_fd()];
        let started = match self.lineage.try_clone() {
            Ok(lineage) => Ward::start(worker, request, fds, self.pool.as_ref(), lineage, &kept),
            Err(error) => Err(ward::failure(Stage::Fork, &error, "the warden")),
        };
        match started {
            Ok(ward) => drop(self.wards.insert(worker, ward)),
            Err(failure) => {
                self.learn(Event::SpawnFailed(worker));
                self.tell(&Report::Failed(worker, failure), None);
            }
        }
    }

    /// Nothing of this tree is left: keeps its ending until the owner has heard it.
    fn bury(&mut self, worker: u32, gone: Gone) {
        self.forget(worker);
        self.endings.insert(worker, gone.clone());
        self.tell(&Report::Gone(worker, Box::new(gone)), None);
        self.learn(Event::Gone(worker));
    }

    fn forget(&mut self, worker: u32) {
        if let Some(ward) = self.wards.remove(&worker) {
            ward.clear();
        }
    }

    fn tell(&mut self, report: &Report, fd: Option<OwnedFd>) {
        if self.lifeline.is_some()
            && let Ok(frame) = report.encode()
        {
            self.outbox.push_back((frame, fd));
        }
    }

    fn flush(&mut self) {
        let Some(lifeline) = &self.lifeline else { return self.outbox.clear() };
        while let Some((frame, fd)) = self.outbox.front() {
            let fds: Vec<_> = fd.iter().map(AsFd::as_fd).collect();
            match lifeline.send(frame, &fds) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // An owner that is gone is noticed where the lifeline is read.
                Ok(()) | Err(_) => drop(self.outbox.pop_front()),
            }
        }
    }

    /// Ends as the last process of the pool.
    fn leave(mut self) -> ! {
        self.flush();
        if self.place.init {
            let _ = sys::kill(-1, libc::SIGKILL);
        }
        while !matches!(sys::reap(), Err(error) if error.raw_os_error() == Some(libc::ECHILD)) {
            let _ = self.lineage.strike(|_| false);
            let round = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
            let _ = rustix::event::poll(&mut [PollFd::new(self.signals.fd(), PollFlags::IN)], Some(&round));
            while self.signals.next().is_some() {}
        }
        if let Some(pool) = &self.pool {
            let _ = cgroup::remove_tree(pool.path());
        }
        if let Some(record) = &self.record {
            let _ = std::fs::remove_file(record);
        }
        sys::leave(0)
    }
}
