//! Every way a call can end without a value.
//!
//! The edge is told one of these by whoever ran the call, and never asks further. The first question of an error is
//! "did the tool begin?": a [`Refusal`] and a [`Rejection`] say no, a [`Failure`] says maybe, and what the tool
//! [`Raised`] is an answer like any other. They are types of their own so that nobody mixes them up.
//!
//! The names are those of the machine that decides about pools. Beside them, each carries the evidence that only the
//! side with the processes has: exit status, last words, traceback.

use std::fmt;

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No worker has seen the call.
    Refused(Refusal),
    /// No worker has seen the call, because none comes up, and it is known why.
    Unfit(Unfit),
    /// A worker has seen the call, and there is no answer.
    Failed(Failure),
    /// A worker has looked at the call and did not run it.
    Rejected {
        /// Why.
        reason: Rejection,
        /// The same in the worker's words.
        message: String,
    },
    /// The tool ran and raised.
    Raised(Raised),
    /// The question made no sense, so nobody was asked.
    Invalid(Invalid),
}

/// Why a call never reached a worker. Safe to try again.
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
    /// Strict affinity, and the life it belongs to has no free seat.
    AffinityBusy,
    /// It waited for a life that died.
    AffinityLost,
    /// A call of this key has killed too many workers.
    Quarantined,
    /// No worker lives, and none will without an operator.
    Fatal,
    /// The daemon is stopping and takes nothing new.
    Stopping,
    /// There is no such lease, or no longer.
    LeaseExpired,
    /// Its client has attached again since.
    StaleEpoch,
    /// Only calls of attached clients are taken.
    LeaseRequired,
    /// A call of this key runs, and this kind of call cannot join it.
    KeyRunning,
    /// As many clients are attached as may be.
    TooManyClients,
    /// One peer holds as many leases as one may.
    TooManyLeases,
    /// The client believes the daemon to be in another mode.
    OtherMode,
}

/// Why no worker comes up: the program cannot be started, or it cannot serve the tools.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unfit {
    /// In one sentence.
    pub why: String,
    /// What was raised on the way, or the last lines that were written.
    pub traceback: String,
}

/// Why a call that reached a worker has no answer. It may have had effects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The worker died under it.
    WorkerDied(Death),
    /// Its own deadline passed while it ran.
    DeadlineExceeded {
        /// Where the tool was, if there was time to ask.
        traceback: String,
    },
    /// The worker was killed because another call on it would not give up.
    SiblingOverdue,
    /// The drain reached its bound.
    Drained,
    /// The daemon stopped under it.
    Stopped,
    /// The lease of its client ended under it.
    LeaseEnded,
    /// A rule of the daemon itself was broken.
    Broken {
        /// Which.
        what: String,
    },
}

/// What is known about the end of a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Death {
    /// The status it exited with, if it did.
    pub exit_status: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// Whether it was killed at its memory limit.
    pub out_of_memory: bool,
    /// The last lines it wrote to standard error.
    pub last_lines: Vec<String>,
    /// Where its threads were, if that was asked before it died.
    pub traceback: String,
}

impl fmt::Display for Death {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.out_of_memory, self.signal, self.exit_status) {
            (true, ..) => write!(out, "killed at its memory limit"),
            (false, Some(signal), _) => write!(out, "ended by signal {signal}"),
            (false, None, Some(status)) => write!(out, "exited with status {status}"),
            (false, None, None) => write!(out, "gone"),
        }
    }
}

/// Why a worker did not run a call. The names are those of the worker's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// `UNKNOWN_TOOL`
    UnknownTool,
    /// `BAD_ARGUMENTS`
    BadArguments,
    /// `BAD_PAYLOAD`
    BadPayload,
    /// `BAD_CONTENT_TYPE`
    BadContentType,
    /// `NOT_A_STREAM`
    NotAStream,
    /// `BUSY`
    Busy,
}

/// What a tool raised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Raised {
    /// The qualified name of the class.
    pub exception: String,
    /// What it says.
    pub message: String,
    /// Where it came from.
    pub traceback: String,
    /// What was added to it on its way.
    pub notes: Vec<String>,
    /// It is the cancellation of this very call.
    pub cancelled: bool,
}

/// What is wrong with a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// No pool of this name.
    UnknownPool {
        /// The name, and those there are.
        message: String,
    },
    /// No worker of this name.
    UnknownWorker {
        /// The name.
        message: String,
    },
    /// A field is missing or makes no sense.
    BadField {
        /// Its name, with dots.
        field: String,
        /// What it must be.
        problem: String,
    },
    /// `grpc-timeout` is not a time.
    BadTimeout {
        /// What it is instead.
        value: String,
    },
    /// A message is larger than the edge takes.
    TooLarge {
        /// Bytes that were announced.
        size: u64,
        /// Bytes that may be.
        limit: u64,
    },
    /// A message was begun, or was due, and did not come.
    Stalled,
    /// No service or method of this name.
    UnknownMethod {
        /// The path.
        path: String,
    },
    /// No ending is kept under this key, and no call of it runs.
    UnknownKey,
    /// The new configuration has flaws.
    BadSettings {
        /// All of them.
        problems: String,
    },
    /// The daemon cannot be replaced in place.
    CannotUpgrade {
        /// Why not, and what to do.
        why: String,
    },
    /// What the tool returned cannot be shown to a human's tool.
    NotJson {
        /// Why not.
        problem: String,
    },
}
