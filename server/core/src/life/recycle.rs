//! When a life has served long enough.
//!
//! The limits are drawn once, when the life is ready, each with its own share of the dice, so that
//! workers that started together do not leave together. The number of calls has two limits: at the drawn
//! one a replacement is sent for, at the written one the life takes no more, replacement or not.

use crate::event::{Die, Jitter};
use crate::policy::Policy;
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) seats: u32,
    /// Calls begun after which a replacement is wanted.
    pub(crate) calls_soft: u32,
    /// Calls begun after which there are no more.
    pub(crate) calls_hard: u32,
    pub(crate) age_at: Option<Instant>,
    pub(crate) idle: Option<Duration>,
    pub(crate) scale_down: Duration,
    pub(crate) resident: Option<u64>,
}

impl Limits {
    pub(crate) fn draw(now: Instant, policy: &Policy, jitter: Jitter) -> Self {
        let rules = &policy.recycle;
        let spread = rules.spread_percent;
        let calls_hard = rules.calls.unwrap_or(u32::MAX);
        let calls_soft = match rules.calls {
            Some(calls) => u32::try_from(jitter.shorten(Die::Calls, calls.into(), spread)).unwrap_or(calls),
            None => u32::MAX,
        };
        Self {
            seats: policy.seats.into(),
            calls_soft: calls_soft.max(1),
            calls_hard,
            age_at: rules.age.map(|age| now + jitter.shorten_span(Die::Age, age, spread)),
            idle: rules.idle.map(|idle| jitter.shorten_span(Die::Idle, idle, spread)),
            scale_down: jitter.shorten_span(Die::Idle, rules.scale_down, spread),
            resident: rules.resident.map(|bytes| jitter.shorten(Die::Memory, bytes, spread)),
        }
    }

    /// How long a life may sit idle before somebody looks whether it is still wanted.
    pub(crate) fn idle_look(&self) -> Duration {
        self.idle.map_or(self.scale_down, |idle| idle.min(self.scale_down))
    }
}
