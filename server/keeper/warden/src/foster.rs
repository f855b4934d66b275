//! The warden of a worker that was forked from a fork server.
//!
//! A worker has to be below a warden of its own, and a warden below the keeper. A fork of a fork server is neither, so
//! three forks and an execution make it so:
//!
//! ```text
//!  fork server ──▶ midwife ──▶ nurse ──▶ newcomer
//!                  (leaves:    (executes this:
//!                   the nurse   the warden of
//!                   falls to    the newcomer)
//!                   the keeper)
//! ```
//!
//! So the kernel knows a forked worker as it knows any other: the child of a subreaper, which is the child of the
//! keeper. Nobody's word is taken for it. The keeper hears from the kernel who holds the leash, and finds that process
//! among its own children; the warden finds the newcomer among its own. Only then the newcomer is limited, and is
//! given its descriptors; before that it waits and runs nothing.

use crate::leash::Leash;
use crate::program;
use crate::start::{Ground, Started, make_tree};
use crate::tend::{self, Warden};
use rustix::event::{PollFd, PollFlags};
use rustix::process::{DumpableBehavior, Pid, PidfdFlags, Signal};
use sidewinder_keeper_kernel::wait::poll;
use sidewinder_keeper_kernel::{
    Cgroup, Lineage, Link, Received, Rounds, Signals, complain, facts, standard, sys,
};
use sidewinder_keeper_wire::{FRAME_MAX, Failure, ForkRequest, PLAN_FDS_MAX, Report, Request, Stage, Word};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// What comes beside the plan before the descriptors of the worker: the keeper's pidfd, its `/proc`, the lock of the
/// run, its standard error.
const OWN_FDS: usize = 4;
/// The same where there are cgroups: the worker's, and the one of such wardens.
const OWN_FDS_IN_CGROUP: usize = PLAN_FDS_MAX;

/// The cgroup of such wardens, beside those of the workers: they must not stay where they were forked.
const WARDENS: &str = "wardens";

/// What the nurse was told of: `KEEPER WORKER PID`.
struct Newcomer {
    keeper: Pid,
    worker: u32,
    child: Pid,
}

/// What a forked worker gets when it is there, with its descriptors.
#[derive(Debug)]
pub struct Plan {
    /// Its limits, and the numbers of its descriptors.
    pub request: Box<ForkRequest>,
    /// On the way from the keeper to the warden, those of the warden come first.
    pub fds: Vec<OwnedFd>,
}

/// Tells a fork server that it is a child of the keeper now, and gives it the program of wardens.
pub fn hold(nest: &Link, program: &[u8]) -> io::Result<()> {
    let held = Word::Held.encode().map_err(io::Error::other)?;
    let program = program::sealed(program).or_else(|_| program::rich())?;
    nest.send(&held, &[program.as_fd()])
}

/// Asks a fork server for a worker. Whoever shows itself on the leash is named by the kernel. An error leaves nothing
/// behind.
pub fn ask(worker: u32, plan: &Plan, nest: &Link, ground: &Ground<'_>) -> Result<Started, Failure> {
    let cgroup = make_tree(worker, &plan.request.limits, ground.pool)?;
    let asked = Link::pair().and_then(|(leash, theirs)| {
        leash.expect_signatures(true)?;
        let hatch = Word::Hatch(worker).encode().map_err(io::Error::other)?;
        nest.send(&hatch, &[theirs.as_fd()])?;
        Ok(leash)
    });
    match asked {
        Ok(link) => Ok(Started { leash: Leash::new(link, None), nest: None, cgroup }),
        Err(error) => {
            cgroup.iter().for_each(|cgroup| drop(cgroup.remove()));
            Err(Failure::of(Stage::Fork, &error, "the fork server"))
        }
    }
}

