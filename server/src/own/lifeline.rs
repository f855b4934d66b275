//! The owner's end of a keeper.

use super::record::Record;
use rustix::event::{PollFd, PollFlags};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, getpid, getppid, kill_process,
    set_parent_process_death_signal, waitid,
};
use sidewinder_keeper_kernel::link::{Link, Received};
use sidewinder_keeper_wire::{
    self as wire, FRAME_MAX, Graces, Hello, KEEPER_ARGUMENT, RUN_VARIABLE, Report, Request, SpawnRequest,
    Welcome,
};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A keeper answers within microseconds; one that does not in this time is broken.
const HELLO_PATIENCE: Duration = Duration::from_secs(10);

/// Says that what follows is for a keeper that has to wait.
pub(crate) const GATE_ARGUMENT: &str = "__gate";

/// The socket to a keeper. Closing it ends the pool.
#[derive(Debug)]
pub(crate) struct Lifeline {
    link: Link,
    buffer: Vec<u8>,
}

/// A worker that a keeper knows.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) number: u32,
    /// Not all of its tree is gone.
    pub(crate) living: bool,
    pub(crate) pidfd: Option<OwnedFd>,
}

/// What there was to hear.
#[derive(Debug)]
pub(crate) enum Heard {
    Report(Report, Option<OwnedFd>),
    Nothing,
    /// The keeper is gone.
    Closed,
}

impl Lifeline {
    /// Starts a keeper: this executable, in its other part.
    pub(crate) fn start(namespace: bool, record: &Record) -> io::Result<Self> {
        let (link, mut child) = execute(&[], namespace, record)?;
        // What was executed has left as soon as the keeper stands.
        child.wait()?;
        Ok(Self { link, buffer: vec![0; FRAME_MAX] })
    }

    /// The way to a keeper that has lost its owner.
    pub(crate) fn found(lifeline: OwnedFd) -> io::Result<Self> {
        Ok(Self { link: Link::new(lifeline)?, buffer: vec![0; FRAME_MAX] })
    }

    /// Becomes the owner of a keeper that has lost its own, and learns which workers it knows, and which of them live.
    /// What it had said to nobody is heard first, and comes again in what follows: that is left for whoever listens.
    pub(crate) fn adopt(&mut self, graces: Graces) -> io::Result<(Welcome, OwnedFd, Vec<Known>)> {
        let (welcome, keeper) = self.introduce(Request::Adopt, graces, None)?;
        let until = Instant::now() + HELLO_PATIENCE;
        let mut known = Vec::new();
        loop {
            match self.hear()? {
                Heard::Report(Report::Entry(number, entry), pidfd) => {
                    known.push(Known { number, living: entry.living, pidfd });
                }
                Heard::Report(Report::Listed(_), _) => return Ok((welcome, keeper, known)),
                Heard::Report(Report::Drained, _) => return Err(io::Error::other(wire::ENDING)),
                Heard::Report(..) => {}
                Heard::Closed => return Err(io::Error::other("the keeper left before it said who lives")),
                Heard::Nothing if Instant::now() >= until => return Err(io::ErrorKind::TimedOut.into()),
                Heard::Nothing => self.wait(until)?,
            }
        }
    }

    /// Introduces this process, and learns how the keeper holds its workers. The descriptor is the keeper's pidfd.
    pub(crate) fn hello(&mut self, graces: Graces, cgroup: Option<&Path>) -> io::Result<(Welcome, OwnedFd)> {
        self.introduce(Request::Hello, graces, cgroup)
    }

    fn introduce(
        &mut self,
        as_what: impl FnOnce(Hello) -> Request,
        graces: Graces,
        cgroup: Option<&Path>,
    ) -> io::Result<(Welcome, OwnedFd)> {
        let versions = (wire::oldest_adoptable(wire::VERSION), wire::VERSION);
        let cgroup = cgroup.map(|path| path.to_string_lossy().into_owned());
        let own = rustix::process::pidfd_open(getpid(), PidfdFlags::empty())?;
        self.send(&as_what(Hello { versions, graces, cgroup }), &[own.as_fd()])?;
        let until = Instant::now() + HELLO_PATIENCE;
        loop {
            match self.hear()? {
                Heard::Report(Report::Welcome(welcome), Some(keeper)) => return Ok((welcome, keeper)),
                // Somebody has told it to end: it says so before it introduces itself, and takes nobody any more.
                Heard::Report(Report::Drained, _) => return Err(io::Error::other(wire::ENDING)),
                Heard::Report(Report::Refused(_, why), _) => return Err(io::Error::other(why)),
                Heard::Report(..) => {}
                Heard::Closed => return Err(io::Error::other("the keeper left before it said hello")),
                Heard::Nothing if Instant::now() >= until => return Err(io::ErrorKind::TimedOut.into()),
                Heard::Nothing => self.wait(until)?,
            }
        }
    }

