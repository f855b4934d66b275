//! From an order to a running command: the ground, the keeper, the request.

use super::order::WORKER;
use super::report::Journal;
use super::watch::Watch;
use super::{Error, Order};
use crate::own::ground::{Ground, Standing};
use rustix::process::{PidfdFlags, Signal, pidfd_open};
use sidewinder_keeper_kernel::complain;
use sidewinder_keeper_kernel::sys::{Signals, is_ignored};
use sidewinder_keeper_wire::{Graces, SpawnRequest};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

pub(super) fn set_up(order: Order, caller: Option<OwnedFd>) -> Result<Watch, Error> {
    let journal = Journal::open(order.report.as_deref())?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(io::Error::from)?;
    // A stopped owner wakes when its caller dies.
    rustix::process::set_parent_process_death_signal(Some(Signal::CONT)).map_err(io::Error::from)?;
    let stops = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT];
    let ignored = stops.into_iter().filter(|signal| is_ignored(*signal)).collect();
    let signals = (Signals::take_all()?, ignored);
    let root = order.uid.unwrap_or_else(|| rustix::process::geteuid().as_raw()) == 0;
    let mut ground = Ground::prepare(&order.cgroup, &order.limits, root, "").map_err(Error::Other)?;
    ground.held.notes.iter().for_each(|note| complain!("{note}"));
    match start(&order, &mut ground) {
        Ok(standing) => Ok(Watch::new(order, signals, caller, standing, journal, ground)?),
        Err(error) => {
            ground.clear();
            Err(error)
        }
    }
}

fn start(order: &Order, ground: &mut Ground) -> Result<Standing, Error> {
    let mut request = order.request(&ground.record.facts.run)?;
    (request.limits, request.rlimits) = (ground.held.tree.clone(), ground.held.process.clone());
    let graces =
        Graces { stop: order.graceful.stop, orphan: order.graceful.orphan, reattach: Duration::ZERO };
    let standing = ground.start(order.namespace, graces, "")?;
    require_tier(order, ground, &standing)?;
    spawn(order, &standing, request)?;
    Ok(standing)
}

fn require_tier(order: &Order, ground: &Ground, standing: &Standing) -> Result<(), Error> {
    let welcome = &standing.welcome;
    let Some(required) = order.require_tier.filter(|required| !welcome.tier.satisfies(*required)) else {
        return Ok(());
    };
    let no_cgroup = ground.why_no_cgroup.as_deref().unwrap_or("there is one");
    Err(Error::Other(format!(
        "tier {required} is required and this machine gives {tier} ({meaning}). No PID namespace: {why}. No cgroup: \
         {no_cgroup}. `sidewinder doctor` says how to change that",
        tier = welcome.tier,
        meaning = welcome.tier.meaning(),
        why = welcome.why,
    )))
}

fn spawn(order: &Order, standing: &Standing, request: SpawnRequest) -> Result<(), Error> {
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    standing
        .lifeline
        .spawn(WORKER, request, &[stdin.as_fd(), stdout.as_fd(), stderr.as_fd()])
        .map_err(|error| Error::Other(format!("cannot ask for {}: {error}", order.name())))
}

/// The process that called us, unless it is gone already or lives in another world. To be asked first of all.
pub(crate) fn caller() -> Option<OwnedFd> {
    let parent = rustix::process::getppid()?;
    let pidfd = pidfd_open(parent, PidfdFlags::empty()).ok()?;
    (rustix::process::getppid() == Some(parent)).then_some(pidfd)
}
