//! Fork servers: how the keeper comes to hold one, and how a worker is forked from it.
//!
//! A fork server is an ordinary spawn until it has imported everything. Then its warden steps aside, so that it is a
//! child of the keeper, and what is forked from it falls to the keeper ([`mod@crate::linux::foster`]). Its own death is the
//! death of a worker whose warden was lost: who is left of it without a warden is hunted.

use super::Keeper;
use super::ward::{self, Ward};
use crate::linux::cgroup::Cgroup;
use crate::linux::launch;
use crate::linux::link::{Link, Received};
use crate::linux::warden;
use crate::machine::Event;
use crate::wire::{FDS_MAX, Failure, ForkRequest, Report, Request, Stage, Word};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// What travels to a warden beside the descriptors of its worker.
const OWN_FDS_MAX: usize = 6;
/// The cgroup of the wardens of forked workers, beside those of the workers: they must not stay where they were forked.
const WARDENS: &str = "wardens";
/// The largest frame that a fork server says.
const NEST_FRAME: usize = 64;

/// Whether this can be asked for at all.
pub(super) fn check(request: &ForkRequest, fds: &[OwnedFd]) -> Result<(), &'static str> {
    if fds.len() > FDS_MAX - OWN_FDS_MAX {
        return Err("a forked worker takes at most 26 descriptors");
    }
    launch::check_numbers(&request.fds, fds)
}

impl Keeper {
    /// Asks a fork server for a worker.
    pub(super) fn fork(
        &mut self,
        worker: u32,
        request: Box<ForkRequest>,
        fds: Vec<OwnedFd>,
    ) -> Result<Ward, Failure> {
        let fork_server = self.wards.get(&request.from).filter(|ward| ward.is_held());
        let Some(nest) = fork_server.and_then(|ward| ward.nest.as_ref()) else {
            let message = format!("{} is no fork server that is ready", request.from);
            return Err(Failure { stage: Stage::Fork, errno: 0, message });
        };
        let cgroup = ward::make_cgroup(worker, &request.limits, self.pool.as_ref())?;
        let asked = Link::pair().and_then(|(leash, theirs)| {
            leash.expect_signatures(true)?;
            let hatch = Word::Hatch(worker).encode().map_err(io::Error::other)?;
            nest.send(&hatch, &[theirs.as_fd()])?;
            Ok(leash)
        });
        // One that was stopped could not obey.
        fork_server.into_iter().for_each(|ward| ward.signal(request.from, libc::SIGCONT));
        let mut ward = match asked {
            Ok(leash) => Ward::below(leash, cgroup),
            Err(error) => {
                cgroup.iter().for_each(|cgroup| drop(crate::linux::cgroup::remove_tree(cgroup.path())));
                return Err(ward::failure(Stage::Fork, &error, "the fork server"));
            }
        };
        ward.plan = Some((request, fds));
        Ok(ward)
    }

    /// What fork servers say.
    pub(super) fn hear_nest(&mut self, worker: u32) {
        let mut buffer = [0; NEST_FRAME];
        loop {
            let Some(nest) = self.wards.get(&worker).and_then(|ward| ward.nest.as_ref()) else { return };
            match nest.receive(&mut buffer) {
                Ok(Received::Nothing) => return,
                Ok(Received::Frame(length, _)) => {
                    if Word::decode(&buffer[..length]) == Ok(Word::Clean) {
                        self.with(worker, |ward| ward.ask_to_step_aside());
                    }
                }
                Ok(Received::Closed) | Err(_) => self.with(worker, |ward| ward.nest = None),
            }
        }
    }

    /// What wardens say around a fork.
    pub(super) fn hear_word(&mut self, worker: u32, word: Word, sender: Option<Pid>) {
        match word {
            Word::Aside => self.with(worker, |ward| ward.aside = ward.nest.is_some()),
            Word::Hatched(_) => {
                if let Err(error) = self.hatched(worker, sender) {
                    complain!("a forked worker was not taken: {error}");
                    self.with(worker, |ward| ward.leash = None);
                    self.learn(Event::WardenLost(worker));
                }
            }
            Word::Clean | Word::StepAside | Word::Held | Word::Hatch(_) | Word::Begun => {}
        }
    }

