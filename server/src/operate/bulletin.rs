//! How the daemon is, for the service manager: on its way, ready, and on its way out.
//!
//! More time is asked for while that makes sense: workers are coming, or calls are ending. A daemon whose workers are all
//! given up asks for none, so the manager's own patience ends it.

use super::Operator;
use crate::pool::{Look, Seen};
use crate::systemd::{Rule, Sight, When, busy, serving, starting};
use sidewinder_core::State;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};

/// How often the manager hears of it.
const EVERY: Duration = Duration::from_secs(1);
/// Asked for every time while there is hope. Much longer than that, so that a busy machine is no death.
const MORE: Duration = Duration::from_secs(15);

impl Operator {
    /// Tells the service manager, as long as the daemon lives. `swept` comes when earlier runs are swept away.
    pub(crate) async fn tell_manager(self, rule: Rule, mut swept: oneshot::Receiver<()>) {
        let herald = &self.herald;
        if !herald.has_listener() {
            return;
        }
        let mut told = self.events.watch();
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_swept = rule.when == When::Listening;
        loop {
            let pools = self.see().await;
            let is_ready = herald.is_ready();
            if self.is_stopping() {
                herald.status(&format!("stopping; {}", busy(&pools)));
                herald.more_time(MORE);
            } else if is_ready {
                herald.status(&serving(&pools));
            } else if rule.when == When::Listening || (is_swept && rule.missing(&pools).is_empty()) {
                herald.ready(&serving(&pools));
                continue;
            } else {
                let (text, hope) = starting(rule, &pools, is_swept);
                herald.status(&text);
                if hope {
                    herald.more_time(MORE);
                }
            }
            tokio::select! {
                _ = ticks.tick() => {}
                _ = &mut swept, if !is_swept => is_swept = true,
                // Readiness is told when it comes, not a second later.
                _ = told.recv(), if !is_ready => while told.try_recv().is_ok() {},
            }
        }
    }

    async fn see(&self) -> Vec<Sight> {
        let seen = self.pools.look().await.into_iter();
        seen.map(|(name, seen)| match seen {
            Seen::Look(look) => sight(name, &look),
            // It counts as one that has nobody, and may have.
            Seen::Ended | Seen::Nothing => Sight { pool: name, kept: 1, coming: true, ..Sight::default() },
        })
        .collect()
    }
}

fn sight(pool: String, look: &Look) -> Sight {
    let slots = &look.snapshot.slots;
    Sight {
        pool,
        healthy: slots.iter().filter(|slot| slot.open).count(),
        // Workers that have left because nobody is there are missed by nobody.
        kept: if look.snapshot.deserted { 0 } else { usize::from(look.size.min().max(look.size.spare())) },
        coming: slots.iter().any(|slot| matches!(slot.state, State::Starting | State::Backoff)),
        running: look.snapshot.running,
        waiting: look.snapshot.waiting,
    }
}
