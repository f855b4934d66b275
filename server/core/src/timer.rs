//! When to look again. One ordered set for the whole pool, so the next deadline is its first entry.
//!
//! Each call has at most one entry, exact: it is moved or removed with the state it belongs to.
//! Each slot has at most one entry too, but that of a running life may ring too early: the deadline of an idle
//! worker moves with every call, and moving an entry twice per call would cost more than an alarm in vain
//! now and then. Whoever is rung looks at its own state before it does anything.

use crate::id::{CallId, SlotId};
use std::collections::BTreeSet;
use std::time::Instant;

/// Who is to be rung.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Alarm {
    /// The pool was just made and has to start its first lives.
    Birth,
    Drain,
    Desert,
    Slot(SlotId),
    Call(CallId),
}

#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeSet<(Instant, Alarm)>,
}

impl Timers {
    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.first().map(|&(at, _)| at)
    }

    /// Takes the first alarm that is due. Its owner has to forget that it was set.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Alarm> {
        self.due.first().filter(|&&(at, _)| at <= now)?;
        self.due.pop_first().map(|(_, alarm)| alarm)
    }

    /// Moves an alarm; `armed` is what its owner remembers of it.
    pub(crate) fn set(&mut self, alarm: Alarm, armed: &mut Option<Instant>, at: Option<Instant>) {
        if *armed == at {
            return;
        }
        if let Some(old) = *armed {
            self.due.remove(&(old, alarm));
        }
        if let Some(new) = at {
            self.due.insert((new, alarm));
        }
        *armed = at;
    }

    /// Moves an alarm only if it would ring too late.
    pub(crate) fn no_later(&mut self, alarm: Alarm, armed: &mut Option<Instant>, at: Option<Instant>) {
        let late = at.is_some_and(|at| armed.is_none_or(|armed| at < armed));
        if late {
            self.set(alarm, armed, at);
        }
    }
}
