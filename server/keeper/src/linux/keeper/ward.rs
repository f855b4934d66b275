//! One worker as its keeper sees it: the warden, the leash to it, the cgroup of the tree.

use crate::linux::cgroup::{self, Cgroup};
use crate::linux::lineage::Lineage;
use crate::linux::link::{Link, Received};
use crate::linux::sys::{self, Forked, Reaped};
use crate::linux::warden::{self, Plan};
use crate::wire::{Failure, Gone, Report, Request, SpawnRequest, Stage};
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::path::Path;

/// The largest frame a warden says to its keeper.
const REPORT_MAX: usize = 1024;
/// A worker of the same user can stop its warden. It is woken so many times; then the keeper takes its place.
const STOPS_MAX: u32 = 3;

/// What the keeper holds of one worker.
#[derive(Debug)]
pub(super) struct Ward {
    /// The warden: a child of the keeper.
    pub(super) warden: i32,
    pub(super) warden_reaped: bool,
    /// How often somebody has stopped the warden.
    pub(super) stops: u32,
    pub(super) leash: Option<Link>,
    pub(super) cgroup: Option<Cgroup>,
    /// The worker, once its program runs.
    pub(super) pid: u32,
    pub(super) pidfd: Option<OwnedFd>,
    /// The worker's own end, when its warden was killed and the keeper reaped it.
    pub(super) reaped: Option<Reaped>,
}

impl Ward {
    /// Starts a warden, which starts the worker.
    pub(super) fn start(
        worker: u32,
        request: Box<SpawnRequest>,
        fds: Vec<OwnedFd>,
        pool: Option<&Cgroup>,
        lineage: Lineage,
        kept: &[RawFd],
    ) -> Result<Self, Failure> {
        let cgroup = make_cgroup(worker, &request, pool)?;
        let path = cgroup.as_ref().map(|cgroup| cgroup.path().to_owned());
        let keeper = rustix::process::getpid();
        let forked = Link::pair().and_then(|ends| Ok((ends, sys::fork(0, None)?)));
        match forked {
            Ok(((leash, _), Forked::Parent(warden, _))) => Ok(Self {
                warden,
                warden_reaped: false,
                stops: 0,
                leash: Some(leash),
                cgroup,
                pid: 0,
                pidfd: None,
                reaped: None,
            }),
            Ok(((_, leash), Forked::Child | Forked::ChildOutside)) => {
                warden::run(Plan { worker, request, fds, cgroup, leash, keeper, lineage }, kept)
            }
            Err(error) => {
                let _ = path.map(|path| cgroup::remove_tree(&path));
                Err(failure(Stage::Fork, &error, "the warden"))
            }
        }
    }

    /// Says something to the warden. One that is gone, or stopped, needs other means.
    pub(super) fn say(&self, request: &Request) {
        if let (Some(leash), Ok(frame)) = (&self.leash, request.encode()) {
            let _ = leash.send(&frame, &[]);
        }
    }

    /// The next thing its warden has said; `None` when it says nothing now.
    pub(super) fn hear(&mut self) -> Option<Heard> {
        let mut buffer = [0; REPORT_MAX];
        match self.leash.as_ref()?.receive(&mut buffer) {
            Ok(Received::Nothing) => None,
            Ok(Received::Frame(length, mut fds)) => {
                let report = Report::decode(&buffer[..length]).ok()?;
                if let Report::Spawned(_, pid) = report {
                    (self.pid, self.pidfd) = (pid, fds.pop());
                }
                Some(Heard::Report(report))
            }
            Ok(Received::Closed) | Err(_) => {
                self.leash = None;
                Some(Heard::Lost)
            }
        }
    }

    /// Has the kernel kill the whole tree, where it can.
    pub(super) fn kill_cgroup(&self) {
        if let Some(cgroup) = &self.cgroup {
            let _ = cgroup.kill();
        }
    }

    /// Wakes a warden that somebody has stopped, or gives it up when that goes on. Says whether it was given up.
    pub(super) fn on_stopped(&mut self) -> bool {
        self.stops += 1;
        if self.stops <= STOPS_MAX {
            let _ = sys::kill(self.warden, libc::SIGCONT);
            return false;
        }
        self.kill_warden();
        self.leash.take().is_some()
    }

    /// Kills the warden, which is still a child of this process.
    pub(super) fn kill_warden(&self) {
        if !self.warden_reaped {
            let _ = sys::kill(self.warden, libc::SIGKILL);
        }
    }

    /// Whether nobody is left in its cgroup.
    pub(super) fn is_empty(&self) -> bool {
        self.cgroup.as_ref().is_none_or(|cgroup| !cgroup.populated())
    }

    /// What is known of the ending without the warden's word.
    pub(super) fn gone(&self) -> Gone {
        let mut gone = Gone { warden_lost: true, ..Gone::default() };
        if let Some(reaped) = self.reaped {
            gone.ending = Some(warden::ending(reaped.status));
            (gone.user, gone.system, gone.peak_rss) = (reaped.user, reaped.system, reaped.peak_rss);
        }
        if let Some(cgroup) = &self.cgroup {
            warden::evidence(cgroup, &mut gone);
        }
        gone
    }

    /// Removes the cgroup of a tree that is gone.
    pub(super) fn clear(&self) {
        if let Some(cgroup) = &self.cgroup
            && let Err(error) = cgroup::remove_tree(cgroup.path())
            && error.kind() != io::ErrorKind::NotFound
        {
            complain!("cannot remove {}: {error}", cgroup.path().display());
        }
    }
}

/// What a warden has said.
pub(super) enum Heard {
    Report(Report),
    /// It is gone.
    Lost,
}

fn make_cgroup(
    worker: u32,
    request: &SpawnRequest,
    pool: Option<&Cgroup>,
) -> Result<Option<Cgroup>, Failure> {
    let knobs = request.limits.knobs();
    let Some(pool) = pool else {
        return match knobs.first() {
            None => Ok(None),
            Some((_, knob, _)) => {
                let message =
                    format!("{knob} needs a delegated cgroup, and there is none: see `sidewinder doctor`");
                Err(Failure { stage: Stage::Cgroup, errno: 0, message })
            }
        };
    };
    let path = pool.path().join(format!("w{worker}"));
    let cgroup = Cgroup::create(path.clone())
        .map_err(|error| failure(Stage::Cgroup, &error, &path.display().to_string()))?;
    for (controller, knob, value) in knobs {
        if let Err(error) = cgroup.write(knob, &value) {
            remove(&path);
            let what = format!(
                "{knob} = {value} (is the {controller} controller delegated? see `sidewinder doctor`)"
            );
            return Err(failure(Stage::Cgroup, &error, &what));
        }
    }
    Ok(Some(cgroup))
}

fn remove(path: &Path) {
    let _ = cgroup::remove_tree(path);
}

pub(super) fn failure(stage: Stage, error: &io::Error, message: &str) -> Failure {
    Failure { stage, errno: error.raw_os_error().unwrap_or(0), message: message.to_owned() }
}
