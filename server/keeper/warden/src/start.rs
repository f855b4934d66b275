//! How a warden is born from its keeper, and what its parent has of it then.

use crate::leash::Leash;
use crate::tend::{self, Plan};
use sidewinder_keeper_kernel::{Cgroup, Forked, Lineage, Link, sys};
use sidewinder_keeper_wire::{Failure, Limits, SpawnRequest, Stage};
use std::os::fd::OwnedFd;

/// What a keeper gives each of its wardens.
#[derive(Debug)]
pub struct Ground<'a> {
    /// The cgroup below which each worker gets one of its own.
    pub pool: Option<&'a Cgroup>,
    /// How to see one's children.
    pub lineage: &'a Lineage,
    /// Held, never used: while it is open, somebody is there to clean up.
    pub lock: &'a OwnedFd,
}

/// What a keeper has of a worker whose warden is on its way.
#[derive(Debug)]
pub struct Started {
    /// The socket to the warden.
    pub leash: Leash,
    /// The socket to the worker, if that is a fork server.
    pub nest: Option<Link>,
    /// The cgroup of the worker's tree.
    pub cgroup: Option<Cgroup>,
}

/// Starts a warden, which starts the worker. An error leaves nothing behind.
pub fn start(
    worker: u32,
    mut request: Box<SpawnRequest>,
    mut fds: Vec<OwnedFd>,
    ground: &Ground<'_>,
) -> Result<Started, Failure> {
    let mut nest = None;
    if let Some(number) = request.nest {
        let (ours, theirs) =
            Link::pair().map_err(|error| Failure::of(Stage::Descriptors, &error, "the nest"))?;
        request.fds.push(number);
        fds.push(theirs.into());
        nest = Some(ours);
    }
    let cgroup = make_tree(worker, &request.limits, ground.pool)?;
    let keeper = rustix::process::getpid();
    let forked = ground
        .lineage
        .try_clone()
        .and_then(|lineage| Ok((lineage, Link::pair()?)))
        .and_then(|(lineage, ends)| Ok((lineage, ends, sys::fork(0, None)?)));
    match forked {
        Ok((_, (link, _), Forked::Parent(warden, _))) => {
            Ok(Started { leash: Leash::new(link, Some(warden)), nest, cgroup })
        }
        Ok((lineage, (_, leash), Forked::Child | Forked::ChildOutside)) => {
            tend::run(Plan { worker, request, fds, cgroup, leash, keeper, lineage }, ground.lock)
        }
        Err(error) => {
            cgroup.iter().for_each(|cgroup| drop(cgroup.remove()));
            Err(Failure::of(Stage::Fork, &error, "the warden"))
        }
    }
}

/// Makes the cgroup of a worker's tree, with its limits. An error leaves nothing behind.
pub(crate) fn make_tree(
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
        .map_err(|error| Failure::of(Stage::Cgroup, &error, &path.display().to_string()))?;
    for (controller, knob, value) in knobs {
        if let Err(error) = cgroup.write(knob, &value) {
            let _ = cgroup.remove();
            let what = format!(
                "{knob} = {value} (is the {controller} controller delegated? see `sidewinder doctor`)"
            );
            return Err(Failure::of(Stage::Cgroup, &error, &what));
        }
    }
    Ok(Some(cgroup))
}
