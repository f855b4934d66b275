//! The children of this process, and how to be rid of them.
//!
//! Only direct children are ever signalled: nobody else can reap them, so their process ids cannot be reused
//! between the look and the kill. Whatever they leave behind becomes a direct child, because this process is a
//! subreaper; so killing in rounds ends with everybody, and `ECHILD` is the proof.

use crate::sys::{self, Signals};
use crate::wait;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

/// Between two looks at who is left, when no child has died.
const ROUND: Duration = Duration::from_millis(1);

/// How to read process ids out of `/proc`.
#[derive(Debug)]
pub struct Lineage {
    /// Held from the start: a worker with the power to cover `/proc` must not blind its keepers.
    proc: OwnedFd,
    /// Where our namespace stands in an `NSpid` line, when `/proc` shows another one.
    foreign: Option<usize>,
}

impl Lineage {
    /// Opens `/proc`, and finds out whose it is.
    pub fn look() -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Self::look_in(rustix::fs::open("/proc", flags, Mode::empty())?)
    }

    /// Does so, and sees that children can be listed.
    pub fn sure() -> io::Result<Self> {
        let lineage = Self::look().and_then(|lineage| lineage.children().map(|_| lineage));
        lineage.map_err(|error| {
            let why = format!("/proc/thread-self/children: {error}: mount /proc (with CONFIG_PROC_CHILDREN)");
            io::Error::new(error.kind(), why)
        })
    }

    /// The same in a `/proc` that somebody else has opened.
    pub fn look_in(proc: OwnedFd) -> io::Result<Self> {
        let mut lineage = Self { proc, foreign: None };
        let ours = rustix::process::getpid().as_raw_nonzero().get().to_string();
        let link = rustix::fs::readlinkat(&lineage.proc, "self", Vec::new())?;
        if link.to_bytes() != ours.as_bytes() {
            lineage.foreign = lineage.ns_pids("self").map(|pids| pids.len().saturating_sub(1));
        }
        Ok(lineage)
    }

    /// The same view, for a fork of this process.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { proc: self.proc.try_clone()?, foreign: self.foreign })
    }

    /// The process ids of the direct children, as this process knows them. Zombies are among them.
    pub fn children(&self) -> io::Result<Vec<i32>> {
        let listed = self.read("thread-self/children")?;
        let pids = listed.split_ascii_whitespace();
        Ok(match self.foreign {
            None => pids.filter_map(|pid| pid.parse().ok()).collect(),
            Some(level) => pids.filter_map(|pid| self.ns_pids(pid)?.get(level).copied()).collect(),
        })
    }

    /// Kills every direct child but the spared ones, and says how many there were.
    pub fn strike(&self, spared: impl Fn(i32) -> bool) -> io::Result<usize> {
        let mut struck = 0;
        for pid in self.children()? {
            if !spared(pid) {
                struck += 1;
                // A child of another user is not ours to kill: its namespace or cgroup ends it.
                let _ = sys::kill(pid, libc::SIGKILL);
            }
        }
        Ok(struck)
    }

    /// Kills and reaps until nobody is left below this process.
    pub fn end_all(&self, signals: &Signals) {
        while !sys::is_childless(&sys::reap()) {
            let _ = self.strike(|_| false);
            let _ = wait::poll(&mut [PollFd::new(signals.fd(), PollFlags::IN)], Some(ROUND));
            while signals.next().is_some() {}
        }
    }

    fn ns_pids(&self, pid: &str) -> Option<Vec<i32>> {
        let status = self.read(&format!("{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        line.split_ascii_whitespace().map(|pid| pid.parse().ok()).collect()
    }

    fn read(&self, path: &str) -> io::Result<String> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let mut text = String::new();
        File::from(rustix::fs::openat(&self.proc, path, flags, Mode::empty())?).read_to_string(&mut text)?;
        Ok(text)
    }
}

impl AsFd for Lineage {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.proc.as_fd()
    }
}

impl AsRawFd for Lineage {
    fn as_raw_fd(&self) -> RawFd {
        self.proc.as_raw_fd()
    }
}
