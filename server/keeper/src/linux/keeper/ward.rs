//! One worker as its keeper sees it: the warden, the leash to it, the cgroup of the tree.

use crate::linux::cgroup::{self, Cgroup};
use crate::linux::lineage::Lineage;
use crate::linux::link::{Link, Received};
use crate::linux::sys::{self, Forked, Reaped};
use crate::linux::warden::{self, Plan};
use crate::wire::{Failure, ForkRequest, Gone, Limits, Report, Request, SpawnRequest, Stage, Word};
use rustix::process::Pid;
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
    /// The warden: a child of the keeper. That of a forked worker is not known before it has shown itself.
    pub(super) warden: Option<i32>,
    pub(super) warden_reaped: bool,
    /// How often somebody has stopped the warden.
    pub(super) stops: u32,
    pub(super) leash: Option<Link>,
    pub(super) cgroup: Option<Cgroup>,
    /// The worker, once its program runs.
    pub(super) pid: u32,
    pub(super) pidfd: Option<OwnedFd>,
    /// The worker's own end, when the keeper itself reaped it.
    pub(super) reaped: Option<Reaped>,
    /// The socket to a fork server.
    pub(super) nest: Option<Link>,
    /// Its warden has left it to the keeper: it is a child of the keeper.
    pub(super) aside: bool,
    /// Its end was told.
    pub(super) mourned: bool,
    /// What a forked worker gets when it is there.
    pub(super) plan: Option<(Box<ForkRequest>, Vec<OwnedFd>)>,
}

impl Ward {
    /// Starts a warden, which starts the worker.
    pub(super) fn start(
        worker: u32,
        mut request: Box<SpawnRequest>,
        mut fds: Vec<OwnedFd>,
        pool: Option<&Cgroup>,
        lineage: Lineage,
        kept: &[RawFd],
    ) -> Result<Self, Failure> {
        let nest = match request.nest {
            None => None,
            Some(number) => {
                let (ours, theirs) =
                    Link::pair().map_err(|error| failure(Stage::Descriptors, &error, "the nest"))?;
                request.fds.push(number);
                fds.push(theirs.into());
                Some(ours)
            }
        };
        let cgroup = make_cgroup(worker, &request.limits, pool)?;
        let path = cgroup.as_ref().map(|cgroup| cgroup.path().to_owned());
        let keeper = rustix::process::getpid();
        let forked = Link::pair().and_then(|ends| Ok((ends, sys::fork(0, None)?)));
        match forked {
            Ok(((leash, _), Forked::Parent(warden, _))) => {
                Ok(Self { warden: Some(warden), nest, ..Self::below(leash, cgroup) })
            }
            Ok(((_, leash), Forked::Child | Forked::ChildOutside)) => {
                warden::run(Plan { worker, request, fds, cgroup, leash, keeper, lineage }, kept)
            }
            Err(error) => {
                let _ = path.map(|path| cgroup::remove_tree(&path));
                Err(failure(Stage::Fork, &error, "the warden"))
            }
        }
    }

    /// A worker of which nothing is known but the leash to its warden.
    pub(super) fn below(leash: Link, cgroup: Option<Cgroup>) -> Self {
        Self {
            warden: None,
            warden_reaped: false,
            stops: 0,
            leash: Some(leash),
            cgroup,
            pid: 0,
            pidfd: None,
            reaped: None,
            nest: None,
            aside: false,
            mourned: false,
            plan: None,
        }
    }

    /// The children of the keeper that are here with right.
    pub(super) fn guarded(&self) -> impl Iterator<Item = i32> + use<> {
        let warden = self.warden.filter(|_| self.leash.is_some());
        let fork_server = i32::try_from(self.pid).ok().filter(|_| self.is_held());
        warden.into_iter().chain(fork_server)
    }

    /// It is a fork server that the keeper holds itself.
    pub(super) fn is_held(&self) -> bool {
        self.aside && self.reaped.is_none()
    }

    /// Nobody holds it any more.
    pub(super) fn is_lost(&self) -> bool {
        self.leash.is_none() && !self.is_held()
    }

    /// Sends a signal to the worker itself.
    pub(super) fn signal(&self, worker: u32, signal: i32) {
        match i32::try_from(self.pid) {
            // A child that this process has not reaped.
            Ok(pid) if self.is_held() => {
                let _ = sys::kill(pid, signal);
                let _ = sys::kill(pid, libc::SIGCONT);
            }
            Ok(_) | Err(_) => self.say(&Request::Signal(worker, signal)),
        }
    }

    /// Has the whole tree killed.
    pub(super) fn kill_tree(&self, worker: u32) {
        if self.is_held() {
            self.signal(worker, libc::SIGKILL);
        }
        self.say(&Request::Kill(worker));
        self.kill_cgroup();
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
        match self.leash.as_ref()?.receive_signed(&mut buffer) {
            Ok((Received::Nothing, _)) => None,
            Ok((Received::Frame(length, mut fds), sender)) => {
                if let Ok(word) = Word::decode(&buffer[..length]) {
                    return Some(Heard::Word(word, sender));
                }
                let report = Report::decode(&buffer[..length]).ok()?;
                if let Report::Spawned(_, pid) = report {
                    (self.pid, self.pidfd) = (pid, fds.pop());
                }
                Some(Heard::Report(report))
            }
            Ok((Received::Closed, _)) | Err(_) => {
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
            self.warden.into_iter().for_each(|warden| drop(sys::kill(warden, libc::SIGCONT)));
            return false;
        }
        self.kill_warden();
        self.leash.take().is_some()
    }

    /// Kills the warden, which is still a child of this process.
    pub(super) fn kill_warden(&self) {
        if let Some(warden) = self.warden.filter(|_| !self.warden_reaped) {
            let _ = sys::kill(warden, libc::SIGKILL);
        }
    }

    /// Whether nobody is left in its cgroup.
    pub(super) fn is_empty(&self) -> bool {
        self.cgroup.as_ref().is_none_or(|cgroup| !cgroup.populated())
    }

    /// What is known of the ending without the warden's word.
    pub(super) fn gone(&self) -> Gone {
        let mut gone = Gone { warden_lost: !self.aside, ..Gone::default() };
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
    /// With the process that said it, where the kernel was asked to sign.
    Word(Word, Option<Pid>),
    /// It is gone.
    Lost,
}

pub(super) fn make_cgroup(
    worker: u32,
    limits: &Limits,
    pool: Option<&Cgroup>,
) -> Result<Option<Cgroup>, Failure> {
    let knobs = limits.knobs();
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
