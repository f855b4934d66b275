//! From an [`Outcome`] to a gRPC status: the one place that names a code.
//!
//! ```text
//!   outcome ─▶ row (code, reason, did it run, when to try again)     one table, no wildcard arm
//!           ─▶ sentence                                              for people
//!           ─▶ evidence                                              tracebacks, last words
//!                 └─▶ google.rpc: ErrorInfo, RetryInfo, DebugInfo, BadRequest
//! ```
//!
//! The codes follow one thought: **what a client library does on its own must be right.** Many retry `UNAVAILABLE`
//! without asking, so it stands only where the tool did not begin. What may have had effects is `INTERNAL`, `ABORTED`
//! or a deadline. What an operator has to mend is `FAILED_PRECONDITION`. What a tool raised is `UNKNOWN`, as in every
//! other gRPC server for Python.
//!
//! A status travels in trailers, and many clients refuse trailers beyond 8 KiB *and lose the status with them*. So
//! everything here is cut ([`SENTENCE_MAX`], [`EVIDENCE_MAX`], [`FACT_MAX`]): of a sentence the beginning is kept, of
//! a traceback the end.

use crate::outcome::{Death, Failure, Invalid, Outcome, Raised, Refusal, Rejection, Unfit};
use sidewinder_proto::v1::error::Reason;
use std::collections::HashMap;
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The domain of every `ErrorInfo`.
pub const DOMAIN: &str = "sidewinder";
/// Bytes of a status message. Each may become three on the wire.
pub const SENTENCE_MAX: usize = 400;
/// Bytes of traceback, notes and last words together.
pub const EVIDENCE_MAX: usize = 2_500;
/// Bytes of one value in the metadata of `ErrorInfo`.
pub const FACT_MAX: usize = 100;

const SOON: Option<Duration> = Some(Duration::from_millis(100));
const AFTER_A_WHILE: Option<Duration> = Some(Duration::from_secs(1));
const AT_ONCE: Option<Duration> = Some(Duration::ZERO);
const NEVER: Option<Duration> = None;

/// Which call the outcome belongs to, as far as that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whose {
    /// Its pool.
    pub pool: String,
    /// Its tool.
    pub tool: String,
    /// The worker that had it, as `slot.number`.
    pub worker: String,
}

/// Whether the tool began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ran {
    No,
    Maybe,
}

/// What programs read of an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    code: Code,
    reason: Reason,
    ran: Ran,
    retry: Option<Duration>,
}

/// The status that a client gets for `outcome`.
pub fn status(outcome: &Outcome, whose: &Whose) -> Status {
    let row = row(outcome);
    let mut details = ErrorDetails::new();
    details.set_error_info(row.reason.as_str_name(), DOMAIN, facts(outcome, whose, row.ran));
    if row.retry.is_some() {
        details.set_retry_info(row.retry);
    }
    if let Outcome::Invalid(Invalid::BadField { field, problem }) = outcome {
        details.add_bad_request_violation(head(field, FACT_MAX), head(problem, SENTENCE_MAX));
    }
    let (stack, words) = evidence(outcome);
    if !stack.is_empty() || !words.is_empty() {
        details.set_debug_info(stack, words);
    }
    Status::with_error_details(row.code, head(&sentence(outcome, whose), SENTENCE_MAX), details)
}

/// The same for an outcome that belongs to no call.
pub fn of(outcome: &Outcome) -> Status {
    status(outcome, &Whose::default())
}

/// The word for an outcome: what `ErrorInfo` calls its reason.
pub fn reason(outcome: &Outcome) -> &'static str {
    row(outcome).reason.as_str_name()
}

fn row(outcome: &Outcome) -> Row {
    let (code, reason, ran, retry) = match outcome {
        Outcome::Refused(refusal) => refused(*refusal),
        Outcome::Unfit(_) => (Code::FailedPrecondition, Reason::Unfit, Ran::No, NEVER),
        Outcome::Failed(failure) => failed(failure),
        Outcome::Rejected { reason, message: _ } => rejected(*reason),
        Outcome::Raised(raised) if raised.cancelled => {
            (Code::Cancelled, Reason::Cancelled, Ran::Maybe, NEVER)
        }
        Outcome::Raised(_) => (Code::Unknown, Reason::Raised, Ran::Maybe, NEVER),
        Outcome::Invalid(invalid) => asked_wrongly(invalid),
    };
    Row { code, reason, ran, retry }
}

