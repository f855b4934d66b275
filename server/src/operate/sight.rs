//! How the pools look to metrics. Whoever asks waits for the pools, so it is a thread that may.

use crate::pool::{self, Pools, Seen};
use crate::telemetry::metrics::{Look, Sight};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// One look serves all the figures that are asked for together.
const FRESH: Duration = Duration::from_millis(100);

/// Called within the runtime of the pools.
pub(crate) fn of(pools: Pools) -> Look {
    let runtime = Handle::current();
    let last: Mutex<(Option<Instant>, Arc<Vec<Sight>>)> = Mutex::default();
    Arc::new(move || {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.0.is_none_or(|at| at.elapsed() >= FRESH) {
            last.1 = Arc::new(runtime.block_on(look(&pools)));
            last.0 = Some(Instant::now());
        }
        last.1.clone()
    })
}

async fn look(pools: &Pools) -> Vec<Sight> {
    let seen = pools.look().await.into_iter();
    seen.filter_map(|(name, seen)| match seen {
        Seen::Look(look) => Some(sight(name, &look)),
        // It has no figures this time.
        Seen::Ended | Seen::Nothing => None,
    })
    .collect()
}

fn sight(pool: String, look: &pool::Look) -> Sight {
    use sidewinder_core::State::{Backoff, Fatal, Running, Starting, Stopping};
    // Every state has a figure, so that one which has become zero is seen to be.
    let all = [Starting, Running, Backoff, Stopping, Fatal];
    let mut states: BTreeMap<&'static str, u64> = all.into_iter().map(|state| (state.name(), 0)).collect();
    for slot in &look.snapshot.slots {
        *states.entry(slot.state.name()).or_default() += 1;
    }
    Sight {
        pool,
        waiting: look.snapshot.waiting,
        waiting_max: look.waiting_max,
        running: look.snapshot.running,
        states: states.into_iter().collect(),
    }
}
