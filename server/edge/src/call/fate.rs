//! What the edge itself decides about one call, and how the parts of the call hear of it.
//!
//! The parts of a call (its answer, then its outbound body) are polled inside the task of its stream, below the watch
//! that [`watch`] is. They find the fate of their call in a task-local, so nothing has to be threaded through the
//! HTTP library between them.

use crate::limits::Limits;
use crate::outcome::{Failure, Outcome, Refusal};
use crate::server::Phase;
use crate::tally::Tally;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;
use tokio::sync::watch::Receiver;
use tokio::time::{sleep, sleep_until};

tokio::task_local! {
    static CURRENT: Arc<Fate>;
}

/// The fate of one call.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    terms: Mutex<Terms>,
    verdict: OnceLock<Outcome>,
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
