//! What a keeper decides. It never does anything itself.
//!
//! Whether a worker may be started is asked ([`Machine::admit`]). Everything else comes in as a fact, an [`Event`] with the
//! time it was learnt, and decisions go out as [`Effect`]s. Each state carries its own deadline, so leaving the state
//! cancels the timer.
//!
//! ```text
//!            admit              Exited, or told to kill            Gone
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

use sidewinder_keeper_wire::{ENDING, Graces};
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
    /// Nothing but time. Deadlines that are over are acted upon.
    TimePassed,
}

/// A decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Tell the owner that no living worker has this number.
    Refuse(u32),
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// Its fork server was asked for it, and shows it by then.
    Hatching(Instant),
    Alive,
    /// It was asked to stop, and is killed then.
    Stopping(Instant),
    /// Its warden kills its tree, and is given up then.
    Ending(Instant),
    Strays,
    Over,
}

impl Life {
    /// Somebody may still want something of it.
    fn is_living(self) -> bool {
        matches!(self, Self::Hatching(_) | Self::Alive | Self::Stopping(_))
    }

    /// When it does not stay as it is.
    fn deadline(self) -> Option<Instant> {
        match self {
            Self::Hatching(until) | Self::Stopping(until) | Self::Ending(until) => Some(until),
            Self::Alive | Self::Strays | Self::Over => None,
        }
    }

    fn kill(&mut self, now: Instant, worker: u32, effects: &mut Vec<Effect>) {
        *self = Self::Ending(now + PATIENCE_WITH_WARDEN);
        effects.push(Effect::KillTree(worker));
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Owner {
    #[default]
    Awaited,
    Attached,
    /// Its process is dead; a successor may come until then.
    Missing(Instant),
    Vanished,
}

/// The state of one pool, as its keeper sees it.
#[derive(Debug, Default)]
pub struct Machine {
    graces: Graces,
    owner: Owner,
    lives: BTreeMap<u32, Life>,
    lives_max: usize,
    ending: bool,
    drained: bool,
    left: bool,
    /// What was decided in this turn.
    effects: Vec<Effect>,
}

impl Machine {
    /// A keeper that nobody has spoken to.
    pub fn new(lives_max: usize) -> Self {
        Self { lives_max, ..Self::default() }
    }

    /// Decides whether a worker that is asked for is started, by a fork server or by its warden; or why not.
    pub fn admit(&mut self, now: Instant, worker: u32, forked: bool) -> Result<(), &'static str> {
        if self.owner == Owner::Awaited {
            Err("say hello first")
        } else if self.ending {
            Err(ENDING)
        } else if self.lives.contains_key(&worker) {
            Err("this worker number is in use: acknowledge its ending or choose another")
        } else if self.lives.len() >= self.lives_max {
            Err("this keeper holds as many workers as it may: acknowledge endings or start another")
        } else {
            let life = if forked { Life::Hatching(now + PATIENCE_WITH_FORK) } else { Life::Alive };
            self.lives.insert(worker, life);
            Ok(())
        }
    }

    /// Records a fact and decides what to do about it.
    pub fn handle(&mut self, now: Instant, event: Event) -> Vec<Effect> {
        match event {
            Event::Attached(graces) => {
                (self.graces, self.owner, self.drained) = (graces, Owner::Attached, false);
            }
            Event::SignalAsked(worker, signal) => {
                let living = self.lives.get(&worker).is_some_and(|life| life.is_living());
                let refused = Effect::Refuse(worker);
                self.effects.push(if living { Effect::Signal(worker, signal) } else { refused });
            }
            Event::KillAsked(worker) => match self.lives.get_mut(&worker) {
                Some(Life::Ending(_) | Life::Strays) => {}
                Some(Life::Over) | None => self.effects.push(Effect::Refuse(worker)),
                Some(life) => life.kill(now, worker, &mut self.effects),
            },
            Event::Acknowledged(worker) => {
                if self.lives.get(&worker) == Some(&Life::Over) {
                    self.lives.remove(&worker);
                }
            }
            Event::DrainAsked(grace) => self.end(now, grace),
            Event::StopAsked => self.end(now, self.graces.stop),
            Event::AbortAsked => self.end(now, Duration::ZERO),
            Event::OwnerDied => self.miss_owner(now),
            Event::OwnerClosed => self.give_owner_up(now),
            Event::SpawnFailed(worker) => drop(self.lives.remove(&worker)),
            Event::Hatched(worker) => {
                self.turn(worker, |life| matches!(life, Life::Hatching(_)), Life::Alive);
            }
            Event::Exited(worker) => {
                self.turn(worker, Life::is_living, Life::Ending(now + PATIENCE_WITH_WARDEN));
            }
            Event::WardenLost(worker) => self.turn(worker, |life| life != Life::Over, Life::Strays),
            Event::Gone(worker) => self.turn(worker, |_| true, Life::Over),
            Event::StraysGone => {
                for (worker, life) in self.lives.iter_mut().filter(|(_, life)| **life == Life::Strays) {
                    *life = Life::Over;
                    self.effects.push(Effect::TellGone(*worker));
                }
            }
            Event::TimePassed => self.pass_time(now),
        }
        self.settle();
        std::mem::take(&mut self.effects)
    }

    /// The next moment at which [`Event::TimePassed`] changes something.
    pub fn next_deadline(&self) -> Option<Instant> {
        let owner = match self.owner {
            Owner::Missing(until) => Some(until),
            Owner::Awaited | Owner::Attached | Owner::Vanished => None,
        };
        self.lives.values().filter_map(|life| life.deadline()).chain(owner).min()
    }

    /// Whether some warden is lost and the keeper must kill what it left.
    pub fn hunts_strays(&self) -> bool {
        self.lives.values().any(|life| *life == Life::Strays)
    }

    /// Every worker the keeper knows, with whether it lives.
    pub fn list(&self) -> impl Iterator<Item = (u32, bool)> + '_ {
        self.lives.iter().map(|(worker, life)| (*worker, *life != Life::Over))
    }

