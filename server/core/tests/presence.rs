//! A seeded world of clients, networks and pauses drives the machine of leases. Beside it a model counts the time in
//! which the daemon ran, and knows who was heard when. Every failure names its seed:
//!
//! ```text
//! SIM_SEED=17 cargo test -p sidewinder-core --test presence -- --nocapture
//! SIM_EVENTS=1000000 cargo test --release -p sidewinder-core --test presence
//! ```
#![expect(
    clippy::disallowed_methods,
    reason = "the simulation starts at a real instant, and is told its size"
)]
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a failure is the point")]

#[path = "attendance/model.rs"]
mod model;
#[path = "sim/rng.rs"]
#[allow(dead_code, reason = "the dice of pools are not needed here")]
mod rng;
#[path = "attendance/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};
use world::World;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// One run of a daemon and its clients. Says how many events it had, and what all of its decisions come to.
fn live(seed: u64, begin: Instant) -> (u64, u64) {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(seed, begin);
        for _ in 0..600 {
            world.step();
        }
        world.end();
        (world.events, world.digest())
    }));
    outcome.unwrap_or_else(|problem| {
        let text = problem.downcast_ref::<String>().cloned();
        let text = text.or_else(|| problem.downcast_ref::<&str>().map(ToString::to_string));
        panic!("seed {seed}: {}", text.unwrap_or_default())
    })
}

#[test]
fn no_lease_ends_early_or_late_and_nothing_has_two_owners() {
    let begin = Instant::now();
    if let Some(seed) = number("SIM_SEED") {
        live(seed, begin);
        return;
    }
    let wanted = number("SIM_EVENTS").unwrap_or(150_000);
    let (mut seed, mut events) = (0, 0);
    while events < wanted {
        events += live(seed, begin).0;
        seed += 1;
    }
    eprintln!("{seed} seeds, {events} events in {:?}", begin.elapsed());
}

#[test]
fn the_same_seed_decides_the_same() {
    let begin = Instant::now();
    for seed in 1_000..1_010 {
        let again = live(seed, begin + Duration::from_secs(77));
        assert_eq!(live(seed, begin), again, "seed {seed}: the second time is different");
    }
}
