//! From an order to a running command: the record, the cgroup, the keeper, the request.

use super::order::WORKER;
use super::report::Journal;
use super::watch::Watch;
use super::{Error, Order};
use crate::own::identity::Identity;
use crate::own::lifeline::Lifeline;
use crate::own::limit;
use crate::own::record::Record;
use crate::own::subtree::{self, Base};
use rustix::process::{PidfdFlags, Signal, pidfd_open};
use sidewinder_keeper::complain;
use sidewinder_keeper::linux::sys::{Signals, is_ignored};
use sidewinder_keeper::linux::{cgroup, facts};
use sidewinder_keeper::wire::{Graces, SpawnRequest, Welcome};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

pub(super) fn set_up(order: Order, caller: Option<OwnedFd>) -> Result<Watch, Error> {
    let journal = Journal::open(order.report.as_deref())?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).map_err(io::Error::from)?;
    // A stopped owner wakes when its caller dies.
    rustix::process::set_parent_process_death_signal(Some(Signal::CONT)).map_err(io::Error::from)?;
    let stops = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT];
    let ignored = stops.into_iter().filter(|signal| is_ignored(*signal)).collect();
    let signals = (Signals::take_all()?, ignored);
    let own = pidfd_open(rustix::process::getpid(), PidfdFlags::empty()).map_err(io::Error::from)?;
    let mut record = Record::begin(facts::boot_id()?, Identity::of(&own).ok()).map_err(|error| {
        Error::Other(format!("cannot record the run, so nothing would find what is left of it: {error}"))
    })?;
    let base = subtree::find(&order.cgroup);
    let pool = match build_pool(&order, &base, &mut record) {
        Ok(built) => built,
        Err(error) => {
            record.end();
            return Err(error);
        }
    };
    match start(&order, &pool, &mut record) {
        Ok((lifeline, keeper, welcome)) => {
            Ok(Watch::new(order, signals, caller, lifeline, keeper, welcome, journal, record, pool.path)?)
        }
        Err(error) => {
            pool.path.iter().for_each(|path| drop(cgroup::remove_tree(path)));
            record.end();
            Err(error)
        }
    }
}

/// What was made of the cgroup and the limits.
struct Pool {
    path: Option<PathBuf>,
    request: SpawnRequest,
    why_no_cgroup: Option<String>,
}

fn build_pool(order: &Order, base: &Result<Base, String>, record: &mut Record) -> Result<Pool, Error> {
    let mut request = order.request(&record.facts.run)?;
    let controllers: &[String] = base.as_ref().map_or(&[], |base| &base.controllers);
    let root = order.uid.unwrap_or_else(|| rustix::process::geteuid().as_raw()) == 0;
    let held = limit::place(&order.limits, controllers, root).map_err(Error::Other)?;
    held.notes.iter().for_each(|note| complain!("{note}"));
    let mut wanted: Vec<&str> = held.tree.knobs().iter().map(|(controller, _, _)| *controller).collect();
    wanted.sort_unstable();
    wanted.dedup();
    (request.limits, request.rlimits) = (held.tree, held.process);
    let (path, why_no_cgroup) = match base {
        Ok(base) => {
            // Known before it is made: whatever happens between, a sweep finds it.
            let path = subtree::pool_path(base, &record.facts.run);
            record.note(|facts| facts.cgroup = Some(path.to_string_lossy().into_owned()))?;
            subtree::build(base, &path, &wanted).map_err(|error| {
                Error::Other(format!("cannot build a cgroup: {error}. Use --cgroup off to do without one"))
            })?;
            (Some(path), None)
        }
        Err(why) if matches!(order.cgroup, subtree::Wish::Below(_)) => return Err(Error::Other(why.clone())),
        Err(why) => (None, Some(why.clone())),
    };
    Ok(Pool { path, request, why_no_cgroup })
}

fn start(order: &Order, pool: &Pool, record: &mut Record) -> Result<(Lifeline, OwnedFd, Welcome), Error> {
    let mut lifeline = Lifeline::start(order.namespace, record)?;
    let graces =
        Graces { stop: order.graceful.stop, orphan: order.graceful.orphan, reattach: Duration::ZERO };
    let (welcome, keeper) = lifeline.hello(graces, pool.path.as_deref())?;
    record.note(|facts| facts.keeper = Identity::of(&keeper).ok())?;
    if let Some(required) = order.require_tier.filter(|required| !welcome.tier.satisfies(*required)) {
        let no_cgroup = pool.why_no_cgroup.as_deref().unwrap_or("there is one");
        return Err(Error::Other(format!(
            "tier {required} is required and this machine gives {tier} ({meaning}). No PID namespace: {why}. No cgroup: \
             {no_cgroup}. `sidewinder doctor` says how to change that",
            tier = welcome.tier,
            meaning = welcome.tier.meaning(),
            why = welcome.why,
        )));
    }
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    lifeline
        .spawn(WORKER, pool.request.clone(), &[stdin.as_fd(), stdout.as_fd(), stderr.as_fd()])
        .map_err(|error| Error::Other(format!("cannot ask for {}: {error}", order.name())))?;
    Ok((lifeline, keeper, welcome))
}

/// The process that called us, unless it is gone already or lives in another world. To be asked first of all.
pub(crate) fn caller() -> Option<OwnedFd> {
    let parent = rustix::process::getppid()?;
    let pidfd = pidfd_open(parent, PidfdFlags::empty()).ok()?;
    (rustix::process::getppid() == Some(parent)).then_some(pidfd)
}
