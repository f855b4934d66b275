//! Calls with a key and one answer: run once, joined, and kept for whoever comes back.
//!
//! The call is run by nobody's own task, so that it can outlive the one who asked first. Its ticket hears of an
//! abandonment when the last one who waited is gone.

use super::CallsDoor;
use super::running::Running;
use crate::endings::{Alone, Ending, Joined, Kept, Key, Taken, Waiters};
use crate::pool::{Conversation, Lost};
use crate::presence::Caller;
use crate::rpc::outcome;
use crate::rpc::parse::{Beside, Parsed, bad};
use crate::worker::words::Value;
use sidewinder_core::{Event, OnAbandon};
use sidewinder_edge::outcome::{Failure, Invalid, Outcome, Refusal};
use sidewinder_edge::status::{self, Whose};
use sidewinder_proto::v1;
use std::pin::pin;
use std::sync::Arc;
use tonic::Status;

/// How a call with a key ended: as all who joined it hear.
pub(crate) type Told = Arc<Result<(Value, v1::Ran), (Outcome, Whose)>>;

/// Bytes of a key.
pub(super) const KEY_MAX: usize = 256;

impl CallsDoor {
    /// Joins the call of this key, or starts it, and waits for its ending.
    pub(super) async fn keyed(
        &self,
        key: Key,
        parsed: Parsed,
        beside: &Beside,
        mut caller: Caller,
    ) -> Result<(Value, v1::Ran), Status> {
        self.outliving.all_known().await;
        let of = format!("{} {}", parsed.whose.pool, parsed.whose.tool);
        let lost = caller.lost(beside.pulse.clone());
        let goes_on = goes_on(parsed.request.on_abandon, lost);
        let start = |waiters, key| drive(parsed, waiters, key);
        let joined = self.endings.join_or_start(key, &of, beside.deadline, goes_on, start);
        told(joined.map_err(|taken| refuse(&taken))?, &mut caller).await
    }

    /// What became of the call of this key.
    pub(super) async fn result_of(
        &self,
        key: Key,
        beside: &Beside,
        mut caller: Caller,
    ) -> Result<(Value, v1::Ran), Status> {
        self.outliving.all_known().await;
        let unknown = || status::of(&Outcome::Invalid(Invalid::UnknownKey));
        let joined = self.endings.find(key, beside.deadline).ok_or_else(unknown)?;
        told(joined, &mut caller).await
    }
}

/// Whether a call goes on when this caller lets go of it as the last.
fn goes_on(on_abandon: OnAbandon, lost: Lost) -> impl Fn() -> bool + Send + Sync + 'static {
    move || match on_abandon {
        OnAbandon::Cancel => false,
        OnAbandon::Finish => true,
        OnAbandon::FinishIfLost => lost.is_so(),
    }
}

pub(super) fn refuse(taken: &Taken) -> Status {
    match taken {
        Taken::Running => status::of(&Outcome::Refused(Refusal::KeyRunning)),
        Taken::Answered => {
            let problem = "be a new one: an answer is kept under this, which Call and Result give";
            crate::rpc::said(bad("call.idempotency_key", problem))
        }
        Taken::Other(of) => {
            let problem = format!("be of one call only: this one is of {of}");
            crate::rpc::said(bad("call.idempotency_key", &problem))
        }
    }
}

async fn told(joined: Joined<Told>, caller: &mut Caller) -> Result<(Value, v1::Ran), Status> {
    let late = || Outcome::Failed(Failure::DeadlineExceeded { traceback: String::new() });
    let deadline = joined.deadline();
    let ending = tokio::select! {
        biased;
        ending = joined.ending() => ending,
        () = caller.ended() => return Err(status::of(&Outcome::Failed(Failure::LeaseEnded))),
        () = deadline => return Err(status::of(&late())),
    };
    match ending.as_deref() {
        Some(Ok(answer)) => Ok(answer.clone()),
        Some(Err((outcome, whose))) => Err(status::status(outcome, whose)),
        // Everybody else had let go, and the call was given up before this one came.
        None => Err(status::of(&Outcome::Refused(Refusal::KeyRunning))),
    }
}

