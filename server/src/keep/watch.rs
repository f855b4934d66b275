//! The owner's loop: waits for facts about its caller, its keeper and its command, and acts on each.

use super::order::WORKER;
use super::report::{Journal, Line};
use super::{Error, Order};
use crate::own::ground::{Ground, Standing};
use crate::own::identity;
use crate::own::lifeline::{Heard, Lifeline};
use crate::own::sweep::{self, Scope};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::Timespec;
use rustix::process::{Signal, pidfd_send_signal};
use sidewinder_keeper_kernel::complain;
use sidewinder_keeper_kernel::lineage::Lineage;
use sidewinder_keeper_kernel::sys::{self, Signals};
use sidewinder_keeper_wire::{Ending, Failure, Gone, Report, Request, Stage, Welcome};
use std::io;
use std::os::fd::OwnedFd;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// Wardens whose keeper was killed end their trees by themselves; after this time the owner takes their place.
const WARDEN_PATIENCE: Duration = Duration::from_millis(100);
/// A keeper that was told to kill and has not is told again after this time, and woken; in the end it is killed.
const KEEPER_PATIENCE: Duration = Duration::from_millis(250);
const KILLS_MAX: u32 = 40;
/// Between two looks at what a killed keeper left.
const ROUND: Duration = Duration::from_millis(5);

/// An owner with one command.
#[derive(Debug)]
pub(super) struct Watch {
    order: Order,
    signals: Signals,
    caller: Option<OwnedFd>,
    lifeline: Option<Lifeline>,
    keeper: OwnedFd,
    welcome: Welcome,
    journal: Journal,
    ground: Option<Ground>,
    lineage: Lineage,
    /// Children of ours that were there before the keeper: whoever executed us may have left some.
    foreign: Vec<i32>,
    /// Signals that whoever executed us wanted ignored.
    ignored: Vec<i32>,
    sweep: Option<JoinHandle<()>>,
    kill_at: Option<Instant>,
    /// How often the keeper was told to kill.
    kills: u32,
    stopping: bool,
    started: bool,
    ending: Option<Ending>,
    over: Option<Result<u8, Error>>,
}

impl Watch {
    pub(super) fn new(
        order: Order,
        (signals, ignored): (Signals, Vec<i32>),
        caller: Option<OwnedFd>,
        standing: Standing,
        journal: Journal,
        ground: Ground,
    ) -> io::Result<Self> {
        let Standing { lifeline, keeper, welcome } = standing;
        let own = identity::pid_of(&keeper).unwrap_or(0);
        let lineage = Lineage::look()?;
        let children = lineage.children()?;
        Ok(Self {
            lineage,
            order,
            signals,
            caller,
            lifeline: Some(lifeline),
            keeper,
            welcome,
            journal,
            ground: Some(ground),
            foreign: children.into_iter().filter(|pid| *pid != own).collect(),
            ignored,
            sweep: None,
            kill_at: None,
            kills: 0,
            stopping: false,
            started: false,
            ending: None,
            over: None,
        })
    }

    /// Waits until the command and its whole tree are gone.
    pub(super) fn until_over(&mut self) -> Result<u8, Error> {
        loop {
            reap();
            self.hear_keeper()?;
            if let Some(result) = self.over.take() {
                return result;
            }
            self.wait()?;
        }
    }

    fn wait(&mut self) -> Result<(), Error> {
        let Some(lifeline) = &self.lifeline else { return Ok(()) };
        let timeout = self
            .kill_at
            .map(|at| at.saturating_duration_since(Instant::now()))
            .and_then(|left| left.try_into().ok());
        let mut fds = vec![
            PollFd::new(self.signals.fd(), PollFlags::IN),
            PollFd::new(lifeline, PollFlags::IN),
            PollFd::new(&self.keeper, PollFlags::IN),
        ];
        if let Some(caller) = &self.caller {
            fds.push(PollFd::new(caller, PollFlags::IN));
        }
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
        // A stolen copy of the keeper's end hides its death from the lifeline.
        let keeper_died = !fds[2].revents().is_empty();
        let caller_died = fds.get(3).is_some_and(|fd| !fd.revents().is_empty());
        drop(fds);
        self.take_signals();
        if keeper_died {
            self.hear_keeper()?;
            if self.over.is_none() {
                self.on_keeper_lost();
            }
        }
        if caller_died {
            self.caller = None;
            self.stop(libc::SIGTERM, self.order.graceful.orphan);
        }
        if self.kill_at.is_some_and(|at| at <= Instant::now()) {
            self.kill();
        }
        Ok(())
    }

