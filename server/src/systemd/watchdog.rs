//! The watchdog: the service manager ends a daemon that has not proved for a while that it is alive.
//!
//! A timer that fires proves little. So before each word everybody who has to answer is asked, and a word that is not
//! earned is not said: a daemon whose pool hangs is killed and started again, although its other half runs well.

use super::Herald;
use std::future::Future;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// So many proofs fit into the manager's patience: one may come too late.
const PROOFS: u32 = 3;

/// Whoever is silent is given up well before the whole proof is, so that it can be named.
const NAMED: u32 = 3;

/// Proves life for as long as the manager wants it; returns at once if it does not.
pub(crate) async fn keep_alive<P, F>(herald: Herald, prove: P)
where
    P: Fn(Duration) -> F,
    F: Future<Output = Result<(), String>>,
{
    let Some(patience) = sd_notify::watchdog_enabled().filter(|_| herald.has_listener()) else { return };
    let every = (patience / PROOFS).max(Duration::from_millis(1));
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut well = true;
    loop {
        ticks.tick().await;
        let proof = timeout(every, prove(every / NAMED)).await;
        match proof.unwrap_or_else(|_| Err("the daemon does not come to answer".to_owned())) {
            Ok(()) => {
                herald.alive();
                well = true;
            }
            Err(why) => {
                if std::mem::replace(&mut well, false) {
                    tracing::warn!("no sign of life for the watchdog: {why}");
                }
                herald.status(&format!("no sign of life: {why}"));
            }
        }
    }
}
