//! A seeded world drives the core; a model beside it knows what must be true. The same seed replays the
//! same life, and every failure names its seed:
//!
//! ```text
//! SIM_SEED=17 cargo test -p sidewinder-core --test simulation limits -- --nocapture
//! SIM_EVENTS=1000000 cargo test --release -p sidewinder-core --test simulation
//! ```
#![expect(
    clippy::disallowed_methods,
    reason = "the simulation starts at a real instant, and is told its size"
)]
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used, reason = "a failure is the point")]

#[path = "sim/check.rs"]
mod check;
#[path = "sim/effect.rs"]
mod effect;
#[path = "sim/fact.rs"]
mod fact;
#[path = "sim/finale.rs"]
mod finale;
#[path = "sim/model.rs"]
mod model;
#[path = "sim/rng.rs"]
mod rng;
#[path = "sim/rules.rs"]
mod rules;
#[path = "sim/world.rs"]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};
use world::World;

/// Fails with the seed, the time and what was last told.
#[macro_export]
macro_rules! ensure {
    ($model:expr, $holds:expr, $($what:tt)+) => {
        if !$holds {
            panic!("seed {}: {} (after {:?})", $model.seed, format!($($what)+), $model.event);
        }
    };
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// One life of a pool. Says how many events it had, and what all of its decisions come to.
fn live(seed: u64, begin: Instant) -> (u64, u64) {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(seed, begin, number("SIM_SEED").is_some());
        for _ in 0..700 {
            world.step();
        }
        if seed.is_multiple_of(2) {
            world.calm();
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
fn limits_and_safety_hold_in_every_life() {
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
        let (events, decided) = live(seed, begin);
        let again = live(seed, begin + Duration::from_secs(77));
        assert_eq!((events, decided), again, "seed {seed}: the second time is different");
    }
}
