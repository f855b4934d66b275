//! The owner's side of the loop: what it asks, and what it is told.

use super::{Asked, Keeper, OUTBOX_MAX, forks};
use crate::Tier;
use crate::linux::cgroup::Cgroup;
use crate::linux::link::Received;
use crate::linux::{facts, launch};
use crate::machine::Event;
use crate::wire::{self, Entry, FRAME_MAX, Frame, Hello, Report, Request, Welcome};
use rustix::process::PidfdFlags;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

impl Keeper {
    pub(super) fn hear_owner(&mut self) {
        let mut buffer = vec![0; FRAME_MAX];
        while self.outbox.len() < OUTBOX_MAX {
            let Some(lifeline) = &self.lifeline else { return };
            match lifeline.receive(&mut buffer) {
                Ok(Received::Nothing) => return,
                Ok(Received::Frame(length, fds)) => match Request::decode(&buffer[..length]) {
                    Ok(request) => self.carry_out(request, fds),
                    Err(broken) => {
                        let worker = Frame::parse(&buffer[..length]).map_or(0, |frame| frame.worker);
                        self.tell(&Report::Refused(worker, broken.to_string()), None);
                    }
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
                if let Err(why) = launch::check_spawn(&request, &fds) {
                    self.tell(&Report::Refused(worker, why.to_owned()), None);
                    return;
                }
                self.asked = Some((Asked::Spawn(request), fds));
                self.learn(Event::SpawnAsked(worker));
                self.asked = None;
            }
            Request::Fork(worker, request) => {
                if let Err(why) = forks::check(&request, &fds) {
                    self.tell(&Report::Refused(worker, why.to_owned()), None);
                    return;
                }
                self.asked = Some((Asked::Fork(request), fds));
                self.learn(Event::ForkAsked(worker));
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

    pub(super) fn list(&mut self) {
        let known: Vec<(u32, bool)> = self.machine.list().collect();
        for (worker, living) in &known {
            let ward = self.wards.get(worker);
            let pid = ward.map_or(0, |ward| ward.pid);
            let pidfd = ward.and_then(|ward| ward.pidfd.as_ref()?.try_clone().ok());
            self.tell(&Report::Entry(*worker, Entry { pid, living: *living }), pidfd);
        }
        self.tell(&Report::Listed(u32::try_from(known.len()).unwrap_or(u32::MAX)), None);
    }

    pub(super) fn tell(&mut self, report: &Report, fd: Option<OwnedFd>) {
        if self.lifeline.is_some()
            && let Ok(frame) = report.encode()
        {
            self.outbox.push_back((frame, fd));
        }
    }

    pub(super) fn flush(&mut self) {
        let Some(lifeline) = &self.lifeline else { return self.outbox.clear() };
        while let Some((frame, fd)) = self.outbox.front() {
            let fds: Vec<_> = fd.iter().map(AsFd::as_fd).collect();
            let sent = lifeline.send(frame, &fds);
            self.stuttering = false;
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Too many descriptors are on their way: the word is worth more than what comes beside it.
                Err(error) if error.raw_os_error() == Some(libc::ETOOMANYREFS) && fd.is_some() => {
                    self.outbox.front_mut().into_iter().for_each(|(_, fd)| *fd = None);
                }
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::ENOMEM)) => {
                    self.stuttering = true;
                    return;
                }
                // An owner that is gone is noticed where the lifeline is read.
                Ok(()) | Err(_) => drop(self.outbox.pop_front()),
            }
        }
    }
}
