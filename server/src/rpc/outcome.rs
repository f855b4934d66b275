//! How a call ended, in the words of the edge: one exhaustive map.

use crate::pool::{Refused, Verdict};
use crate::worker::life::LastWords;
use crate::worker::words::{Raised, Said, Value};
use sidewinder_core as core;
use sidewinder_edge::outcome::{Death, Failure, Outcome, Refusal, Rejection, Unfit};
use sidewinder_keeper_wire::Ending;

/// What a worker said last, or what it said between.
pub(super) enum Spoken {
    Item(Value),
    Answer(Value),
    End,
    Want,
}

/// Tells endings without a value from the rest. A call that was given up when it was `late` ended with its deadline.
pub(super) fn spoken(said: Said, late: bool) -> Result<Spoken, Outcome> {
    match said {
        Said::Item(value) => Ok(Spoken::Item(value)),
        Said::Answer(value) => Ok(Spoken::Answer(value)),
        Said::End => Ok(Spoken::End),
        // Kept where inputs are given; nobody passes it on.
        Said::Want(_) => Ok(Spoken::Want),
        Said::Raised(raised) if raised.cancelled && late => {
            Err(Outcome::Failed(Failure::DeadlineExceeded { traceback: raised.traceback }))
        }
        Said::Raised(raised) => Err(Outcome::Raised(raised_as(*raised))),
        Said::Rejected(reason, message) => Err(rejected(&reason, message)),
    }
}

pub(super) fn refused(refused: &Refused) -> Outcome {
    if let (core::Refusal::Fatal, Some((why, traceback))) = (refused.refusal, &refused.unfit) {
        return Outcome::Unfit(Unfit { why: why.clone(), traceback: traceback.clone() });
    }
    Outcome::Refused(match refused.refusal {
        core::Refusal::QueueFull => Refusal::QueueFull,
        core::Refusal::ClientLimit => Refusal::ClientLimit,
        core::Refusal::Draining => Refusal::Draining,
        core::Refusal::DeadlinePassed => Refusal::DeadlinePassed,
        core::Refusal::AffinityBusy => Refusal::AffinityBusy,
        core::Refusal::AffinityLost => Refusal::AffinityLost,
        core::Refusal::Quarantined => Refusal::Quarantined,
        core::Refusal::Fatal => Refusal::Fatal,
    })
}

pub(super) fn failed(verdict: Verdict) -> Outcome {
    let words = verdict.words.map(|words| *words).unwrap_or_default();
    Outcome::Failed(match verdict.failure {
        core::Failure::WorkerDied => match words.fault {
            Some(what) => Failure::Broken { what },
            None => Failure::WorkerDied(death(words)),
        },
        core::Failure::DeadlineExceeded => Failure::DeadlineExceeded { traceback: verdict.traceback },
        core::Failure::SiblingOverdue => Failure::SiblingOverdue,
        core::Failure::Drained => Failure::Drained,
    })
}

fn death(words: LastWords) -> Death {
    let (exit_status, signal) = match words.ending {
        Some(Ending::Code(code)) => (Some(code), None),
        Some(Ending::Signal(signal)) => (None, Some(signal)),
        None => (None, None),
    };
    Death {
        exit_status,
        signal,
        out_of_memory: words.oom,
        last_lines: words.stderr,
        traceback: String::new(),
    }
}

fn raised_as(raised: Raised) -> sidewinder_edge::outcome::Raised {
    sidewinder_edge::outcome::Raised {
        exception: raised.kind,
        message: raised.message,
        traceback: raised.traceback,
        notes: raised.notes,
        cancelled: raised.cancelled,
    }
}

fn rejected(reason: &str, message: String) -> Outcome {
    let reason = match reason {
        "UNKNOWN_TOOL" => Rejection::UnknownTool,
        "BAD_ARGUMENTS" => Rejection::BadArguments,
        "BAD_PAYLOAD" | "UNSUPPORTED" => Rejection::BadPayload,
        "BAD_CONTENT_TYPE" => Rejection::BadContentType,
        "NOT_A_STREAM" => Rejection::NotAStream,
        "BUSY" => Rejection::Busy,
        other => {
            let what = format!("the worker rejected the call for a reason nobody knows: {other}: {message}");
            return Outcome::Failed(Failure::Broken { what });
        }
    };
    Outcome::Rejected { reason, message }
}
