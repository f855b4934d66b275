//! Small, sharp policies, so that every limit is met often.

use crate::rng::Rng;
use sidewinder_core::{GraceRules, LineRules, PoisonRules, Policy, RecycleRules, RestartRules, Size};
use std::time::Duration;

pub(crate) fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

pub(crate) fn size(rng: &mut Rng) -> Size {
    let max = rng.small(1, 5);
    let min = if rng.percent(40) { max } else { rng.small(0, max) };
    let spare = if rng.percent(20) { rng.small(0, max.min(2)) } else { 0 };
    Size::new(min, max, spare, rng.small(0, 2)).expect("a size that fits")
}

pub(crate) fn policy(rng: &mut Rng) -> Policy {
    let size = size(rng);
    let least_waiting = u64::from(size.min() == 0);
    let some = |rng: &mut Rng, from: u64, to: u64| rng.percent(30).then(|| ms(from + rng.below(to)));
    Policy {
        size,
        warm: rng.small(0, 2).min(size.max()),
        seats: if rng.percent(60) { 1 } else { rng.small(2, 3) },
        line: LineRules {
            waiting_max: usize::try_from(least_waiting + rng.below(12)).expect("small"),
            client_waiting_max: rng.percent(30).then(|| rng.small(1, 5).into()),
            client_running_max: rng.percent(40).then(|| rng.small(1, 3).into()),
            affinity_keys_max: if rng.percent(15) { 2 } else { 1_000 },
        },
        restart: RestartRules {
            start_timeout: ms(500 + rng.below(4_000)),
            delay_min: ms(100),
            delay_max: ms(100 + rng.below(3_000)),
            jitter_percent: u8::try_from(rng.below(60)).expect("small"),
            early: ms(rng.below(5_000)),
            deaths_max: u8::try_from(2 + rng.below(5)).expect("small"),
            deaths_window: ms(5_000 + rng.below(55_000)),
        },
        recycle: RecycleRules {
            calls: rng.percent(40).then(|| rng.small(1, 12).into()),
            age: some(rng, 2_000, 20_000),
            idle: some(rng, 500, 5_000),
            resident: rng.percent(30).then_some(1_000),
            scale_down: ms(200 + rng.below(5_000)),
            spread_percent: u8::try_from(rng.below(60)).expect("small"),
        },
        grace: GraceRules {
            interrupt: ms(rng.below(3) * 150),
            sibling: ms(rng.below(3) * 300),
            stop: ms(rng.below(3) * 400),
            kill: ms(500 + rng.below(2_000)),
            suspect: ms(200 + rng.below(3_000)),
        },
        poison: PoisonRules { strikes_max: 2, quarantine: ms(5_000), keys_max: 100 },
    }
}