    /// Asks for a worker.
    pub(crate) fn spawn(&self, worker: u32, request: SpawnRequest, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.send(&Request::Spawn(worker, Box::new(request)), fds)
    }

    /// Says something to the keeper.
    pub(crate) fn send(&self, request: &Request, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let frame = request.encode().map_err(io::Error::other)?;
        self.link.send(&frame, fds)
    }

    /// The next thing the keeper has said.
    pub(crate) fn hear(&mut self) -> io::Result<Heard> {
        Ok(match self.link.receive(&mut self.buffer)? {
            Received::Nothing => Heard::Nothing,
            Received::Closed => Heard::Closed,
            Received::Frame(length, mut fds) => {
                let report = Report::decode(&self.buffer[..length]).map_err(io::Error::other)?;
                Heard::Report(report, fds.pop())
            }
        })
    }

    /// Waits until there is something to hear, or until then.
    pub(crate) fn wait(&self, until: Instant) -> io::Result<()> {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = rustix::fs::Timespec::try_from(left).map_err(io::Error::other)?;
        match rustix::event::poll(&mut [PollFd::new(&self.link, PollFlags::IN)], Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Executes this program in its other part, after these words.
fn execute(before: &[String], namespace: bool, record: &Record) -> io::Result<(Link, Child)> {
    let (ours, theirs) = Link::pair()?;
    // The running file itself, even when a package upgrade has replaced it on disk.
    let child = Command::new("/proc/self/exe")
        .arg0("sidewinder")
        .args(before)
        .arg(KEEPER_ARGUMENT)
        .arg(if namespace { "auto" } else { "off" })
        .arg(&record.path)
        .env_clear()
        .env(RUN_VARIABLE, &record.facts.run)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::from(record.lock()?))
        .spawn()?;
    Ok((ours, child))
}

/// A process that will become a keeper, and waits until it is where it belongs. A keeper cannot be told its cgroup later.
#[derive(Debug)]
pub(crate) struct Gated {
    link: Link,
    child: Child,
}

impl Gated {
    /// Starts it, and waits until it stands still.
    pub(crate) fn start(namespace: bool, record: &Record) -> io::Result<Self> {
        let words = [GATE_ARGUMENT.to_owned(), getpid().as_raw_nonzero().to_string()];
        let (link, child) = execute(&words, namespace, record)?;
        let gated = Self { link, child };
        let either = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let stands = waitid(WaitId::Pid(Pid::from_child(&gated.child)), either)?;
        if stands.is_none_or(|status| !status.stopped()) {
            return Err(io::Error::other("what was to become a keeper has ended before that"));
        }
        Ok(gated)
    }

    /// Its number. Nobody else has it before this is dropped.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Lets it go on and become a keeper.
    pub(crate) fn open(mut self) -> io::Result<Lifeline> {
        kill_process(Pid::from_child(&self.child), Signal::CONT)?;
        self.child.wait()?;
        let link = self.link.as_fd().try_clone_to_owned()?;
        Lifeline::found(link)
    }
}

impl Drop for Gated {
    fn drop(&mut self) {
        // Nothing happens to one that has been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What has [`GATE_ARGUMENT`] as its first argument: stands still, and becomes a keeper when its owner says so. The next
/// argument is the owner, the others are for the keeper. Returns why that failed.
pub(crate) fn wait_at_the_gate(mut arguments: impl Iterator<Item = OsString>) -> io::Error {
    let owner = arguments.next().and_then(|word| word.to_str()?.parse::<i32>().ok());
    let waits = || -> io::Result<()> {
        // Nobody opens the gate when its owner is dead.
        set_parent_process_death_signal(Some(Signal::KILL))?;
        if getppid().map(|parent| parent.as_raw_nonzero().get()) != owner {
            return Err(io::Error::other("the owner is gone"));
        }
        kill_process(getpid(), Signal::STOP)?;
        Ok(set_parent_process_death_signal(None)?)
    };
    match waits() {
        Ok(()) => Command::new("/proc/self/exe").arg0("sidewinder").args(arguments).exec(),
        Err(error) => error,
    }
}

impl AsFd for Lifeline {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }
}
