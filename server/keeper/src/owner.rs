//! The owner's side of the loop: what it asks, and what it is told.

use crate::keeper::Keeper;
use crate::machine::Event;
use crate::ward::Ward;
use sidewinder_keeper_kernel::{Cgroup, Received, facts};
use sidewinder_keeper_warden::{self as warden, foster::Plan};
use sidewinder_keeper_wire::{Entry, FRAME_MAX, Failure, Frame, Hello, Report, Request, Tier, Welcome};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Instant;

impl Keeper {
    pub(crate) fn hear_owner(&mut self) {
        let mut buffer = vec![0; FRAME_MAX];
        // A slow owner is not listened to while too much waits for it.
        while let Some(lifeline) = self.lifeline.as_ref().filter(|lifeline| !lifeline.is_full()) {
            match lifeline.link().receive(&mut buffer) {
                Ok(Received::Nothing) => return,
                Ok(Received::Frame(length, fds)) => match Request::decode(&buffer[..length]) {
                    Ok(request) => self.carry_out(request, fds),
                    Err(broken) => {
                        let worker = Frame::parse(&buffer[..length]).map_or(0, |frame| frame.worker);
                        self.refuse(worker, &broken.to_string());
                    }
                },
                Ok(Received::Closed) => {
                    (self.lifeline, self.owner) = (None, None);
                    self.learn(Event::OwnerClosed);
                }
                Err(error) => self.refuse(0, &error.to_string()),
            }
        }
    }

    fn carry_out(&mut self, request: Request, mut fds: Vec<OwnedFd>) {
        if let Err(why) = request.check(fds.len()) {
            return self.refuse(request.worker(), why);
        }
        match request {
            Request::Hello(_) if self.greeted => {
                self.refuse(0, "this keeper has had an owner already: adopt it instead");
            }
            Request::Hello(hello) => self.greet(hello, fds.pop(), false),
            Request::Adopt(hello) => self.greet(hello, fds.pop(), true),
            Request::Spawn(worker, request) => self.begin(worker, false, |keeper| {
                warden::start(worker, request, fds, &keeper.ground()).map(Ward::from)
            }),
            Request::Fork(worker, request) => {
                self.begin(worker, true, |keeper| keeper.fork(worker, Plan { request, fds }));
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

    /// Starts a worker, if the machine admits it.
    fn begin(&mut self, worker: u32, forked: bool, start: impl FnOnce(&Self) -> Result<Ward, Failure>) {
        match self.machine.admit(Instant::now(), worker, forked).map(|()| start(self)) {
            Ok(Ok(ward)) => drop(self.wards.insert(worker, ward)),
            Ok(Err(failure)) => self.fail(worker, failure),
            Err(why) => self.refuse(worker, why),
        }
    }

    fn greet(&mut self, hello: Hello, owner: Option<OwnedFd>, adopted: bool) {
        let version = match hello.agree() {
            Ok(version) => version,
            Err(why) => return self.refuse(0, &why),
        };
        if let Some(path) = hello.cgroup.filter(|_| !adopted) {
            match Cgroup::open(PathBuf::from(&path)) {
                Ok(pool) => self.pool = Some(pool),
                Err(error) => return self.refuse(0, &format!("{path}: {error}")),
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
        self.tell(&Report::Welcome(welcome), facts::own_pidfd().ok());
        if adopted {
            self.list();
            let endings =
                self.endings.iter().map(|(worker, gone)| Report::Gone(*worker, Box::new(gone.clone())));
            endings.collect::<Vec<_>>().iter().for_each(|gone| self.tell(gone, None));
        }
    }

    fn list(&mut self) {
        let known: Vec<(u32, bool)> = self.machine.list().collect();
        for (worker, living) in &known {
            let (pid, pidfd) = self.wards.get(worker).map_or((0, None), Ward::process);
            self.tell(&Report::Entry(*worker, Entry { pid, living: *living }), pidfd);
        }
        self.tell(&Report::Listed(u32::try_from(known.len()).unwrap_or(u32::MAX)), None);
    }

    pub(crate) fn refuse(&mut self, worker: u32, why: &str) {
        self.tell(&Report::Refused(worker, why.to_owned()), None);
    }

    pub(crate) fn tell(&mut self, report: &Report, fd: Option<OwnedFd>) {
        if let (Some(lifeline), Ok(frame)) = (&mut self.lifeline, report.encode()) {
            lifeline.put(frame, fd);
        }
    }
}
