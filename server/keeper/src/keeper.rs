//! The loop: one thread, one poll, one place for every decision ([`crate::machine`]).
//!
//! The keeper holds the lifeline to its owner, the owner's pidfd, and a leash to every warden. Facts arrive on those and
//! as signals; each is told to the machine, and what the machine decides is done before the next one is read.

use crate::machine::{Effect, Event, Machine};
use crate::ward::Ward;
use rustix::event::{PollFd, PollFlags};
use sidewinder_keeper_kernel::namespaces::Place;
use sidewinder_keeper_kernel::{Cgroup, Lineage, Link, Outbox, Rounds, Signals, sys, wait};
use sidewinder_keeper_wire::{Gone, Report, WORKERS_MAX};
use std::collections::BTreeMap;
use std::io;
use std::iter::once;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A keeper and all it holds.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(crate) machine: Machine,
    pub(crate) place: Place,
    pub(crate) lineage: Lineage,
    signals: Signals,
    pub(crate) lifeline: Option<Outbox>,
    pub(crate) owner: Option<OwnedFd>,
    /// An owner has said hello.
    pub(crate) greeted: bool,
    /// The cgroup of the pool.
    pub(crate) pool: Option<Cgroup>,
    /// Those who live, and what is known of those whose ending the owner has not acknowledged.
    pub(crate) wards: BTreeMap<u32, Ward>,
    pub(crate) endings: BTreeMap<u32, Gone>,
    /// The hunt for strays, while there is one.
    pub(crate) hunting: Rounds,
    leaving: bool,
    /// Held, never used: while it is open, somebody is there to clean up.
    pub(crate) lock: OwnedFd,
    record: Option<PathBuf>,
}

/// Where a fact may come from.
enum Source {
    Signals,
    Warden(u32),
    ForkServer(u32),
    Lifeline,
    Owner,
}

impl Keeper {
    pub(crate) fn new(
        lifeline: Link,
        lock: OwnedFd,
        record: Option<PathBuf>,
        place: Place,
    ) -> io::Result<Self> {
        Ok(Self {
            machine: Machine::new(WORKERS_MAX),
            place,
            lineage: Lineage::sure()?,
            signals: Signals::take_all()?,
            lifeline: Some(Outbox::new(lifeline)),
            owner: None,
            greeted: false,
            pool: None,
            wards: BTreeMap::new(),
            endings: BTreeMap::new(),
            hunting: Rounds::default(),
            leaving: false,
            lock,
            record,
        })
    }

    pub(crate) fn run(mut self) -> ! {
        while !self.leaving {
            self.reap();
            self.hunt();
            self.lifeline.iter_mut().for_each(Outbox::flush);
            if !self.leaving {
                self.wait();
            }
        }
        self.leave()
    }

    /// Waits for facts, and learns them.
    fn wait(&mut self) {
        let (sources, mut fds): (Vec<Source>, Vec<PollFd<'_>>) = self.sources().unzip();
        // A wait that failed only means that the loop looks around earlier.
        let _ = wait::poll(&mut fds, self.patience());
        let ready = sources.into_iter().zip(fds).filter(|(_, fd)| !fd.revents().is_empty());
        let ready: Vec<Source> = ready.map(|(source, _)| source).collect();
        for source in ready {
            match source {
                Source::Signals => self.take_signals(),
                Source::Warden(worker) => self.hear_warden(worker),
                Source::ForkServer(worker) => self.hear_fork_server(worker),
                Source::Lifeline => self.hear_owner(),
                Source::Owner => {
                    self.owner = None;
                    self.learn(Event::OwnerDied);
                }
            }
        }
        self.learn(Event::TimePassed);
    }

    fn sources(&self) -> impl Iterator<Item = (Source, PollFd<'_>)> {
        let on = |source, fd| (source, PollFd::from_borrowed_fd(fd, PollFlags::IN));
        let wards = self.wards.iter().flat_map(move |(worker, ward)| {
            let leash = ward.leash.link().map(|leash| on(Source::Warden(*worker), leash.as_fd()));
            leash
                .into_iter()
                .chain(ward.nest.as_ref().map(|nest| on(Source::ForkServer(*worker), nest.as_fd())))
        });
        let lifeline =
            self.lifeline.iter().map(|link| (Source::Lifeline, PollFd::new(link, link.interest())));
        let owner = self.owner.iter().map(move |owner| on(Source::Owner, owner.as_fd()));
        once(on(Source::Signals, self.signals.fd().as_fd())).chain(wards).chain(lifeline).chain(owner)
    }

    fn patience(&self) -> Option<Duration> {
        let hunt = self.machine.hunts_strays().then(|| self.hunting.patience());
        let due = self.machine.next_deadline().map(|due| due.saturating_duration_since(Instant::now()));
        let again = self.lifeline.as_ref().and_then(Outbox::patience);
        hunt.into_iter().chain(due).chain(again).min()
    }

    fn take_signals(&mut self) {
        while let Some(signal) = self.signals.next() {
            if sys::STOPS.contains(&signal) {
                self.learn(Event::StopAsked);
            } else if sys::CRASHES.contains(&signal) {
                self.learn(Event::AbortAsked);
            }
        }
    }

    /// Has the machine decide about a fact, and does what it says.
    pub(crate) fn learn(&mut self, event: Event) {
        for effect in self.machine.handle(Instant::now(), event) {
            match effect {
                Effect::Refuse(worker) => self.refuse(worker, "no living worker has this number"),
                Effect::Signal(worker, signal) => self.with(worker, |ward| ward.signal(worker, signal)),
                Effect::KillTree(worker) => self.with(worker, |ward| ward.kill_tree(worker)),
                Effect::KillWarden(worker) => self.give_warden_up(worker),
                Effect::TellGone(worker) => {
                    if let Some(gone) = self.wards.get(&worker).map(Ward::gone) {
                        self.bury(worker, gone);
                    }
                }
                Effect::TellDrained => self.tell(&Report::Drained, None),
                Effect::Leave => self.leaving = true,
            }
        }
    }

    /// Ends as the last process of the pool.
    fn leave(mut self) -> ! {
        self.lifeline.iter_mut().for_each(Outbox::flush);
        if self.place.init {
            let _ = sys::kill(-1, libc::SIGKILL);
        }
        self.lineage.end_all(&self.signals);
        self.pool.iter().for_each(|pool| drop(pool.remove()));
        // Without a hello it is not known what else the record names.
        if let Some(record) = self.record.as_ref().filter(|_| self.greeted) {
            let _ = std::fs::remove_file(record);
        }
        sys::leave(0)
    }
}
