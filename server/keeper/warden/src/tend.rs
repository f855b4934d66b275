//! The life of a warden, once its worker is below it.
//!
//! It is the subreaper of its worker's tree. When the worker ends, when it is told to, or when the keeper is gone (its
//! pidfd says so, or its leash is at end-of-file), it kills everything below it, and reports once the kernel says that
//! no child is left and the cgroup is empty. Only then it leaves.

use crate::{ending, gone, launch};
use rustix::event::{PollFd, PollFlags};
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, PidfdFlags, Signal};
use sidewinder_keeper_kernel::wait::poll;
use sidewinder_keeper_kernel::{
    Cgroup, Forked, Lineage, Link, Reaped, Received, Rounds, Signals, complain, sys,
};
use sidewinder_keeper_wire::{Failure, Report, Request, SpawnRequest, Stage, Word};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// The largest frame a keeper says to a warden.
const LEASH_FRAME: usize = 64;

/// What a warden is born with.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) worker: u32,
    pub(super) request: Box<SpawnRequest>,
    pub(super) fds: Vec<OwnedFd>,
    pub(super) cgroup: Option<Cgroup>,
    pub(super) leash: Link,
    pub(super) keeper: Pid,
    pub(super) lineage: Lineage,
}

pub(super) struct Warden {
    pub(super) worker: u32,
    pub(super) leash: Link,
    /// A stolen copy of the leash hides the keeper's death, its pidfd does not.
    pub(super) keeper: OwnedFd,
    pub(super) signals: Signals,
    pub(super) lineage: Lineage,
    pub(super) cgroup: Option<Cgroup>,
    pub(super) child: i32,
    pub(super) pidfd: OwnedFd,
    /// Says at end-of-file that the program runs, and before it why it does not. A worker that was forked from a fork
    /// server says that it runs, and at end-of-file that it does not.
    pub(super) launch: Option<OwnedFd>,
    pub(super) forked: bool,
    pub(super) failure: Option<Failure>,
    pub(super) reaped: Option<Reaped>,
    pub(super) ending: bool,
    pub(super) rounds: Rounds,
    /// Held, never used: while it is open, somebody is there to clean up. A fork of the keeper has it anyway.
    #[expect(dead_code, reason = "open is all that it has to be")]
    pub(super) lock: Option<OwnedFd>,
}

/// Spends the life of a warden. The keeper's own descriptors are closed first.
pub(super) fn run(plan: Plan, lock: &OwnedFd) -> ! {
    let worker = plan.worker;
    let mut open = vec![2, lock.as_raw_fd(), plan.leash.as_fd().as_raw_fd()];
    open.push(plan.lineage.as_raw_fd());
    open.extend(plan.fds.iter().map(AsRawFd::as_raw_fd));
    open.extend(plan.cgroup.iter().map(|cgroup| cgroup.as_fd().as_raw_fd()));
    let begun = sys::close_all_but(&open).and_then(|()| plan.leash.try_clone()).and_then(|leash| {
        Warden::begin(plan).inspect_err(|error| {
            say(&leash, &Report::Failed(worker, Failure::of(Stage::Fork, error, "")), &[]);
        })
    });
    if let Err(error) = begun.and_then(Warden::tend) {
        complain!("the warden of worker {worker} failed: {error}");
        sys::leave(1);
    }
    sys::leave(0)
}

impl Warden {
    fn begin(plan: Plan) -> io::Result<Self> {
        rustix::thread::set_name(c"sw-warden")?;
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        let signals = Signals::take_all()?;
        let keeper = watch_keeper(plan.keeper)?;
        let (launch, failed) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        // A stolen copy of the other end must not make a reader wait.
        rustix::io::ioctl_fionbio(&launch, true)?;
        let warden = rustix::process::getpid();
        let cgroup = plan.cgroup.as_ref().map(AsFd::as_fd);
        match sys::fork(0, cgroup) {
            Ok(Forked::Child) => launch::launch(&plan.request, &plan.fds, warden, None, &failed),
            Ok(Forked::ChildOutside) => {
                launch::launch(&plan.request, &plan.fds, warden, plan.cgroup.as_ref(), &failed)
            }
            Ok(Forked::Parent(child, pidfd)) => Ok(Self {
                worker: plan.worker,
                leash: plan.leash,
                keeper,
                signals,
                lineage: plan.lineage,
                cgroup: plan.cgroup,
                child,
                pidfd,
                launch: Some(launch),
                forked: false,
                failure: None,
                reaped: None,
                ending: false,
                rounds: Rounds::default(),
                lock: None,
            }),
            Err(error) => Err(error),
        }
    }

    pub(super) fn tend(mut self) -> io::Result<()> {
        loop {
            let childless = self.reap()?;
            if self.ending {
                let empty = self.strike();
                if childless && empty {
                    self.read_launch();
                    self.report();
                    return Ok(());
                }
            }
            self.wait()?;
        }
    }

    fn wait(&mut self) -> io::Result<()> {
        if self.ending {
            return self.wait_for_deaths();
        }
        let mut fds = vec![
            PollFd::new(self.signals.fd(), PollFlags::IN),
            PollFd::new(&self.leash, PollFlags::IN),
            PollFd::new(&self.keeper, PollFlags::IN),
        ];
        if let Some(launch) = &self.launch {
            fds.push(PollFd::new(launch, PollFlags::IN));
        }
        poll(&mut fds, None)?;
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        self.take_signals();
        self.ending |= ready[2];
        if ready.get(3) == Some(&true) {
            self.read_launch();
        }
        if ready[1] {
            self.hear()?;
        }
        Ok(())
    }