type Cells = (Code, Reason, Ran, Option<Duration>);

fn refused(refusal: Refusal) -> Cells {
    match refusal {
        Refusal::QueueFull => (Code::ResourceExhausted, Reason::QueueFull, Ran::No, SOON),
        Refusal::ClientLimit => (Code::ResourceExhausted, Reason::ClientLimit, Ran::No, SOON),
        Refusal::Draining => (Code::Unavailable, Reason::Draining, Ran::No, AFTER_A_WHILE),
        Refusal::DeadlinePassed => (Code::DeadlineExceeded, Reason::DeadlinePassed, Ran::No, NEVER),
        Refusal::AffinityBusy => (Code::ResourceExhausted, Reason::AffinityBusy, Ran::No, SOON),
        Refusal::AffinityLost => (Code::Aborted, Reason::AffinityLost, Ran::No, AT_ONCE),
        Refusal::Quarantined => (Code::FailedPrecondition, Reason::Quarantined, Ran::No, NEVER),
        Refusal::Fatal => (Code::FailedPrecondition, Reason::Fatal, Ran::No, NEVER),
        Refusal::Stopping => (Code::Unavailable, Reason::Stopping, Ran::No, AFTER_A_WHILE),
        Refusal::LeaseExpired => (Code::FailedPrecondition, Reason::LeaseExpired, Ran::No, NEVER),
        Refusal::StaleEpoch => (Code::FailedPrecondition, Reason::StaleEpoch, Ran::No, NEVER),
        Refusal::LeaseRequired => (Code::FailedPrecondition, Reason::LeaseRequired, Ran::No, NEVER),
        Refusal::KeyRunning => (Code::Aborted, Reason::KeyRunning, Ran::No, AFTER_A_WHILE),
        Refusal::TooManyClients => (Code::ResourceExhausted, Reason::TooManyClients, Ran::No, AFTER_A_WHILE),
        Refusal::TooManyLeases => (Code::ResourceExhausted, Reason::TooManyLeases, Ran::No, AFTER_A_WHILE),
        Refusal::OtherMode => (Code::FailedPrecondition, Reason::OtherMode, Ran::No, NEVER),
    }
}

fn failed(failure: &Failure) -> Cells {
    match failure {
        Failure::WorkerDied(Death { out_of_memory: true, .. }) => {
            (Code::ResourceExhausted, Reason::OutOfMemory, Ran::Maybe, NEVER)
        }
        Failure::WorkerDied(_) => (Code::Internal, Reason::WorkerDied, Ran::Maybe, NEVER),
        Failure::DeadlineExceeded { .. } => {
            (Code::DeadlineExceeded, Reason::DeadlineExceeded, Ran::Maybe, NEVER)
        }
        Failure::SiblingOverdue => (Code::Aborted, Reason::SiblingOverdue, Ran::Maybe, NEVER),
        Failure::Drained => (Code::Aborted, Reason::Drained, Ran::Maybe, NEVER),
        Failure::Stopped => (Code::Aborted, Reason::Stopping, Ran::Maybe, NEVER),
        Failure::LeaseEnded => (Code::Aborted, Reason::LeaseExpired, Ran::Maybe, NEVER),
        Failure::Broken { .. } => (Code::Internal, Reason::Broken, Ran::Maybe, NEVER),
    }
}

fn rejected(rejection: Rejection) -> Cells {
    match rejection {
        Rejection::UnknownTool => (Code::NotFound, Reason::UnknownTool, Ran::No, NEVER),
        Rejection::BadArguments => (Code::InvalidArgument, Reason::BadArguments, Ran::No, NEVER),
        Rejection::BadPayload => (Code::InvalidArgument, Reason::BadPayload, Ran::No, NEVER),
        Rejection::BadContentType => (Code::InvalidArgument, Reason::BadContentType, Ran::No, NEVER),
        Rejection::NotAStream => (Code::InvalidArgument, Reason::NotAStream, Ran::No, NEVER),
        Rejection::Busy => (Code::Unavailable, Reason::Busy, Ran::No, SOON),
    }
}