    fn take_signals(&mut self) {
        while let Some(signal) = self.signals.next() {
            match signal {
                _ if self.ignored.contains(&signal) => {}
                libc::SIGTERM | libc::SIGINT | libc::SIGHUP | libc::SIGQUIT => {
                    let grace = if self.stopping { Duration::ZERO } else { self.order.graceful.stop };
                    self.stop(signal, grace);
                }
                libc::SIGUSR1 | libc::SIGUSR2 | libc::SIGWINCH => self.say(&Request::Signal(WORKER, signal)),
                // Somebody wants us to crash. The keeper ends the rest.
                libc::SIGSEGV | libc::SIGABRT | libc::SIGBUS | libc::SIGILL | libc::SIGFPE | libc::SIGSYS => {
                    sys::leave(128 + signal)
                }
                _ => {}
            }
        }
    }

    fn stop(&mut self, signal: i32, grace: Duration) {
        self.stopping = true;
        if grace.is_zero() {
            self.kill();
        } else {
            self.say(&Request::Signal(WORKER, signal));
            self.kill_at = Some(Instant::now() + grace);
        }
    }

    fn say(&self, request: &Request) {
        // A keeper that is gone is noticed where it is heard; one that somebody has stopped is woken.
        if let Some(lifeline) = &self.lifeline {
            let _ = lifeline.send(request, &[]);
            let _ = pidfd_send_signal(&self.keeper, Signal::CONT);
        }
    }

    fn kill(&mut self) {
        self.say(&Request::Kill(WORKER));
        self.kills += 1;
        self.kill_at = Some(Instant::now() + KEEPER_PATIENCE);
        if self.kills > KILLS_MAX {
            let _ = identity::kill(&self.keeper);
        }
    }

    fn hear_keeper(&mut self) -> Result<(), Error> {
        while let Some(lifeline) = &mut self.lifeline {
            match lifeline.hear()? {
                Heard::Nothing => return Ok(()),
                Heard::Closed => self.on_keeper_lost(),
                Heard::Report(Report::Spawned(..), pidfd) => self.on_started(pidfd.as_ref()),
                Heard::Report(Report::Failed(_, failure), _) => self.over = Some(Err(self.explain(&failure))),
                Heard::Report(Report::Exited(_, ending), _) => {
                    self.journal.write(&Line::exited(ending));
                    self.ending = Some(ending);
                }
                Heard::Report(Report::Gone(_, gone), _) => self.on_gone(&gone),
                // Once it runs, only a signal can be refused: it came too late.
                Heard::Report(Report::Refused(_, why), _) if !self.started => {
                    self.over = Some(Err(Error::Other(why)));
                }
                Heard::Report(..) => {}
            }
        }
        Ok(())
    }

    fn on_started(&mut self, pidfd: Option<&OwnedFd>) {
        self.started = true;
        let Some(ground) = &self.ground else { return };
        let cgroup = ground.cgroup.as_ref().map(|path| path.to_string_lossy());
        let in_namespace = self.welcome.tier == sidewinder_keeper_wire::Tier::A;
        self.journal.write(&Line::Started {
            run: &ground.record.facts.run,
            tier: self.welcome.tier.to_string(),
            owner: std::process::id(),
            keeper: identity::pid_of(&self.keeper).unwrap_or(0),
            command: pidfd.and_then(|pidfd| identity::pid_of(pidfd).ok()),
            namespace: in_namespace.then_some(self.welcome.namespace),
            cgroup: cgroup.as_deref(),
        });
        // The command runs; now there is time for what earlier runs left.
        self.sweep = Builder::new().spawn(sweep_quietly).ok();
    }