    /// A warden has left its fork server to the keeper.
    pub(super) fn hold(&mut self, worker: u32) {
        let held = Word::Held.encode().map_err(io::Error::other).and_then(|frame| {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let program = rustix::fs::open("/proc/self/exe", flags, Mode::empty())?;
            let nest = self.wards.get(&worker).and_then(|ward| ward.nest.as_ref());
            nest.ok_or_else(|| io::Error::from(io::ErrorKind::BrokenPipe))?.send(&frame, &[program.as_fd()])
        });
        if let Err(error) = held {
            complain!("a fork server cannot be held: {error}");
            self.with(worker, |ward| ward.kill_tree(worker));
        }
        self.settle_fork_servers();
    }

    /// Tells of fork servers that have died.
    pub(super) fn settle_fork_servers(&mut self) {
        let dead = self.wards.iter_mut().filter(|(_, w)| w.aside && w.leash.is_none() && !w.mourned);
        let dead: Vec<_> = dead
            .filter_map(|(worker, ward)| {
                let reaped = ward.reaped?;
                (ward.mourned, ward.nest) = (true, None);
                Some((*worker, reaped))
            })
            .collect();
        for (worker, reaped) in dead {
            self.tell(&Report::Exited(worker, warden::ending(reaped.status)), None);
            self.learn(Event::WardenLost(worker));
        }
    }

    /// The kernel has said who holds the leash: a child of this process, or nobody whom it believes.
    fn hatched(&mut self, worker: u32, sender: Option<Pid>) -> io::Result<()> {
        let sender = sender.ok_or_else(|| io::Error::other("nobody has signed"))?.as_raw_nonzero().get();
        if !self.lineage.children()?.contains(&sender) {
            return Err(io::Error::other("its warden is no child of the keeper"));
        }
        if self.wards.values().flat_map(Ward::guarded).any(|known| known == sender) {
            return Err(io::Error::other("its warden is that of somebody else"));
        }
        let wardens = self.of_wardens()?;
        let own = rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?;
        let stderr = rustix::stdio::stderr();
        let ward = self.wards.get_mut(&worker).ok_or(io::ErrorKind::NotFound)?;
        let (request, theirs) = ward.plan.take().ok_or_else(|| io::Error::other("it was taken already"))?;
        let leash = ward.leash.as_ref().ok_or(io::ErrorKind::NotFound)?;
        leash.expect_signatures(false)?;
        let mut fds = vec![own.as_fd(), self.lineage.as_fd(), self.lock.as_fd(), stderr];
        if let (Some(cgroup), Some(wardens)) = (&ward.cgroup, &wardens) {
            fds.extend([cgroup.as_fd(), wardens.as_fd()]);
        }
        fds.extend(theirs.iter().map(AsFd::as_fd));
        let frame = Request::Fork(worker, request).encode().map_err(io::Error::other)?;
        leash.send(&frame, &fds)?;
        ward.warden = Some(sender);
        self.learn(Event::Hatched(worker));
        Ok(())
    }

    fn of_wardens(&mut self) -> io::Result<Option<OwnedFd>> {
        let Some(pool) = &self.pool else { return Ok(None) };
        if self.of_wardens.is_none() {
            self.of_wardens = Some(Cgroup::create(pool.path().join(WARDENS))?);
        }
        self.of_wardens.as_ref().map(|wardens| wardens.as_fd().try_clone_to_owned()).transpose()
    }
}

impl Ward {
    fn ask_to_step_aside(&self) {
        if let (Some(leash), Ok(frame)) = (&self.leash, Word::StepAside.encode()) {
            let _ = leash.send(&frame, &[]);
        }
    }
}
