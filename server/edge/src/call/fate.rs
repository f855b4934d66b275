//! What the edge itself decides about one call, and how the parts of the call hear of it.
//!
//! The parts of a call (its answer, then its outbound body) are polled inside the task of its stream, below the watch
//! that [`watch`] is. They find the fate of their call in a task-local, so nothing has to be threaded through the
//! HTTP library between them.

use super::turn::Turns;
use crate::limits::Limits;
use crate::outcome::{Failure, Outcome, Refusal};
use crate::server::Phase;
use crate::tally::Tally;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Context;
use std::time::Instant;
use tokio::sync::watch::Receiver;
use tokio::time::{sleep, sleep_until};

tokio::task_local! {
    static CURRENT: Arc<Fate>;
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The fate of one call.
#[derive(Default)]
pub(crate) struct Fate {
    terms: Mutex<Terms>,
    verdict: OnceLock<Outcome>,
    beside: Mutex<Option<Work>>,
    /// It has had no turn yet.
    is_given: AtomicBool,
}

impl fmt::Debug for Fate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Fate").field("verdict", &self.verdict).finish_non_exhaustive()
    }
}

/// There is no call here that anything could be done beside of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoCall;

/// Does this in the task of the call that is being answered, whether or not the reader of its answer takes anything, and
/// always before the answer goes on: what it finds there has been seen by the answer in the same turn of the task. A call
/// has one at most; it ends with its call.
pub fn beside(work: impl Future<Output = ()> + Send + 'static) -> Result<(), NoCall> {
    let fate = CURRENT.try_with(Arc::clone).map_err(|_| NoCall)?;
    *fate.beside.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::pin(work));
    fate.is_given.store(true, Ordering::Relaxed);
    Ok(())
}

#[derive(Clone, Copy, Debug, Default)]
struct Terms {
    ends: Option<Instant>,
    endless: bool,
}

impl Fate {
    /// Of the call whose task this is. Outside of one, nothing will ever happen to it.
    pub(crate) fn current() -> Arc<Self> {
        CURRENT.try_with(Arc::clone).unwrap_or_default()
    }

    /// The headers are there: it ends then, and it is endless or not.
    pub(crate) fn begin(&self, ends: Option<Instant>, endless: bool) {
        *self.terms.lock().unwrap_or_else(PoisonError::into_inner) = Terms { ends, endless };
    }

    /// How it is to end, once that is decided.
    pub(crate) fn verdict(&self) -> Option<&Outcome> {
        self.verdict.get()
    }

    /// Goes on with what is done beside the call.
    fn poll_beside(&self, context: &mut Context<'_>) {
        let mut beside = self.beside.lock().unwrap_or_else(PoisonError::into_inner);
        if beside.as_mut().is_some_and(|work| work.as_mut().poll(context).is_ready()) {
            *beside = None;
        }
    }

    fn terms(&self) -> Terms {
        *self.terms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the edge has to end the call.
    async fn strikes(&self, phase: &mut Receiver<Phase>) -> Outcome {
        let terms = self.terms();
        let late = async {
            match terms.ends {
                Some(ends) => sleep_until(ends.into()).await,
                None => std::future::pending().await,
            }
        };
        // An endless stream is no reason to wait; what runs has until the bound.
        let (last, verdict) = if terms.endless {
            (Phase::Draining, Outcome::Refused(Refusal::Stopping))
        } else {
            (Phase::Ending, Outcome::Failed(Failure::Stopped))
        };
        tokio::select! {
            () = late => Outcome::Failed(Failure::DeadlineExceeded { traceback: String::new() }),
            _ = phase.wait_for(|phase| *phase >= last) => verdict,
        }
    }
}

/// Runs a stream to its end, or to the end that the edge sets it.
pub(crate) async fn watch(
    stream: impl Future<Output = ()>,
    limits: Arc<Limits>,
    tally: Arc<Tally>,
    mut phase: Receiver<Phase>,
) {
    let fate = Arc::new(Fate::default());
    let mut stream = pin!(CURRENT.scope(Arc::clone(&fate), stream));
    let mut turns = Turns::default();
    let mut stream = pin!(poll_fn(|context| turns.poll(context, |context| {
        fate.poll_beside(context);
        let polled = stream.as_mut().poll(context);
        // Work that has only now been given has its first turn before the next one of the answer.
        if polled.is_pending() && fate.is_given.swap(false, Ordering::Relaxed) {
            context.waker().wake_by_ref();
        }
        polled
    })));
    // The stream goes first: its first poll reads the headers and sets the terms.
    let verdict = tokio::select! {
        biased;
        () = &mut stream => return,
        verdict = fate.strikes(&mut phase) => verdict,
    };
    tally.cut.one_more();
    if fate.verdict.set(verdict).is_err() {
        return;
    }
    tokio::select! {
        biased;
        () = &mut stream => return,
        () = sleep(limits.farewell) => {}
        _ = phase.wait_for(|phase| *phase >= Phase::Gone) => {}
    }
    tally.reset.one_more();
}
