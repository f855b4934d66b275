//! How a caller asks for a worker, and how it lets go.

use super::task::{Look, Message};
use crate::worker::life::LastWords;
use crate::worker::link::Link;
use sidewinder_core::{CallId, Event, Failure, Refusal, Request};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{mpsc, oneshot};

/// A way to the pool.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    mailbox: mpsc::Sender<Message>,
    next: Arc<AtomicU64>,
}

/// A worker, lent to one call.
#[derive(Debug)]
pub(crate) struct Lent {
    pub(crate) call: CallId,
    pub(crate) link: Arc<Link>,
    /// Arrives when the pool ends the call in the worker's place.
    pub(crate) verdict: oneshot::Receiver<Verdict>,
    pub(crate) ticket: Ticket,
}

/// No worker has seen the call.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) refusal: Refusal,
    /// Why the workers do not come up, when that is known: message and traceback.
    pub(crate) unfit: Option<(String, String)>,
}

/// A worker has seen the call, and there is no answer.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) failure: Failure,
    pub(crate) words: Option<Box<LastWords>>,
}

/// The guard of one call, made before it is queued. Dropping it early abandons the call.
#[derive(Debug)]
pub(crate) struct Ticket {
    call: CallId,
    /// Room for saying so, reserved before the call was submitted.
    room: Option<mpsc::OwnedPermit<Message>>,
}

impl Ticket {
    /// The call has had its ending.
    pub(crate) fn close(&mut self) {
        self.room = None;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(room) = self.room.take() {
            room.send(Message::Fact(Event::Abandoned { call: self.call }));
        }
    }
}

impl Handle {
    pub(super) fn new(mailbox: mpsc::Sender<Message>) -> Self {
        Self { mailbox, next: Arc::new(AtomicU64::new(1)) }
    }

    /// A name for a call that is about to be made.
    pub(crate) fn next_call(&self) -> CallId {
        CallId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Waits for a worker. Dropping the future at any point abandons the call.
    pub(crate) async fn checkout(&self, request: Request) -> Result<Lent, Refused> {
        let gone = || Refused { refusal: Refusal::Draining, unfit: None };
        let call = request.call;
        let room = self.mailbox.clone().reserve_owned().await.map_err(|_| gone())?;
        let mut ticket = Ticket { call, room: Some(room) };
        let (reply, answer) = oneshot::channel();
        self.mailbox.send(Message::Submit(Box::new(request), reply)).await.map_err(|_| gone())?;
        match answer.await {
            Ok(Ok((link, verdict))) => Ok(Lent { call, link, verdict, ticket }),
            Ok(Err(refused)) => {
                ticket.close();
                Err(refused)
            }
            Err(_) => Err(gone()),
        }
    }

    /// What the pool looks like now; nothing when it has ended.
    pub(crate) async fn look(&self) -> Option<Look> {
        let (reply, answer) = oneshot::channel();
        self.mailbox.send(Message::Look(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Tells the pool what an operator wants.
    pub(crate) async fn operate(&self, event: Event) {
        let _ = self.mailbox.send(Message::Fact(event)).await;
    }

    /// Waits until the pool has ended.
    pub(crate) async fn ended(&self) {
        self.mailbox.closed().await;
    }
}
