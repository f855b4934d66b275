//! What a keeper decides. It never does anything itself.
//!
//! Facts come in as [`Event`]s with the time they were learnt, decisions go out as [`Effect`]s. Each state carries
//! its own deadline, so leaving the state cancels the timer.
//!
//! ```text
//!            Spawn              Exited, or told to kill            Gone
//! (nothing) ──────▶ Alive ──────────────────────────────▶ Ending ──────▶ Over ──Acknowledge──▶ (nothing)
//!                     │ asked to stop                       ▲  │ warden lost, or too slow
//!                     └──────▶ Stopping{kill_at} ───────────┘  └──────▶ Strays ──StraysGone──▶ Over
//! ```
//!
//! A worker that a fork server forks is Hatching first, until its warden has shown itself.
//!
//! The owner is awaited, attached, or missing until a time; its end, and only that, is the end of the pool. A
//! lifeline at end-of-file is final: nobody can come back on it. An owner that died while a copy of its end is
//! kept somewhere (systemd's file descriptor store) is missing, and a successor may adopt the pool in time.

use crate::wire::Graces;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A warden that has not finished a tree this long after it was told to is killed, and the keeper takes over. Giving
/// gigabytes back takes seconds; a warden that is stopped or killed is noticed at once, by other means.
const PATIENCE_WITH_WARDEN: Duration = Duration::from_secs(10);
/// A fork server that has not shown a worker this long after it was asked hangs: there is none. Importing is over by
/// then, so this bounds a few forks on a machine in trouble.
const PATIENCE_WITH_FORK: Duration = Duration::from_secs(5);
/// No grace is longer, so that no deadline can overflow.
const GRACE_MAX: Duration = Duration::from_hours(365 * 24);

/// A fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// An owner, the first or a successor, said hello.
    Attached(Graces),
    /// A worker is asked for.
    SpawnAsked(u32),
    /// A worker is asked for, to be forked by a fork server.
    ForkAsked(u32),
    /// The warden of a forked worker has shown itself.
    Hatched(u32),
    /// A signal for a worker is asked for.
    SignalAsked(u32, i32),
    /// The end of one tree is asked for.
    KillAsked(u32),
    /// The end of the pool is asked for by its owner.
    DrainAsked(Duration),
    /// The owner has heard of this ending.
    Acknowledged(u32),
    /// The owner's process is dead.
    OwnerDied,
    /// Every copy of the owner's end of the lifeline is closed.
    OwnerClosed,
    /// Somebody sent the keeper SIGTERM or its like.
    StopAsked,
    /// Somebody sent the keeper a signal that means a crash.
    AbortAsked,
    /// The worker could not be started, and nothing of it is left.
    SpawnFailed(u32),
    /// The worker's own process ended; its warden kills the rest.
    Exited(u32),
    /// The worker's whole tree is gone.
    Gone(u32),
    /// A warden ended before its tree did.
    WardenLost(u32),
    /// No process is left below the keeper that has no warden.
    StraysGone,
}

/// A decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Start this worker.
    Start(u32),
    /// Tell the owner that a request about this worker was not carried out.
    Refuse(u32, Refusal),
    /// Send a signal to the worker itself.
    Signal(u32, i32),
    /// Have the warden kill its tree.
    KillTree(u32),
    /// Kill the warden, and take its tree over.
    KillWarden(u32),
    /// The warden is no more: tell the owner what is known of this worker's ending.
    TellGone(u32),
    /// Tell the owner that nobody is left.
    TellDrained,
    /// Nobody will ever ask again, and nobody is left: leave.
    Leave,
}

/// Why a request was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No owner has said hello.
    NoHello,
    /// The number is in use, perhaps by an ending that was not acknowledged.
    NumberInUse,
    /// No living worker has this number.
    NoSuchWorker,
    /// The pool is ending.
    Ending,
    /// There are as many lives as one keeper holds.
    TooMany,
}