    fn on_gone(&mut self, gone: &Gone) {
        self.journal.write(&Line::gone(gone));
        if gone.oom_kills > 0 {
            complain!("{} was over its memory limit: the kernel killed it", self.order.name());
        }
        if gone.warden_lost {
            complain!("the warden of {} was killed; its tree was ended in its place", self.order.name());
        }
        self.say(&Request::Acknowledge(WORKER));
        self.over = Some(Ok(match gone.ending.or(self.ending) {
            Some(Ending::Code(code)) => u8::try_from(code & 0xff).unwrap_or(u8::MAX),
            Some(Ending::Signal(signal)) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
            None => 128 + 9,
        }));
    }

    /// The keeper was killed. The kernel (tier A) or the wardens end the tree; here it is waited for.
    fn on_keeper_lost(&mut self) {
        self.lifeline = None;
        self.journal.write(&Line::KeeperLost);
        let help_at = Instant::now() + WARDEN_PATIENCE;
        loop {
            reap();
            let left = self.lineage.children().unwrap_or_default();
            if left.iter().all(|pid| self.foreign.contains(pid)) {
                break;
            }
            if Instant::now() >= help_at {
                self.kill_pool();
                let _ = self.lineage.strike(|pid| self.foreign.contains(&pid));
            }
            let round = Timespec::try_from(ROUND).ok();
            let _ = rustix::event::poll(&mut [PollFd::new(self.signals.fd(), PollFlags::IN)], round.as_ref());
            while self.signals.next().is_some() {}
        }
        let text = format!("the keeper of {} was killed; everything below it was ended", self.order.name());
        self.over = Some(Err(Error::Other(text)));
    }

    fn kill_pool(&self) {
        if let Some(path) = self.ground.as_ref().and_then(|ground| ground.cgroup.as_ref()) {
            let _ = std::fs::write(path.join("cgroup.kill"), "1");
        }
    }

    fn explain(&self, failure: &Failure) -> Error {
        let name = self.order.name();
        let why = io::Error::from_raw_os_error(failure.errno);
        let text = match failure.stage {
            Stage::Execute if failure.errno == libc::ENOENT => {
                return Error::NotFound(format!(
                    "{name}: not found (looked in PATH, from the directory it would run in)"
                ));
            }
            Stage::Execute => return Error::NotExecutable(format!("{name}: cannot be executed: {why}")),
            Stage::Cgroup if failure.errno == 0 => failure.message.clone(),
            Stage::Cgroup => format!("cannot limit {name}: {}: {why}", failure.message),
            Stage::Fork => format!("cannot start a process for {name}: {why}"),
            Stage::Descriptors => format!("cannot give {name} its descriptors: {why}"),
            Stage::Limits => format!(
                "cannot limit {name}: {why} (niceness, OOM score, processors or a --limit of each process)"
            ),
            Stage::Directory => format!("cannot run {name} in {}: {why}", self.order.directory_name()),
            Stage::User => {
                format!("cannot become the user for {name}: {why} (--uid and --gid need privilege)")
            }
        };
        Error::Other(text)
    }

    /// Waits for the end of the keeper; false when it does not come.
    fn keeper_ends(&self) -> bool {
        let patience = Timespec { tv_sec: 5, tv_nsec: 0 };
        rustix::event::poll(&mut [PollFd::new(&self.keeper, PollFlags::IN)], Some(&patience))
            .is_ok_and(|ended| ended > 0)
    }

    /// Lets the keeper leave, and makes sure that nothing of the run is left on disk.
    pub(super) fn clean_up(&mut self) {
        match self.sweep.take() {
            Some(sweep) => drop(sweep.join()),
            None => sweep_quietly(),
        }
        self.lifeline = None;
        if !self.keeper_ends() {
            // Stopped, perhaps; whatever it still held, its wardens end now.
            let _ = identity::kill(&self.keeper);
        }
        if !self.keeper_ends() {
            // The record stays: somebody else has to finish this.
            return;
        }
        reap();
        if let Some(ground) = self.ground.take() {
            ground.clear();
        }
    }
}

fn sweep_quietly() {
    if let Err(error) = sweep::sweep(&Scope::of("")) {
        complain!("cannot look for what earlier runs left: {error}");
    }
}

/// Whoever dies below a killed keeper is ours to bury.
fn reap() {
    while let Ok(Some(_)) = sys::reap() {}
}
