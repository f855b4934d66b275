//! A policy is accepted whole, or every flaw of it is named at once.

use sidewinder_core::{Policy, Pool, SLOTS_MAX, SPAN_MAX, Size};
use std::time::Duration;

#[test]
fn the_default_has_no_flaws() {
    assert!(Policy::default().check().is_ok());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a pool begins at a real instant")]
fn a_pool_shows_the_rules_that_hold() {
    let mut policy = Policy { seats: 3, ..Policy::default() };
    policy.grace.stop = Duration::from_hours(9 * 365 * 24);
    assert!(policy.grace.stop < SPAN_MAX, "nine years are less than ten");
    let checked = policy.check().expect("no flaws");
    assert_eq!(*Pool::new(std::time::Instant::now(), checked.clone()).policy(), checked);
}

#[test]
fn every_flaw_is_named_at_once() {
    let mut policy = Policy { size: Size::new(0, 1, 0, 0).expect("a size"), seats: 0, ..Policy::default() };
    policy.line.waiting_max = 0;
    policy.line.client_waiting_max = Some(0);
    policy.line.client_running_max = Some(0);
    policy.line.affinity_keys_max = 0;
    policy.restart.delay_min = policy.restart.delay_max * 2;
    policy.restart.deaths_max = 0;
    policy.restart.jitter_percent = 100;
    policy.recycle.calls = Some(0);
    policy.recycle.age = Some(Duration::ZERO);
    policy.recycle.scale_down = SPAN_MAX * 2;
    policy.recycle.spread_percent = 100;
    policy.grace.stop = SPAN_MAX * 2;
    policy.poison.strikes_max = 0;
    policy.poison.keys_max = 0;
    let flaws = policy.check().expect_err("it is full of flaws");
    let mut names: Vec<&str> = flaws.iter().map(|flaw| flaw.name).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "grace.stop",
            "line.affinity_keys_max",
            "line.client_running_max",
            "line.client_waiting_max",
            "line.waiting_max",
            "poison.keys_max",
            "poison.strikes_max",
            "recycle.age",
            "recycle.calls",
            "recycle.scale_down",
            "recycle.spread_percent",
            "restart.deaths_max",
            "restart.delay_min",
            "restart.jitter_percent",
            "seats",
        ]
    );
}

#[test]
fn a_size_is_possible_or_is_not() {
    assert!(Size::new(0, 0, 0, 0).is_none(), "nobody at all");
    assert!(Size::new(2, 1, 0, 0).is_none(), "more kept than allowed");
    assert!(Size::new(0, 1, 2, 0).is_none(), "more spares than allowed");
    assert!(Size::new(0, SLOTS_MAX / 2, 0, 1).is_none(), "more slots than there are names for");
    assert!(Size::new(0, SLOTS_MAX / 2, 0, 0).is_some());
}
