//! The wardens' side of the loop: who lives, who died, and who has no warden any more.

use super::ward::{self, Heard, Ward};
use super::{Asked, Keeper};
use crate::linux::sys;
use crate::machine::Event;
use crate::wire::{Gone, Report, Stage};
use std::os::fd::AsRawFd;

impl Keeper {
    pub(super) fn reap(&mut self) {
        while let Ok(Some(reaped)) = sys::reap_or_stopped() {
            if libc::WIFSTOPPED(reaped.status) {
                self.on_stopped(reaped.pid);
                continue;
            }
            for ward in self.wards.values_mut() {
                if ward.warden == Some(reaped.pid) && !ward.warden_reaped {
                    ward.warden_reaped = true;
                } else if ward.pid == reaped.pid.unsigned_abs() {
                    ward.reaped = Some(reaped);
                }
            }
        }
        self.settle_fork_servers();
    }

    fn on_stopped(&mut self, pid: i32) {
        let stopped = self.wards.iter_mut().find(|(_, ward)| ward.warden == Some(pid) && !ward.warden_reaped);
        if let Some((worker, ward)) = stopped {
            let worker = *worker;
            if ward.on_stopped() {
                self.learn(Event::WardenLost(worker));
            }
        }
    }

    /// Kills every child that is no warden: its own warden is dead.
    pub(super) fn hunt(&mut self) {
        if !self.machine.hunts_strays() {
            (self.hunted, self.quiet) = (0, 0);
            return;
        }
        self.hunted = self.hunted.saturating_add(1);
        let lost = |ward: &&Ward| ward.is_lost();
        self.wards.values().filter(lost).for_each(Ward::kill_cgroup);
        let guarded: Vec<i32> = self.wards.values().flat_map(Ward::guarded).collect();
        // Who cannot be seen is not gone.
        let left = self.lineage.strike(|pid| guarded.contains(&pid)).unwrap_or(usize::MAX);
        self.reap();
        let nobody = left == 0 && self.wards.values().filter(lost).all(Ward::is_empty);
        self.quiet = if nobody { self.quiet + 1 } else { 0 };
        // The list of children may skip one while others exit: twice nobody is nobody.
        if self.quiet >= 2 {
            self.learn(Event::StraysGone);
        }
    }

    pub(super) fn hear_warden(&mut self, worker: u32) {
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
                Heard::Word(word, sender) => self.hear_word(worker, word, sender),
                // Its worker is the keeper's from here on; if it has died meanwhile, that is known.
                Heard::Lost if self.wards.get(&worker).is_some_and(|ward| ward.aside) => self.hold(worker),
                Heard::Lost => {
                    if let Some(ward) = self.wards.get(&worker) {
                        ward.kill_warden();
                    }
                    self.learn(Event::WardenLost(worker));
                }
            }
        }
    }

    pub(super) fn start(&mut self, worker: u32) {
        let Some((asked, fds)) = self.asked.take() else { return };
        let kept = [2, self.lock.as_raw_fd()];
        let started = match (asked, self.lineage.try_clone()) {
            (Asked::Fork(request), _) => self.fork(worker, request, fds),
            (Asked::Spawn(request), Ok(lineage)) => {
                Ward::start(worker, request, fds, self.pool.as_ref(), lineage, &kept)
            }
            (Asked::Spawn(_), Err(error)) => Err(ward::failure(Stage::Fork, &error, "the warden")),
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
    pub(super) fn bury(&mut self, worker: u32, gone: Gone) {
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

    pub(super) fn with(&mut self, worker: u32, act: impl FnOnce(&mut Ward)) {
        if let Some(ward) = self.wards.get_mut(&worker) {
            act(ward);
        }
    }
}
