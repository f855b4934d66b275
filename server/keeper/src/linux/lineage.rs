//! The children of this process, and how to be rid of them.
//!
//! Only direct children are ever signalled: nobody else can reap them, so their process ids cannot be reused
//! between the look and the kill. Whatever they leave behind becomes a direct child, because this process is a
//! subreaper; so killing in rounds ends with everybody, and `ECHILD` is the proof.

use super::sys;
use std::fs;
use std::io;

/// How to read process ids out of `/proc`.
#[derive(Clone, Copy, Debug)]
pub struct Lineage {
    /// Where our namespace stands in an `NSpid` line, when `/proc` shows another one.
    foreign: Option<usize>,
}

impl Lineage {
    /// Finds out whose `/proc` this is.
    pub fn look() -> Self {
        let ours = rustix::process::getpid().as_raw_nonzero().get().to_string();
        let is_ours = fs::read_link("/proc/self").is_ok_and(|link| link.as_os_str() == ours.as_str());
        let foreign = if is_ours { None } else { ns_pids("self").map(|pids| pids.len().saturating_sub(1)) };
        Self { foreign }
    }

    /// The process ids of the direct children, as this process knows them. Zombies are among them.
    pub fn children(self) -> io::Result<Vec<i32>> {
        let listed = fs::read_to_string("/proc/thread-self/children")?;
        let pids = listed.split_ascii_whitespace();
        Ok(match self.foreign {
            None => pids.filter_map(|pid| pid.parse().ok()).collect(),
            Some(level) => pids.filter_map(|pid| ns_pids(pid)?.get(level).copied()).collect(),
        })
    }

    /// Kills every direct child but the spared ones, and says how many there were.
    pub fn strike(self, spared: impl Fn(i32) -> bool) -> io::Result<usize> {
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
}

fn ns_pids(pid: &str) -> Option<Vec<i32>> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_ascii_whitespace().map(|pid| pid.parse().ok()).collect()
}
