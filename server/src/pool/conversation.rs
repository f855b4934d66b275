//! One call, from the wish for a worker to its one ending.
//!
//! The caller holds this and talks to the worker itself. Dropping it before its ending abandons the call, at any
//! await: the ticket inside says so to the pool.

use super::handle::{Handle, Lent, Refused, Ticket, Verdict};
use crate::worker::link::Link;
use crate::worker::words::{Ask, Said};
use bytes::Bytes;
use sidewinder_core::{CallId, Failure, Life, Request};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// A caller whose deadline has passed waits this long for the traceback of its tool. Less than the slack of the edge.
const LAST_WORDS_PATIENCE: Duration = Duration::from_millis(250);

/// A call that a worker has.
#[derive(Debug)]
pub(crate) struct Conversation {
    call: CallId,
    link: Arc<Link>,
    said: Option<mpsc::Receiver<Said>>,
    verdict: oneshot::Receiver<Verdict>,
    ticket: Ticket,
}

/// What comes next.
#[derive(Debug)]
pub(crate) enum Heard {
    /// From the worker.
    Said(Said),
    /// From the pool, in the worker's place.
    Verdict(Verdict),
}

impl Conversation {
    /// Waits for a worker and gives it the call.
    pub(crate) async fn begin(pool: &Handle, request: Request, ask: Ask) -> Result<Self, Refused> {
        let Lent { call, link, verdict, ticket } = pool.checkout(request).await?;
        // A worker that is dead already is explained by the verdict.
        let said = link.open(call.0, ask).await.ok();
        Ok(Self { call, link, said, verdict, ticket })
    }

    /// Who runs it.
    pub(crate) fn life(&self) -> Life {
        self.link.life
    }

    /// The next thing, up to the ending.
    pub(crate) async fn hear(&mut self) -> Heard {
        let heard = self.next().await;
        match &heard {
            Heard::Said(said) if !said.is_ending() => {}
            Heard::Said(_) | Heard::Verdict(_) => self.ticket.close(),
        }
        heard
    }

    async fn next(&mut self) -> Heard {
        if let Some(said) = &mut self.said {
            tokio::select! {
                biased;
                next = said.recv() => match next {
                    Some(said) => return Heard::Said(said),
                    None => self.said = None,
                },
                verdict = &mut self.verdict => {
                    let mut verdict = verdict.unwrap_or_else(|_| ended());
                    if verdict.failure == Failure::DeadlineExceeded {
                        verdict.traceback = where_it_was(said).await;
                    }
                    return Heard::Verdict(verdict);
                }
            }
        }
        Heard::Verdict((&mut self.verdict).await.unwrap_or_else(|_| ended()))
    }

    /// Allows further items.
    pub(crate) async fn credit(&self, items: u32) {
        // A worker that cannot be told is explained by what is heard next.
        let _ = self.link.credit(self.call.0, items).await;
    }

    /// The way in, for whoever brings further inputs.
    pub(crate) fn inputs(&self) -> Inputs {
        Inputs { call: self.call, link: self.link.clone() }
    }
}

/// Brings further inputs to a call.
#[derive(Clone, Debug)]
pub(crate) struct Inputs {
    call: CallId,
    link: Arc<Link>,
}

impl Inputs {
    pub(crate) async fn give(&self, body: Bytes) {
        let _ = self.link.item(self.call.0, body).await;
    }

    pub(crate) async fn end(&self) {
        let _ = self.link.end_of_input(self.call.0).await;
    }
}

/// A tool that gives up at its deadline says where it was.
async fn where_it_was(said: &mut mpsc::Receiver<Said>) -> String {
    let gives_up = async {
        while let Some(said) = said.recv().await {
            if let Said::Raised(raised) = said {
                return raised.traceback;
            }
        }
        String::new()
    };
    tokio::time::timeout(LAST_WORDS_PATIENCE, gives_up).await.unwrap_or_default()
}

/// The pool ended without a word.
fn ended() -> Verdict {
    Verdict { failure: Failure::Drained, words: None, traceback: String::new() }
}