/// Hands the plan to a warden that was believed, with what it needs of its keeper.
pub fn hand_over(
    worker: u32,
    plan: Plan,
    leash: &Link,
    tree: Option<&Cgroup>,
    ground: &Ground<'_>,
) -> io::Result<()> {
    leash.expect_signatures(false)?;
    let keeper = facts::own_pidfd()?;
    let wardens = ground.pool.map(|pool| Cgroup::open_or_create(pool.path().join(WARDENS))).transpose()?;
    let mut fds = vec![keeper.as_fd(), ground.lineage.as_fd(), ground.lock.as_fd(), rustix::stdio::stderr()];
    fds.extend(
        tree.zip(wardens.as_ref()).into_iter().flat_map(|(tree, wardens)| [tree.as_fd(), wardens.as_fd()]),
    );
    fds.extend(plan.fds.iter().map(AsFd::as_fd));
    let frame = Request::Fork(worker, plan.request).encode().map_err(io::Error::other)?;
    leash.send(&frame, &fds)
}

/// The `main` of such a warden. It is executed by a nurse, with its leash as standard input and the way to the newcomer
/// as standard output.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ! {
    let outcome = newcomer(arguments)
        .ok_or_else(|| io::Error::other("it is started by a fork server, never by hand"))
        .and_then(|newcomer| begin(&newcomer));
    match outcome {
        Ok(Some(warden)) => {
            if let Err(error) = warden.tend() {
                complain!("a warden failed: {error}");
                sys::leave(1);
            }
            sys::leave(0)
        }
        Ok(None) => give_up(),
        Err(error) => {
            complain!("the warden of a forked worker cannot start: {error}");
            give_up()
        }
    }
}

fn newcomer(mut arguments: impl Iterator<Item = OsString>) -> Option<Newcomer> {
    let mut number = || arguments.next()?.to_str()?.parse::<i32>().ok();
    let (keeper, worker, child) = (number()?, number()?, number()?);
    Some(Newcomer {
        keeper: Pid::from_raw(keeper)?,
        worker: u32::try_from(worker).ok()?,
        child: Pid::from_raw(child)?,
    })
}

fn give_up() -> ! {
    clear();
    sys::leave(1)
}

/// Nobody below stays. The newcomer has run nothing yet, and ends with its socket in any case.
fn clear() {
    if let Ok(lineage) = Lineage::look() {
        while !sys::is_childless(&sys::reap()) {
            if lineage.strike(|_| false).is_err() {
                break;
            }
        }
    }
}

/// Shows itself to the keeper, and has the newcomer begin. Nothing when that is not wished any more.
fn begin(newcomer: &Newcomer) -> io::Result<Option<Warden>> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    rustix::thread::set_name(c"sw-warden")?;
    let signals = Signals::take_all()?;
    let (leash, birth) = standard::take()?;
    let (leash, birth) = (Link::new(leash)?, Link::new(birth)?);
    let held = [0, 1, 2, leash.as_fd().as_raw_fd(), birth.as_fd().as_raw_fd(), signals.fd().as_raw_fd()];
    sys::close_all_but(&held)?;
    fall_to(newcomer.keeper)?;
    let hatched = Word::Hatched(newcomer.worker).encode().map_err(io::Error::other)?;
    leash.send(&hatched, &[])?;
    let Some(plan) = hear_plan(&leash)? else { return Ok(None) };
    let keep = leash.try_clone()?;
    let adopted = adopt(newcomer, plan, leash, birth, signals);
    if let Err(error) = &adopted {
        let failure = Failure::of(Stage::Limits, error, &format!("a forked worker: {error}"));
        clear();
        tend::say(&keep, &Report::Failed(newcomer.worker, failure), &[]);
        sys::leave(1);
    }
    adopted.map(Some)
}

