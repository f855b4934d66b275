//! Events as a stream: everything from now on, until the reader hangs up or the daemon stops.

use crate::telemetry::events::Told;
use crate::telemetry::{Events, What};
use futures_util::stream::{Stream, unfold};
use sidewinder_proto::v1;
use std::collections::BTreeSet;
use std::pin::Pin;
use tokio::sync::broadcast::error::RecvError;
use tonic::Status;

/// A stream of events.
pub(super) type Watching = Pin<Box<dyn Stream<Item = Result<v1::Event, Status>> + Send>>;

/// Those of these pools, and those of the daemon; of all pools when none is named.
pub(super) fn stream(door: &Events, pools: BTreeSet<String>) -> Watching {
    let (door, events) = (door.clone(), door.watch());
    Box::pin(unfold((events, pools, 0), move |(mut events, pools, mut lost)| {
        let door = door.clone();
        async move {
            loop {
                match events.recv().await {
                    Ok(told) if is_wanted(&told, &pools) => {
                        let event = show(&told, std::mem::take(&mut lost));
                        return Some((Ok(event), (events, pools, lost)));
                    }
                    Ok(_) => {}
                    Err(RecvError::Lagged(count)) => {
                        door.missed(count);
                        lost += count;
                    }
                    Err(RecvError::Closed) => return None,
                }
            }
        }
    }))
}

fn is_wanted(told: &Told, pools: &BTreeSet<String>) -> bool {
    told.event.pool.as_deref().is_none_or(|pool| pools.is_empty() || pools.contains(pool))
}

pub(super) fn show(told: &Told, lost: u64) -> v1::Event {
    let event = &told.event;
    v1::Event {
        sequence: told.sequence,
        at: Some(told.at.into()),
        what: happening(event.what).into(),
        pool: event.pool.as_deref().unwrap_or_default().to_owned(),
        worker: event.worker.map(|life| life.to_string()).unwrap_or_default(),
        text: event.text.clone(),
        facts: event.facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        lost,
    }
}

fn happening(what: What) -> v1::Happening {
    match what {
        What::WorkerStarted => v1::Happening::WorkerStarted,
        What::WorkerReady => v1::Happening::WorkerReady,
        What::WorkerLeaving => v1::Happening::WorkerLeaving,
        What::WorkerKilled => v1::Happening::WorkerKilled,
        What::WorkerGone => v1::Happening::WorkerGone,
        What::WorkerUnfit => v1::Happening::WorkerUnfit,
        What::WorkerSuspected => v1::Happening::WorkerSuspected,
        What::WorkerRecovered => v1::Happening::WorkerRecovered,
        What::WorkerUnkillable => v1::Happening::WorkerUnkillable,
        What::SlotFatal => v1::Happening::SlotFatal,
        What::PoolPhase => v1::Happening::PoolPhase,
        What::PoolSaturated => v1::Happening::PoolSaturated,
        What::PoolRecovered => v1::Happening::PoolRecovered,
        What::PoolRenewed => v1::Happening::PoolRenewed,
        What::PoolResized => v1::Happening::PoolResized,
        What::KeyQuarantined => v1::Happening::KeyQuarantined,
        What::Reloaded => v1::Happening::Reloaded,
        What::Upgrade => v1::Happening::Upgrade,
        What::WorkerAtLimit => v1::Happening::WorkerAtLimit,
        What::MemoryPressure => v1::Happening::MemoryPressure,
        What::MemoryRelief => v1::Happening::MemoryRelief,
        What::Stopping => v1::Happening::Stopping,
        What::ClientAttached => v1::Happening::ClientAttached,
        What::ClientResumed => v1::Happening::ClientResumed,
        What::ClientDetached => v1::Happening::ClientDetached,
        What::ClientDied => v1::Happening::ClientDied,
        What::ClientExpired => v1::Happening::ClientExpired,
        What::Nobody => v1::Happening::Nobody,
        What::Somebody => v1::Happening::Somebody,
        What::Released => v1::Happening::Released,
        What::Stalled => v1::Happening::Stalled,
        What::ForkServerReady => v1::Happening::ForkServerReady,
        What::ForkServerDown => v1::Happening::ForkServerDown,
        What::Stray => v1::Happening::Stray,
    }
}
