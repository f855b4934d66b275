//! How a run ends: in a calm in which everything must come to rest, and in a drain that must end everything.

use crate::ensure;
use crate::model::{Phase, State};
use crate::rules::ms;
use crate::world::World;
use sidewinder_core::{Event, Life, Phase as Shows, State as Shown};
use std::time::Instant;

impl World {
    /// Everybody behaves and nobody calls: the pool must come to rest, with as many lives as it should have.
    pub(crate) fn calm(&mut self) {
        if self.model.drain.is_some() {
            return;
        }
        self.time(self.model.now);
        self.feed(Event::Attended);
        for life in self.model.procs.keys().copied().collect::<Vec<_>>() {
            if !matches!(self.model.procs[&life].phase, Phase::Ready | Phase::Starting { .. }) {
                self.behave(life);
            }
        }
        for _ in 0..3_000 {
            if self.model.pool_fatal || !self.model.fatal.is_empty() {
                self.feed(Event::RestartRequested { slot: None });
            }
            let lives: Vec<Life> = self.model.procs.keys().copied().collect();
            let mut moved = false;
            for life in lives {
                moved |= self.behave(life);
            }
            let waiting = !self.model.waiting.is_empty();
            if !moved && let Some(next) = self.pool.next_deadline() {
                self.time(next);
            } else if !moved {
                break;
            }
            let idle_for = |since: Instant| self.model.now.saturating_duration_since(since) > ms(120_000);
            if !waiting
                && self.model.rests.is_empty()
                && self.model.procs.values().all(|proc| idle_for(proc.idle_since))
            {
                break;
            }
        }
        let restless = self.model.policy.recycle.age.is_some();
        let snapshot = self.pool.snapshot();
        ensure!(
            self.model,
            self.model.calls.is_empty(),
            "calls are left: {:?} {snapshot:?} {:?}",
            self.model.calls,
            self.model.policy
        );
        if !restless {
            let wanted = self.model.policy.size.min().max(self.model.policy.size.spare());
            let staying =
                snapshot.slots.iter().filter(|view| view.state == Shown::Running && view.leaving.is_none());
            ensure!(
                self.model,
                staying.count() == usize::from(wanted),
                "{wanted} lives are wanted: {snapshot:?}"
            );
            ensure!(self.model, snapshot.processes == usize::from(wanted), "{wanted} lives: {snapshot:?}");
        }
        ensure!(self.model, snapshot.phase == Shows::Serving, "{snapshot:?}");
    }

    fn behave(&mut self, life: Life) -> bool {
        let jitter = self.rng.jitter();
        let Some(proc) = self.model.procs.get(&life).cloned() else { return false };
        match proc.phase {
            Phase::Starting { .. } if self.left_behind.contains(&life) => self.resumes(life),
            Phase::Starting { .. } => self.feed(Event::Ready { life, jitter }),
            Phase::Stopping { .. } | Phase::Killed { .. } => self.feed(Event::Exited { life, jitter }),
            Phase::Ready if proc.suspect_since.is_some() => self.feed(Event::Recovered { life }),
            Phase::Ready => {
                let Some(&call) = proc.calls.first() else { return false };
                self.feed(Event::Finished { life, call });
            }
        }
        true
    }

    /// The end: within its bound everything has been killed, and every call has had its ending.
    pub(crate) fn end(&mut self) {
        let within = ms(self.rng.below(5_000));
        self.feed(Event::DrainRequested { within });
        let by = self.model.drain.unwrap_or(self.model.now);
        for _ in 0..2_000 {
            if self.model.now >= by {
                let killed = self.model.procs.values().all(|proc| matches!(proc.phase, Phase::Killed { .. }));
                ensure!(self.model, killed, "the drain is over: {:?}", self.model.procs);
                let owed = self.model.calls.values().any(|held| !matches!(held.state, State::Ghost(..)));
                ensure!(self.model, !owed, "the drain is over: {:?}", self.model.calls);
                break;
            }
            if self.rng.percent(15) {
                self.pass_time();
            } else {
                self.step_without_operator();
            }
            if self.model.now >= by {
                self.time(self.model.now);
            }
        }
        for life in self.model.procs.keys().copied().collect::<Vec<_>>() {
            let jitter = self.rng.jitter();
            self.feed(Event::Exited { life, jitter });
        }
        ensure!(self.model, self.model.halted, "the drain does not end");
        ensure!(self.model, self.model.calls.is_empty(), "calls are left: {:?}", self.model.calls);
        ensure!(self.model, self.pool.snapshot().phase == Shows::Drained, "{:?}", self.pool.snapshot());
        ensure!(self.model, self.pool.next_deadline().is_none(), "a drained pool wants to be woken");
    }
}
