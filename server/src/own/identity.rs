//! Which process is meant, for certain.
//!
//! A process id is reused. What is kept on disk is the id together with something that is not: the inode of the
//! process's pidfd (Linux 6.9 and later: unique until the next boot), or else the time it started.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Timespec;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::str::FromStr;

const PIDFS: i64 = 0x5049_4446;

/// One process of one boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    pidfd_inode: Option<u64>,
    started: u64,
}

impl Identity {
    /// The identity of the process behind a pidfd.
    pub(crate) fn of(pidfd: &OwnedFd) -> io::Result<Self> {
        let pid = pid_of(pidfd)?;
        Ok(Self { pid, pidfd_inode: inode_of(pidfd)?, started: started(pid)? })
    }

    /// Opens the process, if it is still the same and lives.
    pub(crate) fn open(self) -> Option<OwnedFd> {
        let pidfd = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        (Self::of(&pidfd).ok()? == self && !has_ended(&pidfd)).then_some(pidfd)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.pid, self.pidfd_inode.unwrap_or(0), self.started)
    }
}

impl FromStr for Identity {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let numbers: Vec<u64> = text.split(' ').map(str::parse).collect::<Result<_, _>>().map_err(drop)?;
        let [pid, inode, started] = numbers[..] else { return Err(()) };
        let pid = i32::try_from(pid).map_err(drop)?;
        Ok(Self { pid, pidfd_inode: (inode != 0).then_some(inode), started })
    }
}

/// The identity of this process.
pub(crate) fn own() -> io::Result<Identity> {
    Identity::of(&pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?)
}

/// The process id behind a pidfd, as this process sees it.
pub(crate) fn pid_of(pidfd: &OwnedFd) -> io::Result<i32> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))?;
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
    pid.filter(|pid| *pid > 0).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Kills the process behind a pidfd: nobody else can be hit.
pub(crate) fn kill(pidfd: &OwnedFd) -> io::Result<()> {
    send(pidfd, Signal::KILL)
}

/// The same with any signal.
pub(crate) fn send(pidfd: &OwnedFd, signal: Signal) -> io::Result<()> {
    Ok(pidfd_send_signal(pidfd, signal)?)
}

/// Whether it is dead, perhaps not reaped yet.
fn has_ended(pidfd: &OwnedFd) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&now)).is_ok_and(|ready| ready > 0)
}

/// Whether pidfds have inodes of their own here.
pub(crate) fn inode_of(pidfd: &OwnedFd) -> io::Result<Option<u64>> {
    let of_pidfs = rustix::fs::fstatfs(pidfd)?.f_type == PIDFS;
    Ok(if of_pidfs { Some(rustix::fs::fstat(pidfd)?.st_ino) } else { None })
}

fn started(pid: i32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let field = after_name.split_ascii_whitespace().nth(19).and_then(|ticks| ticks.parse().ok());
    field.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_survives_being_written_and_names_no_other_process() {
        let own = pidfd_open(rustix::process::getpid(), PidfdFlags::empty()).expect("pidfd");
        let identity = Identity::of(&own).expect("identity");
        assert_eq!(identity.to_string().parse(), Ok(identity));
        assert!(identity.open().is_some());
        let reused = Identity { started: identity.started + 1, pidfd_inode: None, ..identity };
        assert!(reused.open().is_none());
    }
}
