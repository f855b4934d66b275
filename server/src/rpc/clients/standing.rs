//! How the daemon is, in short: one look for all who want to know at about the same time.

use crate::lifecycle::Mode;
use crate::operate::Operator;
use crate::pool::{Look, Seen};
use crate::rpc::pools::phase;
use sidewinder_proto::v1;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// A look is as good as new for so long.
const FRESH: Duration = Duration::from_millis(50);

type Last = Option<(Instant, v1::Standing)>;

/// Looks at the daemon.
#[derive(Clone, Debug)]
pub(crate) struct Standings {
    operator: Operator,
    mode: Mode,
    last: Arc<Mutex<Last>>,
}

impl Standings {
    pub(crate) fn new(operator: Operator, mode: Mode) -> Self {
        Self { operator, mode, last: Arc::default() }
    }

    pub(super) async fn now(&self) -> v1::Standing {
        let mut last = self.last.lock().await;
        if let Some((at, standing)) = last.as_ref()
            && at.elapsed() < FRESH
        {
            return standing.clone();
        }
        let standing = self.look().await;
        *last = Some((Instant::now(), standing.clone()));
        standing
    }

    async fn look(&self) -> v1::Standing {
        let looks = self.operator.pools().look().await;
        let pools = looks.into_iter().filter_map(|(name, seen)| match seen {
            Seen::Look(look) => Some(show(name, &look)),
            Seen::Ended | Seen::Nothing => None,
        });
        let pools = pools.collect();
        v1::Standing { mode: self.mode.to_string(), stopping: self.operator.is_stopping(), pools }
    }
}

fn show(name: String, look: &Look) -> v1::PoolStanding {
    let snapshot = &look.snapshot;
    v1::PoolStanding {
        name,
        phase: phase(snapshot.phase).into(),
        ready: u32::try_from(snapshot.slots.iter().filter(|slot| slot.open).count()).unwrap_or(u32::MAX),
        waiting: snapshot.waiting as u64,
        running: snapshot.running as u64,
        saturated: snapshot.saturated,
        generation: snapshot.generation.0,
    }
}
