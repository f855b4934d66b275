//! `grpc.health.v1`, truthful: a name for each pool, and the empty name for the daemon.
//!
//! A pool serves when a worker of it has answered a canary through the way that calls take (no worker is ready before
//! that), or when it starts its workers on demand and has not given up. Being busy never changes that, and neither does
//! a last call of a worker that is to be replaced after it. The daemon serves while one of its pools does.
//!
//! A pool that does not say in time how it is stays what it was, and is asked again.

use crate::pool::{Look, Pools, Seen};
use crate::telemetry::Events;
use sidewinder_core::{Leave, Phase, SlotView, State};
use std::collections::BTreeMap;
use tokio::sync::broadcast::error::RecvError;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// Makes every pool known, and keeps the reporter true for as long as events are told.
pub(crate) async fn report(reporter: HealthReporter, pools: Pools, events: &Events) {
    let mut told = events.watch();
    let mut known = BTreeMap::new();
    refresh(&reporter, &pools, &mut known).await;
    tokio::spawn(async move {
        loop {
            // Every change of a pool is told. What was told meanwhile is seen in the same look.
            match told.recv().await {
                Ok(_) | Err(RecvError::Lagged(_)) => while told.try_recv().is_ok() {},
                Err(RecvError::Closed) => return,
            }
            while !refresh(&reporter, &pools, &mut known).await {}
        }
    });
}

/// False when a pool was not seen.
async fn refresh(reporter: &HealthReporter, pools: &Pools, known: &mut BTreeMap<String, bool>) -> bool {
    let mut now = BTreeMap::new();
    let mut whole = true;
    for (name, seen) in pools.look().await {
        let serves = match seen {
            Seen::Look(look) => serves(&look),
            Seen::Ended => false,
            Seen::Nothing => {
                whole = false;
                known.get(&name).is_some_and(|serves| *serves)
            }
        };
        now.insert(name, serves);
    }
    // Nobody can name a pool like this: it stands for the daemon.
    now.insert(String::new(), now.values().any(|serves| *serves));
    for (name, serves) in &now {
        if known.get(name) != Some(serves) {
            let status = if *serves { ServingStatus::Serving } else { ServingStatus::NotServing };
            reporter.set_service_status(name, status).await;
        }
    }
    for name in known.keys().filter(|name| !now.contains_key(*name)) {
        reporter.set_service_status(name, ServingStatus::NotServing).await;
        // Only `clear` forgets a name, and tells those who watch it nothing: the status goes first.
        let mut reporter = reporter.clone();
        reporter.clear_service_status(name).await;
    }
    *known = now;
    whole
}

fn serves(look: &Look) -> bool {
    let on_demand = look.snapshot.deserted || look.size.min() == 0 && look.size.spare() == 0;
    let works = look.snapshot.slots.iter().any(works);
    look.snapshot.phase == Phase::Serving && (works || on_demand)
}

/// Takes calls, or has its last ones before it is replaced. One with a call that does not give up is lost.
fn works(slot: &SlotView) -> bool {
    let last_calls = slot.state == State::Running && slot.busy > 0;
    slot.open || (last_calls && slot.leaving != Some(Leave::Overdue))
}