/// Waits until this process is a child of the keeper: until the midwife has left.
fn fall_to(keeper: Pid) -> io::Result<()> {
    loop {
        let parent = rustix::process::getppid();
        if parent == Some(keeper) {
            break;
        }
        let Some(parent) = parent else { return Err(io::ErrorKind::NotFound.into()) };
        let Ok(midwife) = rustix::process::pidfd_open(parent, PidfdFlags::empty()) else { continue };
        if rustix::process::getppid() == Some(parent) {
            poll(&mut [PollFd::new(&midwife, PollFlags::IN)], None)?;
        }
        // A parent that is neither midwife nor keeper is somebody to whom the kernel gave what the keeper left.
        if rustix::process::getppid() == Some(parent) {
            return Err(io::ErrorKind::NotFound.into());
        }
    }
    // As every warden: should somebody have stopped it, it wakes when the keeper dies.
    rustix::process::set_parent_process_death_signal(Some(Signal::CONT))?;
    if rustix::process::getppid() == Some(keeper) { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
}

fn hear_plan(leash: &Link) -> io::Result<Option<Plan>> {
    loop {
        poll(&mut [PollFd::new(leash, PollFlags::IN)], None)?;
        // Room for the largest frame would be memory of this process for as long as it lives.
        let Some(size) = leash.next_size()? else { continue };
        let mut buffer = vec![0; size.min(FRAME_MAX)];
        match leash.receive(&mut buffer)? {
            Received::Nothing => {}
            Received::Closed => return Ok(None),
            Received::Frame(length, fds) => match Request::decode(&buffer[..length]) {
                Ok(Request::Fork(_, request)) => return Ok(Some(Plan { request, fds })),
                // It was not wished for any more before it was there.
                Ok(Request::Kill(_) | Request::Signal(..)) => return Ok(None),
                Ok(_) | Err(_) => return Err(io::ErrorKind::InvalidData.into()),
            },
        }
    }
}

/// Takes the newcomer under its wings: limits first, then its descriptors.
fn adopt(newcomer: &Newcomer, plan: Plan, leash: Link, birth: Link, signals: Signals) -> io::Result<Warden> {
    let Plan { request, fds } = plan;
    let missing = || io::Error::from(io::ErrorKind::InvalidData);
    let own = fds.len().checked_sub(request.fds.len()).ok_or_else(missing)?;
    if own != OWN_FDS && own != OWN_FDS_IN_CGROUP {
        return Err(missing());
    }
    let mut fds = fds.into_iter();
    let mut next = || fds.next().ok_or_else(missing);
    let (keeper, proc, lock, stderr) = (next()?, next()?, next()?, next()?);
    rustix::stdio::dup2_stderr(&stderr)?;
    let lineage = Lineage::look_in(proc)?;
    let child = newcomer.child.as_raw_nonzero().get();
    if !lineage.children()?.contains(&child) {
        return Err(io::Error::other("the newcomer is no child of its warden"));
    }
    let pidfd = rustix::process::pidfd_open(newcomer.child, PidfdFlags::empty())?;
    let mut cgroup = None;
    if own == OWN_FDS_IN_CGROUP {
        let (of_worker, of_wardens) = (Cgroup::at(next()?), Cgroup::at(next()?));
        of_worker.write("cgroup.procs", &child.to_string())?;
        of_wardens.write("cgroup.procs", "0")?;
        cgroup = Some(of_worker);
    }
    for limit in &request.rlimits {
        sys::set_rlimit_of(child, limit.resource, limit.soft, limit.hard)?;
    }
    let theirs: Vec<OwnedFd> = fds.collect();
    let theirs: Vec<_> = theirs.iter().map(AsFd::as_fd).collect();
    let frame = Request::Fork(newcomer.worker, request).encode().map_err(io::Error::other)?;
    birth.send(&frame, &theirs)?;
    let launch = OwnedFd::from(birth);
    rustix::io::ioctl_fionbio(&launch, true)?;
    Ok(Warden {
        worker: newcomer.worker,
        leash,
        keeper,
        signals,
        lineage,
        cgroup,
        child,
        pidfd,
        launch: Some(launch),
        forked: true,
        failure: None,
        reaped: None,
        ending: false,
        rounds: Rounds::default(),
        lock: Some(lock),
    })
}
