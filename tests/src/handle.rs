//! A handle on one process below the test: a pidfd, so a signal cannot go astray.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::procfs;

/// One process, held by a pidfd.
#[derive(Debug)]
pub struct Handle {
    pid: i32,
    pidfd: OwnedFd,
}

impl Handle {
    /// Takes hold of a process, if it is below this one. Others are never touched.
    pub fn of_descendant(pid: i32) -> io::Result<Self> {
        let id = Pid::from_raw(pid).ok_or_else(|| io::Error::other("zero is no process"))?;
        let pidfd = pidfd_open(id, PidfdFlags::empty())?;
        if !procfs::is_descendant(pid) {
            return Err(io::Error::other(format!("process {pid} is not below this test")));
        }
        Ok(Self { pid, pidfd })
    }

    /// The process id, for reading `/proc` and for messages. Never for signals.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends a signal. `false` when the process is gone already.
    pub fn send(&self, signal: Signal) -> io::Result<bool> {
        match pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the process has ended.
    pub fn ended(&self) -> bool {
        self.ends_within(Duration::ZERO)
    }

    /// Blocks until the process has ended, at most for the limit.
    pub fn ends_within(&self, limit: Duration) -> bool {
        let timeout = Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(limit.subsec_nanos()),
        };
        let mut watched = [PollFd::new(&self.pidfd, PollFlags::IN)];
        poll(&mut watched, Some(&timeout)).is_ok_and(|ready| ready > 0)
    }

    /// Blocks until the fact about the living process holds. `false` when it ended first or the limit passed.
    ///
    /// The kernel tells nobody but a parent that a process was stopped, or that a
    /// handler was taken away, so `/proc` has to be asked again and again.
    pub fn reaches(&self, fact: impl Fn(i32) -> bool, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if fact(self.pid) {
                return true;
            }
            if self.ends_within(Duration::from_millis(1)) {
                return false;
            }
        }
        false
    }
}
