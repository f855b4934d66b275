//! What follows a death.
//!
//! A death is *early* when the life had done nothing yet: it never became ready, or died young and unused.
//! Early deaths make the next life wait, each twice as long as the one before; enough of them in a row of
//! time are FATAL. Any other death is followed by a new life at once.
//!
//! Early deaths are written down where they belong. A generation in which no life has ever been ready
//! is broken as a whole, so they all go on one sheet, and forty workers that cannot import their module give
//! up together instead of five times each. Afterwards each slot has its own sheet.

use crate::event::{Die, Jitter};
use crate::policy::RestartRules;
use std::collections::VecDeque;
use std::time::Instant;

/// How often the lives of one slot may die in mid-call with nothing finished before the slot is blamed
/// and not the calls.
const FRUITLESS_MAX: u32 = 2;

/// What a life had done when it died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// Nothing: the next one has to wait.
    Early,
    /// Its work, or it was asked to go.
    Late,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Rest { until: Instant },
    Fatal,
}

/// A sheet of early deaths.
#[derive(Debug, Default)]
pub(crate) struct Record {
    streak: u32,
    early: VecDeque<Instant>,
    fruitless: u32,
}

impl Record {
    pub(crate) fn early_death(&mut self, now: Instant, rules: &RestartRules, jitter: Jitter) -> Verdict {
        while self.early.front().is_some_and(|&at| now.saturating_duration_since(at) > rules.deaths_window) {
            self.early.pop_front();
        }
        self.early.push_back(now);
        if self.early.len() >= usize::from(rules.deaths_max) {
            return Verdict::Fatal;
        }
        let doublings = 1_u32.checked_shl(self.streak).unwrap_or(u32::MAX);
        self.streak = (self.streak + 1).min(31);
        let whole = rules.delay_min.saturating_mul(doublings).min(rules.delay_max);
        Verdict::Rest { until: now + jitter.shorten_span(Die::Backoff, whole, rules.jitter_percent) }
    }

    /// A life of this slot has served: the next early death is a first one.
    pub(crate) fn fruitful(&mut self) {
        self.streak = 0;
        self.fruitless = 0;
    }

    /// A life died in mid-call and had finished none. The call is blamed, unless it happens again and again.
    pub(crate) fn fruitless(&mut self) -> Death {
        self.fruitless = self.fruitless.saturating_add(1);
        if self.fruitless > FRUITLESS_MAX { Death::Early } else { Death::Late }
    }
}
