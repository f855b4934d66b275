//! One worker as its keeper sees it: the warden, the leash to it, the cgroup of the tree.

use sidewinder_keeper_kernel::{Cgroup, Link, Reaped, sys};
use sidewinder_keeper_warden::{Leash, Started, foster::Plan, gone};
use sidewinder_keeper_wire::{Gone, Request};
use std::os::fd::OwnedFd;

/// What the keeper holds of one worker.
#[derive(Debug)]
pub(crate) struct Ward {
    pub(crate) leash: Leash,
    pub(crate) cgroup: Option<Cgroup>,
    /// The worker, once its program runs.
    pub(crate) pid: i32,
    pub(crate) pidfd: Option<OwnedFd>,
    /// The worker's own end, when the keeper itself reaped it.
    pub(crate) reaped: Option<Reaped>,
    /// The socket to a fork server.
    pub(crate) nest: Option<Link>,
    /// Its warden has left it to the keeper: it is a child of the keeper.
    pub(crate) aside: bool,
    /// What a forked worker gets when it is there.
    pub(crate) plan: Option<Plan>,
}

impl From<Started> for Ward {
    fn from(Started { leash, nest, cgroup }: Started) -> Self {
        Self { leash, cgroup, pid: 0, pidfd: None, reaped: None, nest, aside: false, plan: None }
    }
}

impl Ward {
    /// The children of the keeper that are here with right.
    pub(crate) fn guarded(&self) -> impl Iterator<Item = i32> + use<> {
        let warden = self.leash.warden().filter(|_| self.leash.link().is_some());
        warden.into_iter().chain(self.is_held().then_some(self.pid))
    }

    /// It is a fork server that the keeper holds itself.
    pub(crate) fn is_held(&self) -> bool {
        self.aside && self.reaped.is_none()
    }

    /// Nobody holds it any more.
    pub(crate) fn is_lost(&self) -> bool {
        self.leash.link().is_none() && !self.is_held()
    }

    /// Whether nobody is left in its cgroup.
    pub(crate) fn is_empty(&self) -> bool {
        self.cgroup.as_ref().is_none_or(|cgroup| !cgroup.populated())
    }

    /// The worker's own process, as it is told to the owner.
    pub(crate) fn process(&self) -> (u32, Option<OwnedFd>) {
        (self.pid.unsigned_abs(), self.pidfd.as_ref().and_then(|pidfd| pidfd.try_clone().ok()))
    }

    /// Sends a signal to the worker itself.
    pub(crate) fn signal(&self, worker: u32, signal: i32) {
        if self.is_held() {
            // A child that this process has not reaped.
            let _ = sys::kill(self.pid, signal);
            let _ = sys::kill(self.pid, libc::SIGCONT);
        } else {
            self.leash.say(Request::Signal(worker, signal).encode());
        }
    }

    /// Has the whole tree killed.
    pub(crate) fn kill_tree(&self, worker: u32) {
        if self.is_held() {
            self.signal(worker, libc::SIGKILL);
        }
        self.leash.say(Request::Kill(worker).encode());
        self.kill_cgroup();
    }

    /// Has the kernel kill the whole tree, where it can.
    pub(crate) fn kill_cgroup(&self) {
        self.cgroup.iter().for_each(|cgroup| drop(cgroup.kill()));
    }

    /// What is known of the ending without the warden's word.
    pub(crate) fn gone(&self) -> Gone {
        Gone { warden_lost: !self.aside, ..gone(self.reaped, self.cgroup.as_ref()) }
    }
}