    /// Once it kills, nothing that anybody says changes anything.
    fn wait_for_deaths(&mut self) -> io::Result<()> {
        self.rounds.end(false);
        poll(&mut [PollFd::new(self.signals.fd(), PollFlags::IN)], Some(self.rounds.patience()))?;
        self.take_signals();
        Ok(())
    }

    fn take_signals(&mut self) {
        while let Some(signal) = self.signals.next() {
            // A crash signal ends the tree; a request to stop is the keeper's business.
            self.ending |=
                matches!(signal, libc::SIGSEGV | libc::SIGABRT | libc::SIGBUS | libc::SIGILL | libc::SIGFPE);
        }
    }

    fn hear(&mut self) -> io::Result<()> {
        let mut buffer = [0; LEASH_FRAME];
        loop {
            match self.leash.receive(&mut buffer)? {
                Received::Nothing => return Ok(()),
                Received::Closed => {
                    self.ending = true;
                    return Ok(());
                }
                Received::Frame(length, _) => match Request::decode(&buffer[..length]) {
                    Ok(Request::Signal(_, signal)) if self.reaped.is_none() => {
                        let _ = sys::kill(self.child, signal);
                        if sys::STOPS.contains(&signal) {
                            // A stopped worker could not obey.
                            let _ = sys::kill(self.child, libc::SIGCONT);
                        }
                    }
                    Ok(Request::Kill(_)) => self.ending = true,
                    Ok(_) => {}
                    Err(_) => self.step_aside(&buffer[..length]),
                },
            }
        }
    }

    /// Leaves a fork server to the keeper, if that is asked for and nobody else is below.
    fn step_aside(&mut self, frame: &[u8]) {
        if Word::decode(frame) != Ok(Word::StepAside) || self.ending || self.launch.is_some() {
            return;
        }
        if self.lineage.children().is_ok_and(|children| children == [self.child]) {
            if let Ok(frame) = Word::Aside.encode() {
                let _ = self.leash.send(&frame, &[]);
            }
            sys::leave(0);
        }
    }

    /// Learns whether the program runs. Until then the worker is nobody's business.
    fn read_launch(&mut self) {
        let Some(launch) = self.launch.take() else { return };
        let mut bytes = [0; 8];
        let length = rustix::io::retry_on_intr(|| rustix::io::read(&launch, &mut bytes)).unwrap_or(0);
        let failed = match launch::decode(&bytes[..length]) {
            _ if self.forked => {
                (Word::decode(&bytes[..length]) != Ok(Word::Begun)).then_some((Stage::Fork, 0))
            }
            failed => failed,
        };
        if let Some((stage, errno)) = failed {
            let message = if self.forked { "it was gone before it began" } else { "" };
            self.failure = Some(Failure { stage, errno, message: message.to_owned() });
            self.ending = true;
        } else {
            let report = Report::Spawned(self.worker, self.child.unsigned_abs());
            say(&self.leash, &report, &[self.pidfd.as_fd()]);
        }
    }

    /// Reaps everybody who is dead, and says whether no child is left.
    fn reap(&mut self) -> io::Result<bool> {
        loop {
            match sys::reap() {
                Ok(Some(reaped)) if reaped.pid == self.child && self.reaped.is_none() => {
                    self.read_launch();
                    self.reaped = Some(reaped);
                    self.ending = true;
                    if self.failure.is_none() {
                        say(&self.leash, &Report::Exited(self.worker, ending(reaped.status)), &[]);
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => return Ok(false),
                childless if sys::is_childless(&childless) => return Ok(true),
                Err(error) => return Err(error),
            }
        }
    }

    /// One round of killing. Says whether the cgroup is empty.
    fn strike(&self) -> bool {
        if let Err(error) = self.lineage.strike(|_| false)
            && self.reaped.is_none()
        {
            complain!("cannot list the children of a warden ({error}): is /proc mounted?");
            let _ = sys::kill(self.child, libc::SIGKILL);
        }
        let Some(cgroup) = &self.cgroup else { return true };
        let _ = cgroup.kill();
        !cgroup.populated()
    }

    fn report(&self) {
        let report = match &self.failure {
            Some(failure) => Report::Failed(self.worker, failure.clone()),
            None => Report::Gone(self.worker, Box::new(gone(self.reaped, self.cgroup.as_ref()))),
        };
        say(&self.leash, &report, &[]);
    }
}

/// Opens the keeper, and has the kernel wake this process when the keeper dies, should somebody have stopped it.
fn watch_keeper(keeper: Pid) -> io::Result<OwnedFd> {
    rustix::process::set_parent_process_death_signal(Some(Signal::CONT))?;
    let pidfd = rustix::process::pidfd_open(keeper, PidfdFlags::empty())?;
    if rustix::process::getppid() == Some(keeper) { Ok(pidfd) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// A keeper that is gone needs no report.
pub(super) fn say(leash: &Link, report: &Report, fds: &[BorrowedFd<'_>]) {
    if let Ok(frame) = report.encode() {
        let _ = leash.send(&frame, fds);
    }
}