    /// Takes a life from a state to the next; a fact that comes too late for that changes nothing.
    fn turn(&mut self, worker: u32, from: impl Fn(Life) -> bool, to: Life) {
        self.lives.get_mut(&worker).filter(|life| from(**life)).into_iter().for_each(|life| *life = to);
    }

    fn miss_owner(&mut self, now: Instant) {
        if self.graces.reattach.is_zero() {
            self.give_owner_up(now);
        } else if matches!(self.owner, Owner::Awaited | Owner::Attached) {
            self.owner = Owner::Missing(now + self.graces.reattach.min(GRACE_MAX));
        }
    }

    fn give_owner_up(&mut self, now: Instant) {
        self.owner = Owner::Vanished;
        self.end(now, self.graces.orphan);
    }

    /// Ends the pool. A second, more urgent end shortens the graces of the first.
    fn end(&mut self, now: Instant, grace: Duration) {
        self.ending = true;
        let kill_at = now + grace.min(GRACE_MAX);
        for (worker, life) in &mut self.lives {
            match *life {
                // It has not begun anything that it could finish.
                Life::Hatching(_) => life.kill(now, *worker, &mut self.effects),
                Life::Alive | Life::Stopping(_) if grace.is_zero() => {
                    life.kill(now, *worker, &mut self.effects);
                }
                Life::Alive => {
                    *life = Life::Stopping(kill_at);
                    self.effects.push(Effect::Signal(*worker, libc::SIGTERM));
                }
                Life::Stopping(planned) => *life = Life::Stopping(kill_at.min(planned)),
                Life::Ending(_) | Life::Strays | Life::Over => {}
            }
        }
    }

    fn pass_time(&mut self, now: Instant) {
        if matches!(self.owner, Owner::Missing(until) if until <= now) {
            self.give_owner_up(now);
        }
        let due = |life: &Life| life.deadline().is_some_and(|until| until <= now);
        for (worker, life) in self.lives.iter_mut().filter(|(_, life)| due(life)) {
            if let Life::Stopping(_) = life {
                life.kill(now, *worker, &mut self.effects);
            } else {
                *life = Life::Strays;
                self.effects.push(Effect::KillWarden(*worker));
            }
        }
    }

    /// Once nobody lives in a pool that is ending, its owner is told; once nobody can ask any more, the keeper leaves.
    fn settle(&mut self) {
        let empty = self.lives.values().all(|life| *life == Life::Over);
        if !self.ending || !empty || self.left {
            return;
        }
        if self.owner == Owner::Vanished {
            self.left = true;
            self.effects.push(Effect::Leave);
        } else if !self.drained {
            self.drained = true;
            self.effects.push(Effect::TellDrained);
        }
    }
}