impl Refusal {
    /// What happened and what to do.
    pub fn text(self) -> &'static str {
        match self {
            Self::NoHello => "say hello first",
            Self::NumberInUse => "this worker number is in use: acknowledge its ending or choose another",
            Self::NoSuchWorker => "no living worker has this number",
            Self::Ending => "the pool is ending: start a new keeper",
            Self::TooMany => {
                "this keeper holds as many workers as it may: acknowledge endings or start another"
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// Its fork server was asked for it.
    Hatching {
        until: Instant,
    },
    Alive,
    Stopping {
        kill_at: Instant,
    },
    Ending {
        patience_until: Instant,
    },
    Strays,
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Awaited,
    Attached,
    Missing { until: Instant },
    Vanished,
}

/// The state of one pool, as its keeper sees it.
#[derive(Debug)]
pub struct Machine {
    graces: Graces,
    owner: Owner,
    lives: BTreeMap<u32, Life>,
    lives_max: usize,
    ending: bool,
    drained: bool,
    left: bool,
}

impl Machine {
    /// A keeper that nobody has spoken to.
    pub fn new(lives_max: usize) -> Self {
        let lives = BTreeMap::new();
        let graces = Graces::default();
        Self { graces, owner: Owner::Awaited, lives, lives_max, ending: false, drained: false, left: false }
    }

    /// Records a fact and decides what to do about it.
    pub fn handle(&mut self, now: Instant, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Attached(graces) => {
                self.graces = graces;
                self.owner = Owner::Attached;
                self.drained = false;
            }
            Event::SpawnAsked(worker) => self.on_spawn_asked(worker, Life::Alive, effects),
            Event::ForkAsked(worker) => {
                self.on_spawn_asked(worker, Life::Hatching { until: now + PATIENCE_WITH_FORK }, effects);
            }
            Event::Hatched(worker) => self.on_hatched(worker),
            Event::SignalAsked(worker, signal) => match self.lives.get(&worker) {
                Some(Life::Hatching { .. } | Life::Alive | Life::Stopping { .. }) => {
                    effects.push(Effect::Signal(worker, signal));
                }
                Some(Life::Ending { .. } | Life::Strays | Life::Over) | None => {
                    effects.push(Effect::Refuse(worker, Refusal::NoSuchWorker));
                }
            },
            Event::KillAsked(worker) => self.kill(now, worker, effects),
            Event::DrainAsked(grace) => self.end(now, grace, effects),
            Event::Acknowledged(worker) => {
                if self.lives.get(&worker) == Some(&Life::Over) {
                    self.lives.remove(&worker);
                }
            }
            Event::OwnerDied => self.on_owner_died(now, effects),
            Event::OwnerClosed => self.on_owner_gone(now, effects),
            Event::StopAsked => self.end(now, self.graces.stop, effects),
            Event::AbortAsked => self.end(now, Duration::ZERO, effects),
            Event::SpawnFailed(worker) => drop(self.lives.remove(&worker)),
            Event::Exited(worker) => self.on_exited(now, worker),
            Event::Gone(worker) => self.on_gone(worker),
            Event::WardenLost(worker) => self.on_warden_lost(worker),
            Event::StraysGone => self.on_strays_gone(effects),
        }
        self.settle(effects);
    }

    /// The next moment at which [`Machine::handle_timeout`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        let lives = self.lives.values().filter_map(|life| match *life {
            Life::Stopping { kill_at } => Some(kill_at),
            Life::Hatching { until } => Some(until),
            Life::Ending { patience_until } => Some(patience_until),
            Life::Alive | Life::Strays | Life::Over => None,
        });
        let owner = match self.owner {
            Owner::Missing { until } => Some(until),
            Owner::Awaited | Owner::Attached | Owner::Vanished => None,
        };
        lives.chain(owner).min()
    }

    /// Decides what the passing of time asks for.
    pub fn handle_timeout(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if let Owner::Missing { until } = self.owner
            && until <= now
        {
            self.on_owner_gone(now, effects);
        }
        let lives: Vec<(u32, Life)> = self.lives.iter().map(|(worker, life)| (*worker, *life)).collect();
        for (worker, life) in lives {
            match life {
                Life::Stopping { kill_at } if kill_at <= now => self.kill(now, worker, effects),
                Life::Ending { patience_until: until } | Life::Hatching { until } if until <= now => {
                    self.lives.insert(worker, Life::Strays);
                    effects.push(Effect::KillWarden(worker));
                }
                Life::Hatching { .. }
                | Life::Stopping { .. }
                | Life::Ending { .. }
                | Life::Alive
                | Life::Strays
                | Life::Over => {}
            }
        }
        self.settle(effects);
    }

    /// Whether some warden is lost and the keeper must kill what it left.
    pub fn hunts_strays(&self) -> bool {
        self.lives.values().any(|life| *life == Life::Strays)
    }

    /// Whether this worker's ending waits to be acknowledged.
    pub fn is_over(&self, worker: u32) -> bool {
        self.lives.get(&worker) == Some(&Life::Over)
    }

    /// Every worker the keeper knows, with whether it lives.
    pub fn list(&self) -> impl Iterator<Item = (u32, bool)> + '_ {
        self.lives.iter().map(|(worker, life)| (*worker, *life != Life::Over))
    }

    fn on_spawn_asked(&mut self, worker: u32, life: Life, effects: &mut Vec<Effect>) {
        let refusal = if self.owner == Owner::Awaited {
            Some(Refusal::NoHello)
        } else if self.ending {
            Some(Refusal::Ending)
        } else if self.lives.contains_key(&worker) {
            Some(Refusal::NumberInUse)
        } else if self.lives.len() >= self.lives_max {
            Some(Refusal::TooMany)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            effects.push(Effect::Refuse(worker, refusal));
            return;
        }
        self.lives.insert(worker, life);
        effects.push(Effect::Start(worker));
    }

    fn on_owner_died(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if self.graces.reattach.is_zero() {
            self.on_owner_gone(now, effects);
        } else if matches!(self.owner, Owner::Awaited | Owner::Attached) {
            self.owner = Owner::Missing { until: now + self.graces.reattach.min(GRACE_MAX) };
        }
    }

    fn on_owner_gone(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.owner = Owner::Vanished;
        self.end(now, self.graces.orphan, effects);
    }

    fn on_hatched(&mut self, worker: u32) {
        if let Some(life @ Life::Hatching { .. }) = self.lives.get_mut(&worker) {
            *life = Life::Alive;
        }
    }

    fn on_exited(&mut self, now: Instant, worker: u32) {
        if let Some(life @ (Life::Hatching { .. } | Life::Alive | Life::Stopping { .. })) =
            self.lives.get_mut(&worker)
        {
            *life = Life::Ending { patience_until: now + PATIENCE_WITH_WARDEN };
        }
    }

    fn on_gone(&mut self, worker: u32) {
        if let Some(life) = self.lives.get_mut(&worker) {
            *life = Life::Over;
        }
    }

    fn on_warden_lost(&mut self, worker: u32) {
        match self.lives.get_mut(&worker) {
            Some(Life::Over) | None => {}
            Some(life) => *life = Life::Strays,
        }
    }

    fn on_strays_gone(&mut self, effects: &mut Vec<Effect>) {
        for (worker, life) in &mut self.lives {
            if *life == Life::Strays {
                *life = Life::Over;
                effects.push(Effect::TellGone(*worker));
            }
        }
    }

    /// Ends the pool. A second, more urgent end shortens the graces of the first.
    fn end(&mut self, now: Instant, grace: Duration, effects: &mut Vec<Effect>) {
        self.ending = true;
        let kill_at = now + grace.min(GRACE_MAX);
        let workers: Vec<u32> = self.lives.keys().copied().collect();
        for worker in workers {
            match self.lives.get_mut(&worker) {
                Some(Life::Alive | Life::Stopping { .. }) if grace.is_zero() => {
                    self.kill(now, worker, effects);
                }
                // It has not begun anything that it could finish.
                Some(Life::Hatching { .. }) => self.kill(now, worker, effects),
                Some(life @ Life::Alive) => {
                    *life = Life::Stopping { kill_at };
                    effects.push(Effect::Signal(worker, libc::SIGTERM));
                }
                Some(Life::Stopping { kill_at: planned }) => *planned = kill_at.min(*planned),
                Some(Life::Ending { .. } | Life::Strays | Life::Over) | None => {}
            }
        }
    }

    fn kill(&mut self, now: Instant, worker: u32, effects: &mut Vec<Effect>) {
        match self.lives.get_mut(&worker) {
            Some(life @ (Life::Hatching { .. } | Life::Alive | Life::Stopping { .. })) => {
                *life = Life::Ending { patience_until: now + PATIENCE_WITH_WARDEN };
                effects.push(Effect::KillTree(worker));
            }
            Some(Life::Ending { .. } | Life::Strays) => {}
            Some(Life::Over) | None => effects.push(Effect::Refuse(worker, Refusal::NoSuchWorker)),
        }
    }

    /// Once nobody lives in a pool that is ending, its owner is told; once nobody can ask any more, the keeper leaves.
    fn settle(&mut self, effects: &mut Vec<Effect>) {
        let empty = self.lives.values().all(|life| *life == Life::Over);
        if !self.ending || !empty || self.left {
            return;
        }
        if self.owner == Owner::Vanished {
            self.left = true;
            effects.push(Effect::Leave);
        } else if !self.drained {
            self.drained = true;
            effects.push(Effect::TellDrained);
        }
    }
}
