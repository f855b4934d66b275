//! Facts, in the past tense: everything that can ever happen to a pool.
//!
//! A fact about a life names the life, not the slot, so one that comes late is known to be late.
//! Where a decision wants chance, the fact carries a [`Jitter`]: the core itself rolls no dice.

use crate::id::{AffinityKey, CallId, CallKey, ClientId, Life, SlotId};
use crate::policy::{Checked, Size};
use std::time::{Duration, Instant};

/// A life that an earlier daemon has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// Its name, and so its slot.
    pub life: Life,
    /// It was started by other rules than those of now: it is to be replaced.
    pub outdated: bool,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A caller asks for a tool to be run. An id that is already known is ignored.
    Submitted(Request),
    /// Nobody waits for this call any more.
    Abandoned {
        /// The call whose ticket was dropped.
        call: CallId,
        /// Whoever asked is gone. Otherwise it is there, and does not want the answer any more.
        lost: bool,
    },
    /// Somebody else waits for the same call, and longer: the later deadline holds.
    Extended {
        /// The call that is waited for.
        call: CallId,
        /// When the answer is of no use any more to anybody. Never, if it is nothing.
        deadline: Option<Instant>,
    },
    /// A life has said hello and passed its setup.
    Ready {
        /// Who is ready.
        life: Life,
        /// Spreads the limits of this life, so that siblings do not leave together.
        jitter: Jitter,
    },
    /// A life has given the ending of a call. What the tool raised is an ending too.
    Finished {
        /// Who ran it.
        life: Life,
        /// What has ended.
        call: CallId,
    },
    /// A life is gone, with everything it started.
    Exited {
        /// Who is gone.
        life: Life,
        /// Spreads the pause before the next life.
        jitter: Jitter,
    },
    /// A life that was asked for could not be started at all.
    SpawnFailed {
        /// Who never lived.
        life: Life,
        /// Spreads the pause before the next try.
        jitter: Jitter,
    },
    /// The control thread of a life does not answer. It may be busy, it may be stuck.
    Suspected {
        /// Who is silent.
        life: Life,
    },
    /// A suspected life has answered.
    Recovered {
        /// Who spoke.
        life: Life,
    },
    /// The memory of a life was measured.
    Measured {
        /// Whose memory.
        life: Life,
        /// Resident bytes of its tree.
        resident: u64,
    },
    /// An operator wants fresh lives: of one slot, or of all. Also the way back from FATAL.
    RestartRequested {
        /// One slot, or the whole pool.
        slot: Option<SlotId>,
    },
    /// An operator wants another number of workers.
    Resized {
        /// The new bounds.
        size: Size,
    },
    /// Rules have changed that hold without a new generation: everything but the seats.
    Amended {
        /// The rules from now on; lives that already run keep their limits.
        policy: Box<Checked>,
    },
    /// The code or the settings of the tools have changed: a new generation replaces this one.
    Reloaded {
        /// The rules from now on; lives that already run keep their limits.
        policy: Box<Checked>,
    },
    /// Everything is to end. Said again, the shorter bound holds; zero ends it at once.
    DrainRequested {
        /// Every life has been killed after this long.
        within: Duration,
    },
    /// The drain was a mistake, or is over: serve again.
    ResumeRequested,
    /// Nobody has been there for long enough: lives leave. Nobody is refused.
    Deserted {
        /// Calls that nobody waits for and that were told to finish have so long, or as long as they want.
        within: Option<Duration>,
    },
    /// Somebody is there again.
    Attended,
    /// These lives were there before this pool was. Said before anything else, or not at all.
    Adopted {
        /// Who they are, each in a slot of its own.
        lives: Vec<Adopted>,
    },
    /// An adopted life has said what it does: it is ready, and has these calls.
    Resumed {
        /// Who spoke.
        life: Life,
        /// What runs on it. An id that is already known is ignored.
        calls: Vec<Request>,
        /// Spreads the limits of this life.
        jitter: Jitter,
    },
}

/// What a caller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its name from now on.
    pub call: CallId,
    /// Who asks.
    pub client: ClientId,
    /// When the answer is of no use any more.
    pub deadline: Option<Instant>,
    /// Who goes first.
    pub priority: Priority,
    /// Which life it wants.
    pub affinity: Option<Affinity>,
    /// What it is called when it is tried again.
    pub key: Option<CallKey>,
    /// What its abandonment means.
    pub on_abandon: OnAbandon,
}

impl Request {
    /// A call with no wishes.
    pub fn new(call: CallId, client: ClientId) -> Self {
        Self {
            call,
            client,
            deadline: None,
            priority: Priority::Normal,
            affinity: None,
            key: None,
            on_abandon: OnAbandon::Cancel,
        }
    }
}

/// Who goes first. A lower level is passed over a bounded number of times, so it cannot starve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// When there is time.
    Low,
    /// Like everybody.
    #[default]
    Normal,
    /// Before the others.
    High,
}

/// The wish to run where related calls ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Affinity {
    /// What relates them.
    pub key: AffinityKey,
    /// What to do when that life is busy.
    pub mode: AffinityMode,
}

/// What a call does when the life it belongs to has no free seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AffinityMode {
    /// Runs elsewhere.
    Hint,
    /// Waits for that life and no other.
    StrictQueue,
    /// Is refused at once.
    StrictFailFast,
}

/// What the end of the caller means for the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnAbandon {
    /// It is taken out of the line, or interrupted.
    Cancel,
    /// It goes on, and its answer is kept or dropped by whoever performs the effects.
    Finish,
    /// It goes on if its caller was lost, and not if that has hung up.
    FinishIfLost,
}

/// A roll of the dice that somebody else made: 64 bits, of which each decision uses its own sixteen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Jitter(pub u64);

/// Which decision a share of the dice belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Die {
    Calls,
    Age,
    Idle,
    Memory,
    /// Never rolled together with the others: it shares the bits of `Calls`.
    Backoff,
}

impl Jitter {
    /// Takes between nothing and `percent` of `whole` away.
    pub(crate) fn shorten(self, die: Die, whole: u64, percent: u8) -> u64 {
        let shift = match die {
            Die::Calls | Die::Backoff => 0,
            Die::Age => 16,
            Die::Idle => 32,
            Die::Memory => 48,
        };
        let share = u128::from((self.0 >> shift) & 0xFFFF);
        let cut = u128::from(whole) * u128::from(percent.min(100)) * share / (100 * 0x1_0000);
        whole - u64::try_from(cut).unwrap_or(whole)
    }

    /// The same for a span of time, in whole microseconds.
    pub(crate) fn shorten_span(self, die: Die, whole: Duration, percent: u8) -> Duration {
        let micros = u64::try_from(whole.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.shorten(die, micros, percent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each limit is shortened by dice of its own.
    #[test]
    fn a_die_is_read_where_it_lies() {
        let dice = [(Die::Calls, 0), (Die::Age, 16), (Die::Idle, 32), (Die::Memory, 48)];
        for (die, shift) in dice {
            let jitter = Jitter(0x8000 << shift);
            for (other, at) in dice {
                let expected = if at == shift { 750 } else { 1_000 };
                assert_eq!(jitter.shorten(other, 1_000, 50), expected, "{other:?} of {die:?}");
            }
        }
    }
}
