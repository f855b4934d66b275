//! The case table: what each case promises, and every exception by name.
//!
//! The rule has no exception in its first half: once the last signal is sent,
//! everything ends within the bound. The exceptions are these two.
//!
//! | who | what happens | what the test does |
//! |---|---|---|
//! | a worker that ignores TERM | it lives on | sees it alive, then kills it |
//! | tiers B and C: owner and keeper are struck down while the worker takes the warden out of the game | nobody is left who could clean up at once | runs `sidewinder reap`, which must end it all |

use std::time::Duration;

use sidewinder_tests::arena::Tier;

use crate::plan::{Blow, Case, Victim};

/// How many times the promised bound a loaded test machine may take.
pub(crate) const TEST_FACTOR: u32 = 8;

/// After this the watchdog ends a case.
pub(crate) const CASE_LIMIT: Duration = Duration::from_secs(20);

const BOUND: Duration = Duration::from_millis(250);
const BOUND_PER_GIB: Duration = Duration::from_millis(500);

/// Workers that ignore TERM themselves (children that do so are no exception at all).
const DEAF_WORKERS: [&str; 6] =
    ["deaf", "fork_storm", "kills_parent", "stops_parent", "holds_parent", "hides_proc"];

/// Workers that cost the warden its life: they kill it, or stop it so often that the keeper gives it up.
/// (One that stops it once gains nothing: the warden is woken at once.)
const WARDEN_KILLERS: [&str; 2] = ["kills_parent", "holds_parent"];

/// The promise: 250 ms and half a second for each resident GiB.
pub(crate) fn bound(worker: &str) -> Duration {
    if worker == "gibibyte" { BOUND + BOUND_PER_GIB } else { BOUND }
}

/// Why this victim rightly survives the blow, if it does.
pub(crate) fn rightly_survives(case: &Case, victim: Victim) -> Option<&'static str> {
    let blow = case.blow;
    match victim {
        Victim::Worker if blow == Blow::Term && DEAF_WORKERS.contains(&case.worker) => {
            Some("the worker ignores TERM")
        }
        Victim::Caller | Victim::Owner | Victim::Keeper | Victim::Worker => None,
    }
}

/// Whether the worker itself brings its run to an end, so that a victim may be gone before the blow.
pub(crate) fn ends_itself(case: &Case) -> bool {
    WARDEN_KILLERS.contains(&case.worker)
}

/// Whether nobody is left who could clean up at once, so that `sidewinder reap` has to.
pub(crate) fn needs_reap(case: &Case) -> bool {
    case.tier != Tier::A && WARDEN_KILLERS.contains(&case.worker) && owner_and_keeper(case)
}

/// Whether a record of the run may remain although no process does.
pub(crate) fn may_leave_record(case: &Case) -> bool {
    owner_and_keeper(case)
}

/// Whether the owner lives long enough to say that everything is gone.
pub(crate) fn owner_reports(case: &Case) -> bool {
    !case.victims.contains(&Victim::Owner) && !case.victims.contains(&Victim::Keeper)
}

fn owner_and_keeper(case: &Case) -> bool {
    case.victims.contains(&Victim::Owner) && case.victims.contains(&Victim::Keeper)
}
