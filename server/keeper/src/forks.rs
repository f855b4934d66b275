//! Fork servers: how the keeper comes to hold one, and how a worker is forked from it.
//!
//! A fork server is an ordinary spawn until it has imported everything. Then its warden steps aside, so that it is a
//! child of the keeper, and what is forked from it falls to the keeper ([`sidewinder_keeper_warden::foster`]). Its own
//! death is the death of a worker whose warden was lost: who is left of it without a warden is hunted.

use crate::keeper::Keeper;
use crate::machine::Event;
use crate::ward::Ward;
use rustix::process::Pid;
use sidewinder_keeper_kernel::{Received, complain};
use sidewinder_keeper_warden::ending;
use sidewinder_keeper_warden::foster::{self, Plan};
use sidewinder_keeper_wire::{Failure, Report, Stage, Word};
use std::io;

/// The program of wardens.
const WARDEN: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sidewinder-warden"));

/// The largest frame that a fork server says.
const NEST_FRAME: usize = 64;

impl Keeper {
    /// What fork servers say.
    pub(crate) fn hear_fork_server(&mut self, worker: u32) {
        let mut buffer = [0; NEST_FRAME];
        while let Some(ward) = self.wards.get_mut(&worker)
            && let Some(nest) = &ward.nest
        {
            match nest.receive(&mut buffer) {
                Ok(Received::Nothing) => return,
                Ok(Received::Frame(length, _)) if Word::decode(&buffer[..length]) == Ok(Word::Clean) => {
                    ward.leash.say(Word::StepAside.encode());
                }
                Ok(Received::Frame(..)) => {}
                Ok(Received::Closed) | Err(_) => ward.nest = None,
            }
        }
    }

    /// What wardens say around a fork.
    pub(crate) fn hear_word(&mut self, worker: u32, word: Word, sender: Option<Pid>) {
        match word {
            Word::Aside => self.with(worker, |ward| ward.aside = ward.nest.is_some() && ward.pid > 0),
            Word::Hatched(_) => match self.believe(worker, sender) {
                Ok(()) => self.learn(Event::Hatched(worker)),
                Err(error) => {
                    complain!("a forked worker was not taken: {error}");
                    self.lose_warden(worker);
                }
            },
            Word::Clean | Word::StepAside | Word::Held | Word::Hatch(_) | Word::Begun => {}
        }
    }

    /// A warden has left its fork server to the keeper.
    pub(crate) fn hold(&mut self, worker: u32) {
        let nest = self.wards.get(&worker).and_then(|ward| ward.nest.as_ref());
        if let Err(error) =
            nest.ok_or_else(|| io::ErrorKind::BrokenPipe.into()).and_then(|nest| foster::hold(nest, WARDEN))
        {
            complain!("a fork server cannot be held: {error}");
            self.with(worker, |ward| ward.kill_tree(worker));
        }
        self.mourn(worker);
    }

    /// A fork server that the keeper held itself may have died.
    pub(crate) fn mourn(&mut self, worker: u32) {
        if let Some(ward) = self.wards.get_mut(&worker)
            && let (true, None, Some(reaped)) = (ward.aside, ward.leash.link(), ward.reaped)
        {
            ward.nest = None;
            self.tell(&Report::Exited(worker, ending(reaped.status)), None);
            self.learn(Event::WardenLost(worker));
        }
    }

    /// Asks a fork server for a worker.
    pub(crate) fn fork(&self, worker: u32, plan: Plan) -> Result<Ward, Failure> {
        let from = plan.request.from;
        let held = self.wards.get(&from).filter(|ward| ward.is_held());
        let Some((fork_server, nest)) = held.and_then(|ward| Some((ward, ward.nest.as_ref()?))) else {
            let message = format!("{from} is no fork server that is ready");
            return Err(Failure { stage: Stage::Fork, errno: 0, message });
        };
        let started = foster::ask(worker, &plan, nest, &self.ground());
        // One that was stopped could not obey.
        fork_server.signal(from, libc::SIGCONT);
        Ok(Ward { plan: Some(plan), ..Ward::from(started?) })
    }

    /// The kernel has said who holds the leash: a child of this process, or nobody whom it believes.
    fn believe(&mut self, worker: u32, sender: Option<Pid>) -> io::Result<()> {
        let sender = sender.ok_or_else(|| io::Error::other("nobody has signed"))?.as_raw_pid();
        if !self.lineage.children()?.contains(&sender) {
            return Err(io::Error::other("its warden is no child of the keeper"));
        }
        if self.wards.values().flat_map(Ward::guarded).any(|known| known == sender) {
            return Err(io::Error::other("its warden is that of somebody else"));
        }
        let plan = self.wards.get_mut(&worker).and_then(|ward| ward.plan.take());
        let plan = plan.ok_or_else(|| io::Error::other("it was taken already"))?;
        let ward = self.wards.get(&worker).ok_or(io::ErrorKind::NotFound)?;
        let leash = ward.leash.link().ok_or(io::ErrorKind::NotFound)?;
        foster::hand_over(worker, plan, leash, ward.cgroup.as_ref(), &self.ground())?;
        self.with(worker, |ward| ward.leash.recognise(sender));
        Ok(())
    }
}