/// Runs the call to its ending, or until nobody wants it.
async fn drive(parsed: Parsed, waiters: Waiters, key: Arc<Alone<Told>>) -> Option<Ending<Told>> {
    let Parsed { pool, mut whose, mut request, mut ask, origin } = parsed;
    let (call, mut deadline) = (request.call, request.deadline);
    // Told again once it is sure that the pool knows the call.
    let extend = async |deadline| pool.operate(Event::Extended { call, deadline }).await;
    // Dropping it here means that nobody wants it; that somebody may come back for it is said by `leave`.
    request.on_abandon = OnAbandon::FinishIfLost;
    let mut meter = pool.meter().call(&ask.tool, deadline, &origin);
    ask.traceparent = meter.traceparent().or_else(|| ask.traceparent.take());
    let mut left = false;
    let conversation = {
        let mut begun = pin!(Conversation::begin(&pool, request, ask, Lost::never(), Some(Box::new(key))));
        loop {
            tokio::select! {
                biased;
                begun = &mut begun => break begun,
                goes_on = waiters.gone(), if !left => {
                    if !goes_on {
                        return None;
                    }
                    left = true;
                }
                until = waiters.longer(deadline) => {
                    deadline = until;
                    extend(until).await;
                }
            }
        }
    };
    let conversation = match conversation {
        Ok(conversation) => conversation,
        Err(refused) => {
            let outcome = outcome::refused(&refused);
            meter.end(status::reason(&outcome));
            return Some(ending(Err((outcome, whose))));
        }
    };
    conversation.worker().clone_into(&mut whose.worker);
    meter.began(&whose.worker);
    if left {
        conversation.leave();
    }
    let mut running = Running::alone(conversation, meter, whose, deadline);
    let ended = loop {
        tokio::select! {
            biased;
            ended = running.ending() => break ended,
            goes_on = waiters.gone(), if !left => {
                if !goes_on {
                    return None;
                }
                left = true;
                running.conversation.leave();
            }
            until = waiters.longer(deadline) => {
                deadline = until;
                running.deadline = until;
                extend(until).await;
            }
        }
    };
    Some(ending(match ended {
        Ok(value) => Ok((value, running.ran())),
        Err(outcome) => Err((outcome, running.whose.clone())),
    }))
}

/// What the tool gave or raised is an answer. What may have had effects is told on request. The rest never was.
pub(super) fn ending(ended: Result<(Value, v1::Ran), (Outcome, Whose)>) -> Ending<Told> {
    let (bytes, kept) = match &ended {
        Ok((value, _)) => (value.body.len(), Kept::Answer),
        // Whoever cancelled it was not its caller, who would not have waited for this.
        Err((outcome @ Outcome::Raised(raised), _)) if raised.cancelled => (weight(outcome), Kept::Failure),
        Err((outcome @ Outcome::Raised(_), _)) => (weight(outcome), Kept::Answer),
        Err((outcome @ Outcome::Failed(_), _)) => (weight(outcome), Kept::Failure),
        Err((
            Outcome::Refused(_) | Outcome::Unfit(_) | Outcome::Rejected { .. } | Outcome::Invalid(_),
            _,
        )) => (0, Kept::No),
    };
    Ending { value: Arc::new(ended), bytes, kept }
}

/// Bytes of the words of an outcome, about.
fn weight(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Raised(raised) => {
            let notes: usize = raised.notes.iter().map(String::len).sum();
            raised.exception.len() + raised.message.len() + raised.traceback.len() + notes
        }
        Outcome::Failed(Failure::WorkerDied(death)) => {
            death.traceback.len() + death.last_lines.iter().map(String::len).sum::<usize>()
        }
        Outcome::Failed(Failure::DeadlineExceeded { traceback }) => traceback.len(),
        Outcome::Failed(_)
        | Outcome::Refused(_)
        | Outcome::Unfit(_)
        | Outcome::Rejected { .. }
        | Outcome::Invalid(_) => 0,
    }
}
