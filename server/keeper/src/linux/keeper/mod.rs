//! The keeper's loop: one thread, one poll, one place for every decision ([`crate::machine`]).
//!
//! It holds the lifeline to its owner, the owner's pidfd, and a leash to every warden. Facts arrive on those and
//! as signals; each is told to the machine, and what the machine decides is done before the next one is read.

mod forks;
mod owner;
mod ward;
mod wards;

use super::cgroup::{self, Cgroup};
use super::lineage::Lineage;
use super::link::Link;
use super::sys::{self, Signals};
use crate::machine::{Effect, Event, Machine};
use crate::wire::{self, ForkRequest, Gone, Report, SpawnRequest};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::Timespec;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use ward::Ward;

/// A slow owner is not listened to while so many frames wait for it.
const OUTBOX_MAX: usize = 64;
/// How long the hunt for strays waits for a death before it looks again, at first and when it drags on: a process
/// in uninterruptible sleep dies when it wakes.
const HUNT_ROUND: Duration = Duration::from_millis(5);
const HUNT_ROUND_LATER: Duration = Duration::from_millis(250);
const HUNT_ROUNDS_FAST: u32 = 400;
/// Between two tries to send a frame for which the kernel has no memory now.
const STUTTER: Duration = Duration::from_millis(10);

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

/// What the owner asks for.
#[derive(Debug)]
enum Asked {
    Spawn(Box<SpawnRequest>),
    Fork(Box<ForkRequest>),
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
    asked: Option<(Asked, Vec<OwnedFd>)>,
    pool: Option<Cgroup>,
    /// Where the wardens of forked workers go.
    of_wardens: Option<Cgroup>,
    greeted: bool,
    leaving: bool,
    /// The last frame could not be sent for a reason that will pass.
    stuttering: bool,
    /// Rounds of the hunt for strays, and how many of the last found nobody.
    hunted: u32,
    quiet: u32,
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
        let lineage = Lineage::look().and_then(|lineage| lineage.children().map(|_| lineage));
        let lineage = lineage.map_err(|error| {
            let why = format!("/proc/thread-self/children: {error}: mount /proc (with CONFIG_PROC_CHILDREN)");
            io::Error::new(error.kind(), why)
        })?;
        Ok(Self {
            machine: Machine::new(wire::WORKERS_MAX),
            place,
            lineage,
            signals: Signals::take_all()?,
            lifeline: Some(lifeline),
            owner: None,
            outbox: VecDeque::new(),
            wards: BTreeMap::new(),
            endings: BTreeMap::new(),
            asked: None,
            pool: None,
            of_wardens: None,
            greeted: false,
            leaving: false,
            stuttering: false,
            hunted: 0,
            quiet: 0,
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
        let nests: Vec<u32> =
            self.wards.iter().filter(|(_, w)| w.nest.is_some()).map(|(id, _)| *id).collect();
        let first_nest = fds.len();
        fds.extend(
            self.wards
                .values()
                .filter_map(|ward| ward.nest.as_ref())
                .map(|nest| PollFd::new(nest, PollFlags::IN)),
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
        for (index, worker) in nests.into_iter().enumerate() {
            if ready[first_nest + index] {
                self.hear_nest(worker);
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
        let speak =
            if self.outbox.is_empty() || self.stuttering { PollFlags::empty() } else { PollFlags::OUT };
        listen | speak
    }

    fn patience(&self) -> Option<Duration> {
        let round = if self.hunted < HUNT_ROUNDS_FAST { HUNT_ROUND } else { HUNT_ROUND_LATER };
        let hunt = self.machine.hunts_strays().then_some(round);
        let due = self.machine.next_deadline().map(|due| due.saturating_duration_since(Instant::now()));
        let again = self.stuttering.then_some(STUTTER);
        hunt.into_iter().chain(due).chain(again).min()
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

    fn learn(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.machine.handle(Instant::now(), event, &mut effects);
        effects.into_iter().for_each(|effect| self.apply(effect));
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Start(worker) => self.start(worker),
            Effect::Refuse(worker, why) => self.tell(&Report::Refused(worker, why.text().to_owned()), None),
            Effect::Signal(worker, signal) => self.with(worker, |ward| ward.signal(worker, signal)),
            Effect::KillTree(worker) => self.with(worker, |ward| ward.kill_tree(worker)),
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
        // Without a hello it is not known what else the record names.
        if let Some(record) = self.record.as_ref().filter(|_| self.greeted) {
            let _ = std::fs::remove_file(record);
        }
        sys::leave(0)
    }
}
