//! Having a keeper take its post blocks for the milliseconds that it takes, or for seconds on a machine in trouble. So
//! it is done on a thread of its own, which forks and ends: never on one of the runtime, where others wait behind it.
//!
//! What is executed there forks the keeper and leaves, so the end of the thread is nothing to the keeper.

use super::{Ground, Wishes};
use crate::handover::LeftKeeper;
use crate::own::ground::Standing;
use crate::own::lifeline::{Known, Lifeline};
use crate::own::record::Record;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::Timespec;
use std::io;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;

/// A keeper that nobody wants leaves within this time, or the next sweep finds what is left.
const DISMISSAL: Duration = Duration::from_secs(5);

pub(super) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Has a keeper take its post.
pub(super) async fn apart(wishes: Wishes) -> io::Result<(Ground, Standing)> {
    let (tell, told) = oneshot::channel();
    let stands = move || {
        if let Err(Ok((ground, Standing { lifeline, keeper, .. }))) = tell.send(stand(&wishes)) {
            dismiss(ground, lifeline, &keeper);
        }
    };
    thread::Builder::new().name("keeper".to_owned()).spawn(stands)?;
    told.await.map_err(io::Error::other)?
}

/// The same with a keeper that has lost its owner.
pub(super) async fn take_over_apart(
    wishes: Wishes,
    keeper: LeftKeeper,
) -> io::Result<(Ground, Standing, Vec<Known>)> {
    let (tell, told) = oneshot::channel();
    let takes = move || {
        let _ = tell.send(take_over(&wishes, keeper));
    };
    thread::Builder::new().name("keeper".to_owned()).spawn(takes)?;
    told.await.map_err(io::Error::other)?
}

fn take_over(wishes: &Wishes, left: LeftKeeper) -> io::Result<(Ground, Standing, Vec<Known>)> {
    let LeftKeeper { deed, lifeline, record } = left;
    let record = Record::adopt(deed.record, &deed.run, record)?;
    let ground = Ground::take_over(record, &wishes.cgroup, &wishes.limits, is_root());
    let ground = ground.map_err(io::Error::other)?;
    let mut lifeline = Lifeline::found(lifeline)?;
    let (welcome, keeper, known) = lifeline.adopt(wishes.graces)?;
    Ok((ground, Standing { lifeline, keeper, welcome }, known))
}

fn stand(wishes: &Wishes) -> io::Result<(Ground, Standing)> {
    let ground = Ground::prepare(&wishes.cgroup, &wishes.limits, is_root(), &wishes.instance);
    let mut ground = ground.map_err(io::Error::other)?;
    match ground.start(wishes.namespace, wishes.graces, &wishes.parking.pool) {
        Ok(standing) => Ok((ground, standing)),
        Err(error) => {
            ground.clear();
            Err(error)
        }
    }
}

/// Sends a keeper away that has not had a worker yet.
pub(super) fn dismiss(ground: Ground, lifeline: Lifeline, keeper: &OwnedFd) {
    drop(lifeline);
    let Ok(patience) = Timespec::try_from(DISMISSAL) else { return };
    let gone = rustix::event::poll(&mut [PollFd::new(keeper, PollFlags::IN)], Some(&patience));
    if gone.is_ok_and(|ready| ready > 0) {
        ground.clear();
    }
}
