//! Decisions, in the imperative: everything a pool can ever want.
//!
//! `Refuse`, `Fail`, `Answer` and `Forget` are endings: each call gets exactly one of them.
//! An error answers "did a worker see it?": a [`Refusal`] never reached one and is safe to retry,
//! a [`Failure`] may have had effects. They are two types so that nobody can mix them up.

use crate::id::{CallId, CallKey, Generation, Life, SlotId};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Start a process.
    Spawn {
        /// Its name.
        life: Life,
        /// The code it is to run.
        generation: Generation,
    },
    /// Lend the life to the call.
    Assign {
        /// Who may talk.
        call: CallId,
        /// To whom.
        life: Life,
    },
    /// Ending: tell the caller that no worker has seen the call.
    Refuse {
        /// Whose.
        call: CallId,
        /// Why.
        refusal: Refusal,
    },
    /// Ending: tell the caller that a worker has seen the call and there is no answer.
    Fail {
        /// Whose.
        call: CallId,
        /// Why.
        failure: Failure,
    },
    /// Ending: what the worker gave is the answer.
    Answer {
        /// Whose.
        call: CallId,
    },
    /// Ending: nobody waits; drop what was kept for it.
    Forget {
        /// Whose.
        call: CallId,
    },
    /// Ask the tool to give up this call. The life is killed if it does not within its grace.
    Interrupt {
        /// Who runs it.
        life: Life,
        /// What it is to give up.
        call: CallId,
    },
    /// Ask an idle life to leave: teardown, SIGTERM. It is killed if it does not within its grace.
    Stop {
        /// Who.
        life: Life,
        /// Why.
        why: Leave,
    },
    /// Kill the whole tree of a life, after taking what evidence there is.
    Kill {
        /// Who.
        life: Life,
        /// Why.
        why: KillCause,
    },
    /// Tell operators.
    Report(Notice),
    /// The drain is over: no life is left.
    Halt,
}

/// Why a call never reached a worker. Safe to retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The line is full, and this client already has its share of it.
    QueueFull,
    /// This client has as many calls waiting as it may.
    ClientLimit,
    /// The pool is on its way out.
    Draining,
    /// The deadline passed before there was a free seat.
    DeadlinePassed,
    /// `StrictFailFast`, and the life it belongs to has no free seat.
    AffinityBusy,
    /// It waited for a life that died.
    AffinityLost,
    /// A call of this key has killed too many workers.
    Quarantined,
    /// No worker lives, and none will without an operator.
    Fatal,
}

/// Why a call that reached a worker has no answer. It may have had effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The worker died under it.
    WorkerDied,
    /// Its own deadline passed while it ran.
    DeadlineExceeded,
    /// The worker was killed because another call on it would not give up.
    SiblingOverdue,
    /// The drain reached its bound.
    Drained,
}

/// Why a life is asked to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Leave {
    /// It has begun as many calls as it may.
    Calls,
    /// It is old.
    Age,
    /// It has been idle for long and may hold what it no longer needs.
    Idle,
    /// It has grown.
    Memory,
    /// An operator asked for a fresh one.
    Restart,
    /// Its code or settings are of an older generation.
    Reload,
    /// There are more lives than work.
    ScaleDown,
    /// There are more lives than the new size allows.
    Resize,
    /// A call on it would not give up; it goes when its siblings have ended.
    Overdue,
    /// The pool is on its way out.
    Drain,
    /// Nobody is there who might call.
    Deserted,
}

/// Why a life is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KillCause {
    /// It was not ready in time.
    StartTimeout,
    /// This call would not give up.
    Overdue {
        /// The one that was interrupted in vain.
        call: CallId,
    },
    /// It was asked to leave and did not.
    StopTimeout,
    /// It was idle and silent.
    Stuck,
    /// The drain reached its bound.
    Drain,
}

/// What operators want to know and nobody has to act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Notice {
    /// This slot has given up until a restart is requested.
    SlotFatal {
        /// Which.
        slot: SlotId,
    },
    /// This generation never came up; the whole pool has given up on it.
    GenerationFatal {
        /// Which.
        generation: Generation,
    },
    /// Killed, and still there: uninterruptible sleep. Its place is not free.
    Unkillable {
        /// Who.
        life: Life,
    },
    /// Calls of this key are refused from now on, for a time.
    Quarantined {
        /// Which.
        key: CallKey,
    },
    /// The line is full: calls are refused.
    Saturated,
    /// Half of the line is free again.
    Recovered,
    /// A life of this generation has been ready, and none of an older one is left.
    Renewed {
        /// The generation that serves now.
        generation: Generation,
    },
}
