//! The parent of one worker: whatever the worker forks stays below its warden, and dies with it.
//!
//! ```text
//!  keeper ──leash──▶ warden ──▶ worker ──▶ whatever it forks
//! ```
//!
//! Two ways lead to a warden. [`start()`] forks one from the keeper, without a program of its own, so that it costs a few
//! pages; it forks the worker, which becomes what the request says (`launch`). [`foster`] is the way of a worker that
//! a fork server has forked: its warden is executed, and takes the worker over. From there on both are the same
//! (`tend`). What is executed is a small program that the keeper carries (`program`), and this crate is all of it.
//!
//! What a keeper has of all this: to [`start()`] one, to ask a fork server for a worker and hand the plan over ([`foster`]),
//! and the [`Leash`]. It never looks inside.

#![warn(clippy::print_stderr, clippy::print_stdout)]

pub mod foster;
mod launch;
mod leash;
mod program;
mod start;
mod tend;

pub use leash::{Heard, Leash};
pub use start::{Ground, Started, start};

use sidewinder_keeper_kernel::{Cgroup, Reaped};
use sidewinder_keeper_wire::{Ending, Gone};

/// How a process ended, from its wait status.
pub fn ending(status: i32) -> Ending {
    if libc::WIFSIGNALED(status) {
        Ending::Signal(libc::WTERMSIG(status))
    } else {
        Ending::Code(libc::WEXITSTATUS(status))
    }
}

/// What is known of a tree that is gone: by whoever reaped the worker, and by the cgroup.
pub fn gone(reaped: Option<Reaped>, cgroup: Option<&Cgroup>) -> Gone {
    let mut gone = Gone::default();
    if let Some(reaped) = reaped {
        gone.ending = Some(ending(reaped.status));
        (gone.user, gone.system, gone.peak_rss) = (reaped.user, reaped.system, reaped.peak_rss);
    }
    if let Some(cgroup) = cgroup {
        gone.peak_tree = cgroup.number("memory.peak");
        gone.oom_kills = cgroup.count("memory.events", "oom_kill").unwrap_or(0);
        gone.pids_refused = cgroup.count("pids.events", "max").unwrap_or(0);
    }
    gone
}