fn asked_wrongly(invalid: &Invalid) -> Cells {
    match invalid {
        Invalid::UnknownPool { .. } => (Code::NotFound, Reason::UnknownPool, Ran::No, NEVER),
        Invalid::UnknownWorker { .. } => (Code::NotFound, Reason::UnknownWorker, Ran::No, NEVER),
        Invalid::BadField { .. } => (Code::InvalidArgument, Reason::BadRequest, Ran::No, NEVER),
        Invalid::BadTimeout { .. } => (Code::InvalidArgument, Reason::BadTimeout, Ran::No, NEVER),
        Invalid::TooLarge { .. } => (Code::ResourceExhausted, Reason::TooLarge, Ran::Maybe, NEVER),
        Invalid::Stalled => (Code::Aborted, Reason::Stalled, Ran::Maybe, NEVER),
        Invalid::UnknownMethod { .. } => (Code::Unimplemented, Reason::UnknownMethod, Ran::No, NEVER),
        Invalid::UnknownKey => (Code::NotFound, Reason::UnknownKey, Ran::No, NEVER),
        Invalid::BadSettings { .. } => (Code::FailedPrecondition, Reason::BadSettings, Ran::No, NEVER),
        Invalid::CannotUpgrade { .. } => (Code::FailedPrecondition, Reason::CannotUpgrade, Ran::No, NEVER),
        Invalid::NotJson { .. } => (Code::FailedPrecondition, Reason::NotJson, Ran::Maybe, NEVER),
    }
}

fn facts(outcome: &Outcome, whose: &Whose, ran: Ran) -> HashMap<String, String> {
    let mut facts = HashMap::new();
    let mut know = |name: &str, value: &str| {
        if !value.is_empty() {
            facts.insert(name.to_owned(), head(value, FACT_MAX));
        }
    };
    know(
        "ran",
        match ran {
            Ran::No => "no",
            Ran::Maybe => "maybe",
        },
    );
    know("pool", &whose.pool);
    know("tool", &whose.tool);
    know("worker", &whose.worker);
    match outcome {
        Outcome::Failed(Failure::WorkerDied(death)) => {
            know("exit_status", &death.exit_status.map(|status| status.to_string()).unwrap_or_default());
            know("signal", &death.signal.map(|signal| signal.to_string()).unwrap_or_default());
        }
        Outcome::Raised(raised) => know("exception", &raised.exception),
        Outcome::Invalid(Invalid::BadField { field, .. }) => know("field", field),
        Outcome::Failed(_)
        | Outcome::Refused(_)
        | Outcome::Unfit(_)
        | Outcome::Rejected { .. }
        | Outcome::Invalid(_) => {}
    }
    facts
}

fn sentence(outcome: &Outcome, whose: &Whose) -> String {
    match outcome {
        Outcome::Refused(refusal) => refusal_sentence(*refusal, &whose.pool),
        Outcome::Unfit(Unfit { why, .. }) => format!(
            "no worker of pool `{pool}` comes up: {why} (once that is mended, `sidewinder restart {pool}` tries again)",
            pool = whose.pool
        ),
        Outcome::Failed(failure) => failure_sentence(failure),
        Outcome::Rejected { reason: _, message } => message.clone(),
        Outcome::Raised(Raised { exception, message, .. }) if message.is_empty() => exception.clone(),
        Outcome::Raised(Raised { exception, message, .. }) => format!("{exception}: {message}"),
        Outcome::Invalid(invalid) => invalid_sentence(invalid),
    }
}

fn refusal_sentence(refusal: Refusal, pool: &str) -> String {
    match refusal {
        Refusal::QueueFull => format!("the line of pool `{pool}` is full"),
        Refusal::ClientLimit => format!("this client has as many calls waiting in pool `{pool}` as it may"),
        Refusal::Draining => format!("pool `{pool}` is draining"),
        Refusal::DeadlinePassed => format!("the deadline passed while waiting for a worker of pool `{pool}`"),
        Refusal::AffinityBusy => "the worker that this affinity key belongs to has no free seat".to_owned(),
        Refusal::AffinityLost => "the worker that this affinity key belonged to has died".to_owned(),
        Refusal::Quarantined => {
            "calls of this idempotency key have killed too many workers, and are refused for a time"
                .to_owned()
        }
        Refusal::Fatal => format!(
            "no worker of pool `{pool}` comes up: `sidewinder status` says why, and `sidewinder restart {pool}` tries again"
        ),
        Refusal::Stopping => "the daemon is stopping".to_owned(),
        Refusal::LeaseExpired => "there is no such lease, or no longer: attach again".to_owned(),
        Refusal::StaleEpoch => "this client has attached again since: use the epoch of that".to_owned(),
        Refusal::LeaseRequired => {
            "this daemon takes calls of attached clients only: attach, and say lease and epoch".to_owned()
        }
        Refusal::KeyRunning => {
            "a call of this idempotency key runs: join it by Call, or ask for its Result".to_owned()
        }
        Refusal::TooManyClients => "as many clients are attached as may be: see clients.max".to_owned(),
        Refusal::TooManyLeases => {
            "this peer holds as many leases as one may: detach, or see clients.per_peer".to_owned()
        }
        Refusal::OtherMode => {
            "the client expects another mode of the daemon: see the mode in `sidewinder status`".to_owned()
        }
    }
}

