//! A pool that is looked at too late decides what holds then, and not what would have held before.
#![expect(clippy::disallowed_methods, reason = "it starts at a real instant, and only there")]

use sidewinder_core::{CallId, ClientId, Effect, Event, Jitter, KillCause, Policy, Pool, Request};
use std::time::{Duration, Instant};

/// Both moments of a drain have passed: whoever is killed now is not asked to give up in the same breath.
#[test]
fn a_drain_that_is_over_interrupts_nobody() {
    let begin = Instant::now();
    let at = |seconds| begin + Duration::from_secs(seconds);
    let mut pool = Pool::new(begin, Policy::default().check().expect("no flaws"));
    let mut effects = Vec::new();
    pool.handle_timeout(begin, &mut effects);
    let Some(Effect::Spawn { life, .. }) = effects.first().copied() else { panic!("nobody: {effects:?}") };
    pool.handle(at(1), Event::Ready { life, jitter: Jitter(0) }, &mut effects);
    pool.handle(at(2), Event::Submitted(Request::new(CallId(1), ClientId(1))), &mut effects);
    pool.handle(at(3), Event::DrainRequested { within: Duration::from_secs(20) }, &mut effects);
    effects.clear();
    pool.handle_timeout(at(100), &mut effects);
    let kill = Effect::Kill { life, why: KillCause::Drain };
    assert_eq!(effects.first(), Some(&kill), "{effects:?}");
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Interrupt { .. })), "{effects:?}");
}
