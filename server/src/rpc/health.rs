//! `grpc.health.v1`, truthful: a name for each pool, and the empty name for the daemon.
//!
//! A pool serves when a worker of it has answered a canary through the way that calls take (no worker is ready before
//! that), or when it starts its workers on demand and has not given up. Being busy never changes that. The daemon
//! serves while one of its pools does.

use crate::pool::{Look, Pools};
use crate::telemetry::Events;
use sidewinder_core::Phase;
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
            refresh(&reporter, &pools, &mut known).await;
        }
    });
}

async fn refresh(reporter: &HealthReporter, pools: &Pools, known: &mut BTreeMap<String, bool>) {
    let mut now = BTreeMap::new();
    for (name, pool) in pools.all() {
        let serves = pool.look().await.is_some_and(|look| serves(&look));
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
}

fn serves(look: &Look) -> bool {
    let on_demand = look.size.min() == 0 && look.size.spare() == 0;
    let open = look.snapshot.slots.iter().any(|slot| slot.open);
    look.snapshot.phase == Phase::Serving && (open || on_demand)
}
