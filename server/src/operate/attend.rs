//! What the presence of clients means for the pools: workers are wanted, or nobody is.

use super::Operator;
use crate::pool::{Handle, Look, Seen};
use crate::presence::{Register, Wanted};
use crate::telemetry::What;
use crate::telemetry::events::Told;
use sidewinder_core::Event;
use sidewinder_core::presence::Fact;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;

/// A pool that could not be seen, or is still leaving, is looked at again after this; and so is one who says nothing.
const AGAIN: Duration = Duration::from_millis(200);

/// Follows what is wanted for as long as the daemon runs.
pub(crate) async fn follow(operator: Operator, register: Register) {
    let mut wanted = register.wanted();
    let mut events = operator.events.watch();
    let (mut ready, mut told) = (false, 0);
    loop {
        let now = *wanted.borrow_and_update();
        let (looks, whole) = look(&operator).await;
        if !ready && whole && looks.iter().all(|(_, look)| is_settled(look)) {
            ready = true;
            register.tell(Fact::Ready);
        }
        apply(now, &looks, &mut told).await;
        let quiet = whole && operator.has_left();
        if matches!(now, Wanted::Nobody { .. })
            && quiet
            && looks.iter().all(|(_, look)| look.snapshot.processes == 0)
        {
            register.tell(Fact::Emptied);
        }
        // Somebody may have come while it was looked at.
        let nothing = now == Wanted::Nothing && *wanted.borrow() == Wanted::Nothing;
        if nothing && operator.leave(&wanted).await {
            return;
        }
        tokio::select! {
            () = sleep(AGAIN), if !quiet || nothing => {}
            changed = wanted.changed() => if changed.is_err() { return },
            () = something(&mut events) => {}
        }
    }
}

/// The pools that can be seen, and whether those are all.
async fn look(operator: &Operator) -> (Vec<(Handle, Look)>, bool) {
    let pools = operator.pools.all();
    let seen = operator.pools.look().await.into_iter().filter_map(|(name, seen)| match seen {
        Seen::Look(look) => Some((pools.get(&name)?.clone(), *look)),
        Seen::Ended | Seen::Nothing => None,
    });
    let seen: Vec<_> = seen.collect();
    let whole = seen.len() == pools.len();
    (seen, whole)
}

/// Tells each pool that does not know it yet. A pool that came with a reload is one of them.
async fn apply(wanted: Wanted, looks: &[(Handle, Look)], told: &mut u64) {
    let other = |number: u64| number != *told;
    for (pool, look) in looks {
        match wanted {
            Wanted::Workers if look.snapshot.deserted => pool.operate(Event::Attended).await,
            Wanted::Nobody { within, number } if other(number) || !look.snapshot.deserted => {
                pool.operate(Event::Deserted { within }).await;
            }
            Wanted::Workers | Wanted::Nobody { .. } | Wanted::Nothing => {}
        }
    }
    if let Wanted::Nobody { number, .. } = wanted {
        *told = number;
    }
}

/// It takes calls, or never will without somebody's help.
fn is_settled(look: &Look) -> bool {
    use sidewinder_core::Phase::{Drained, Draining, Fatal, Serving};
    let on_demand = look.size.min() == 0 && look.size.spare() == 0;
    match look.snapshot.phase {
        Serving => on_demand || look.snapshot.slots.iter().any(|slot| slot.open),
        Fatal | Draining | Drained => true,
    }
}

/// Waits until workers have come or gone, or there are other pools.
async fn something(events: &mut broadcast::Receiver<Arc<Told>>) {
    loop {
        match events.recv().await {
            Ok(told) => {
                let matters = [What::WorkerReady, What::WorkerGone, What::PoolPhase, What::Reloaded];
                if matters.contains(&told.event.what) {
                    return;
                }
            }
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
