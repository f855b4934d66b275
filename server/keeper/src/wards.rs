//! The wardens' side of the loop: who lives, who died, and who has no warden any more.

use crate::keeper::Keeper;
use crate::machine::Event;
use crate::ward::Ward;
use sidewinder_keeper_kernel::{Cgroup, Rounds, sys};
use sidewinder_keeper_warden::{Ground, Heard};
use sidewinder_keeper_wire::{Failure, Gone, Report};

impl Keeper {
    /// What the keeper gives each of its wardens.
    pub(crate) fn ground(&self) -> Ground<'_> {
        Ground { pool: self.pool.as_ref(), lineage: &self.lineage, lock: &self.lock }
    }

    /// Hears what the warden of this worker says.
    pub(crate) fn hear_warden(&mut self, worker: u32) {
        while let Some(ward) = self.wards.get_mut(&worker)
            && let Some(heard) = ward.leash.hear()
        {
            match heard {
                Heard::Report(report @ Report::Spawned(_, pid), pidfd) => {
                    (ward.pid, ward.pidfd) = (i32::try_from(pid).unwrap_or(0), pidfd);
                    let pidfd = ward.process().1;
                    self.tell(&report, pidfd);
                }
                Heard::Report(report @ Report::Exited(..), _) => {
                    self.learn(Event::Exited(worker));
                    self.tell(&report, None);
                }
                Heard::Report(Report::Failed(_, failure), _) => self.fail(worker, failure),
                Heard::Report(Report::Gone(_, gone), _) => self.bury(worker, *gone),
                Heard::Report(..) => {}
                Heard::Word(word, sender) => self.hear_word(worker, word, sender),
                // Its worker is the keeper's from here on; if it has died meanwhile, that is known.
                Heard::End if ward.aside => self.hold(worker),
                Heard::End => self.lose_warden(worker),
            }
        }
    }

    /// Reaps who is dead, and wakes wardens that somebody has stopped.
    pub(crate) fn reap(&mut self) {
        while let Ok(Some(reaped)) = sys::reap_or_stopped() {
            let stopped = libc::WIFSTOPPED(reaped.status);
            if let Some((worker, ward)) = self.find(|ward| ward.leash.warden() == Some(reaped.pid)) {
                if !stopped {
                    ward.leash.forget_warden();
                } else if ward.leash.wake() {
                    self.lose_warden(worker);
                }
            } else if !stopped
                && let Some((worker, ward)) =
                    self.find(|ward| ward.pid == reaped.pid && ward.reaped.is_none())
            {
                ward.reaped = Some(reaped);
                self.mourn(worker);
            }
        }
    }

    /// Kills every child that is no warden: its own warden is dead.
    pub(crate) fn hunt(&mut self) {
        if !self.machine.hunts_strays() {
            self.hunting = Rounds::default();
            return;
        }
        let lost = |ward: &&Ward| ward.is_lost();
        self.wards.values().filter(lost).for_each(Ward::kill_cgroup);
        let guarded: Vec<i32> = self.wards.values().flat_map(Ward::guarded).collect();
        // Who cannot be seen is not gone.
        let left = self.lineage.strike(|pid| guarded.contains(&pid)).unwrap_or(usize::MAX);
        self.reap();
        let nobody = left == 0 && self.wards.values().filter(lost).all(Ward::is_empty);
        if self.hunting.end(nobody) {
            self.learn(Event::StraysGone);
        }
    }

    /// A warden is gone or useless before its tree is: who is left of that is hunted.
    pub(crate) fn lose_warden(&mut self, worker: u32) {
        self.give_warden_up(worker);
        self.learn(Event::WardenLost(worker));
    }

    pub(crate) fn give_warden_up(&mut self, worker: u32) {
        self.with(worker, |ward| ward.leash.give_up());
        self.mourn(worker);
    }

    /// It could not be started, and nothing of it is left.
    pub(crate) fn fail(&mut self, worker: u32, failure: Failure) {
        self.forget(worker);
        self.learn(Event::SpawnFailed(worker));
        self.tell(&Report::Failed(worker, failure), None);
    }

    /// Nothing of this tree is left: keeps its ending until the owner has heard it.
    pub(crate) fn bury(&mut self, worker: u32, gone: Gone) {
        self.forget(worker);
        self.endings.insert(worker, gone.clone());
        self.tell(&Report::Gone(worker, Box::new(gone)), None);
        self.learn(Event::Gone(worker));
    }

    fn forget(&mut self, worker: u32) {
        self.wards.remove(&worker).and_then(|ward| ward.cgroup).iter().for_each(Cgroup::discard);
    }

    fn find(&mut self, is: impl Fn(&Ward) -> bool) -> Option<(u32, &mut Ward)> {
        self.wards.iter_mut().find(|(_, ward)| is(ward)).map(|(worker, ward)| (*worker, ward))
    }

    pub(crate) fn with(&mut self, worker: u32, act: impl FnOnce(&mut Ward)) {
        self.wards.get_mut(&worker).map(act);
    }
}
