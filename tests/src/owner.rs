//! A stand-in for the daemon: an owner that speaks the keeper's protocol frame by frame.
//!
//! What it says about *who* the owner is (the pidfd beside a hello) is its own choice, so a test can let "the owner"
//! die without dying itself, and adopt the pool as its successor.

use crate::arena::Arena;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, pidfd_open};
use sidewinder_keeper_kernel::link::{Link, Received};
use sidewinder_keeper_wire::{
    FRAME_MAX, Gone, Graces, Hello, KEEPER_ARGUMENT, RUN_VARIABLE, Report, Request, SpawnRequest, Welcome,
};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::Duration;

const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// The owner's end of a keeper's lifeline.
#[derive(Debug)]
pub struct Owner {
    /// The lifeline itself.
    pub link: Link,
}

impl Owner {
    /// Starts a keeper. Nobody has said hello yet.
    pub fn start(arena: &Arena, namespace: bool) -> io::Result<Self> {
        let (link, theirs) = Link::pair()?;
        let lock = File::create(arena.file("lock"))?;
        let started = Command::new(arena.binary())
            .args([KEEPER_ARGUMENT, if namespace { "auto" } else { "off" }])
            .arg(arena.file("record"))
            .env_clear()
            .env(RUN_VARIABLE, "test")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(OwnedFd::from(lock)))
            .status()?;
        if started.success() { Ok(Self { link }) } else { Err(io::Error::other(started.to_string())) }
    }

    /// Says hello with these graces, as this process. Returns the welcome and the keeper's pidfd.
    pub fn hello(&self, graces: Graces) -> io::Result<(Welcome, OwnedFd)> {
        self.introduce(&Request::Hello(hello(graces)), &own_pidfd()?)
    }

    /// Adopts the keeper, as this process.
    pub fn adopt(&self, graces: Graces) -> io::Result<(Welcome, OwnedFd)> {
        self.introduce(&Request::Adopt(hello(graces)), &own_pidfd()?)
    }

    /// Introduces the process behind a pidfd as the owner.
    pub fn introduce(&self, request: &Request, owner: &OwnedFd) -> io::Result<(Welcome, OwnedFd)> {
        self.say(request, &[owner.as_fd()])?;
        match self.hear()? {
            (Report::Welcome(welcome), Some(keeper)) => Ok((welcome, keeper)),
            (other, _) => Err(io::Error::other(format!("no welcome: {other:?}"))),
        }
    }

    /// Sends one request.
    pub fn say(&self, request: &Request, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.link.send(&request.encode().map_err(io::Error::other)?, fds)
    }

    /// Asks for a worker that runs this command line, and waits until it runs. Returns its pidfd.
    pub fn spawn(&self, worker: u32, request: SpawnRequest, fds: &[BorrowedFd<'_>]) -> io::Result<OwnedFd> {
        self.say(&Request::Spawn(worker, Box::new(request)), fds)?;
        match self.hear()? {
            (Report::Spawned(number, _), Some(pidfd)) if number == worker => Ok(pidfd),
            (other, _) => Err(io::Error::other(format!("not spawned: {other:?}"))),
        }
    }

    /// The next report; waits for it.
    pub fn hear(&self) -> io::Result<(Report, Option<OwnedFd>)> {
        self.hear_or_end()?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// The next report, or nothing when the keeper is gone.
    pub fn hear_or_end(&self) -> io::Result<Option<(Report, Option<OwnedFd>)>> {
        let mut buffer = vec![0; FRAME_MAX];
        loop {
            match self.link.receive(&mut buffer)? {
                Received::Closed => return Ok(None),
                Received::Frame(length, mut fds) => {
                    let report = Report::decode(&buffer[..length]).map_err(io::Error::other)?;
                    return Ok(Some((report, fds.pop())));
                }
                Received::Nothing => {
                    if poll(&mut [PollFd::new(&self.link, PollFlags::IN)], Some(&PATIENCE))? == 0 {
                        return Err(io::Error::new(io::ErrorKind::TimedOut, "the keeper says nothing"));
                    }
                }
            }
        }
    }

    /// Waits for the end of this worker's tree, and acknowledges it. Its `Exited` may come before.
    pub fn gone(&self, worker: u32) -> io::Result<Gone> {
        loop {
            match self.hear()? {
                (Report::Gone(number, gone), _) if number == worker => {
                    self.say(&Request::Acknowledge(worker), &[])?;
                    return Ok(*gone);
                }
                (Report::Exited(number, _), _) if number == worker => {}
                (other, _) => return Err(io::Error::other(format!("not gone: {other:?}"))),
            }
        }
    }
}

/// A hello of the only version there is.
pub fn hello(graces: Graces) -> Hello {
    Hello { versions: (1, 1), graces, cgroup: None }
}

/// Graces that kill at once, and wait this long for a successor.
pub fn at_once(reattach: Duration) -> Graces {
    Graces { stop: Duration::ZERO, orphan: Duration::ZERO, reattach }
}

/// A worker: this command line, and `PATH` as its only variable.
pub fn command<S: AsRef<[u8]>>(arguments: &[S]) -> SpawnRequest {
    SpawnRequest {
        arguments: arguments.iter().map(|argument| argument.as_ref().to_vec()).collect(),
        environment: vec![b"PATH=/usr/bin:/bin".to_vec()],
        ..SpawnRequest::default()
    }
}

fn own_pidfd() -> io::Result<OwnedFd> {
    Ok(pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?)
}