fn failure_sentence(failure: &Failure) -> String {
    match failure {
        Failure::WorkerDied(death) => format!("the worker died under the call: {death}"),
        Failure::DeadlineExceeded { .. } => "the deadline passed while the tool ran".to_owned(),
        Failure::SiblingOverdue => {
            "the worker was killed because another call on it would not give up".to_owned()
        }
        Failure::Drained => "the drain reached its bound while the tool ran".to_owned(),
        Failure::Stopped => "the daemon stopped while the tool ran".to_owned(),
        Failure::LeaseEnded => "the lease of the client ended while the tool ran".to_owned(),
        Failure::Broken { what } => format!("a rule of the daemon was broken: {what}"),
    }
}

fn invalid_sentence(invalid: &Invalid) -> String {
    match invalid {
        Invalid::UnknownPool { message } | Invalid::UnknownWorker { message } => message.clone(),
        Invalid::BadField { field, problem } => format!("{field}: {problem}"),
        Invalid::BadTimeout { value } => {
            format!("grpc-timeout `{value}` is not at most eight digits and one of H M S m u n")
        }
        Invalid::TooLarge { size, limit } => {
            format!("a message of {size} bytes is larger than the {limit} bytes that are taken")
        }
        Invalid::Stalled => "the request did not go on in time".to_owned(),
        Invalid::UnknownMethod { path } => format!("there is no method `{path}`"),
        Invalid::UnknownKey => {
            "no ending is kept under this idempotency key, and no call of it runs".to_owned()
        }
        Invalid::BadSettings { problems } => format!("nothing was changed: {problems}"),
        Invalid::CannotUpgrade { why } => format!("nothing was changed: {why}"),
        Invalid::NotJson { problem } => format!("the value cannot be shown as JSON: {problem}"),
    }
}

/// Tracebacks by line, and other words.
fn evidence(outcome: &Outcome) -> (Vec<String>, String) {
    match outcome {
        Outcome::Raised(raised) => cut(&raised.traceback, &raised.notes.join("\n")),
        Outcome::Unfit(unfit) => cut(&unfit.traceback, ""),
        Outcome::Failed(Failure::WorkerDied(death)) => cut(&death.traceback, &death.last_lines.join("\n")),
        Outcome::Failed(Failure::DeadlineExceeded { traceback }) => cut(traceback, ""),
        Outcome::Failed(
            Failure::SiblingOverdue
            | Failure::Drained
            | Failure::Stopped
            | Failure::LeaseEnded
            | Failure::Broken { .. },
        )
        | Outcome::Refused(_)
        | Outcome::Rejected { .. }
        | Outcome::Invalid(_) => (Vec::new(), String::new()),
    }
}

/// Both get half of the room, and each what the other leaves.
fn cut(traceback: &str, words: &str) -> (Vec<String>, String) {
    let half = EVIDENCE_MAX / 2;
    let words_room = EVIDENCE_MAX - traceback.len().min(half);
    let words = tail(words, words_room);
    // A line costs two bytes more than its text.
    let mut room = EVIDENCE_MAX - words.len();
    let mut stack: Vec<String> = Vec::new();
    for line in traceback.trim_end().lines().rev() {
        let Some(rest) = room.checked_sub(line.len() + 3) else {
            stack.push(tail(line, room.saturating_sub(3)));
            break;
        };
        room = rest;
        stack.push(line.to_owned());
    }
    stack.reverse();
    (stack, words)
}

fn head(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(max.saturating_sub('…'.len_utf8()));
    format!("{}…", &text[..end])
}

fn tail(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let start = text.ceil_char_boundary(text.len() - max.saturating_sub('…'.len_utf8()));
    format!("…{}", &text[start..])
}

#[cfg(test)]
mod tests;
