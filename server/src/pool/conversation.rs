//! One call, from the wish for a worker to its one ending.
//!
//! The caller holds this and talks to the worker itself. Dropping it before its ending abandons the call, at any
//! await: the ticket inside says so to the pool. A call that is to finish all the same needs somebody in its caller's
//! place, to take the items that nobody reads.

use super::handle::{Handle, Lost, Refused, Ticket, Verdict, gone};
use crate::worker::link::{Hearing, Link};
use crate::worker::witness::Witness;
use crate::worker::words::{Ask, Said};
use bytes::Bytes;
use sidewinder_core::{CallId, Failure, Request};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// A caller whose deadline has passed waits this long for the traceback of its tool. Less than the slack of the edge.
const LAST_WORDS_PATIENCE: Duration = Duration::from_millis(750);

/// A call that a worker has.
#[derive(Debug)]
pub(crate) struct Conversation {
    /// Dropped before the ticket.
    begun: Begun,
    ticket: Ticket,
}

impl Drop for Conversation {
    fn drop(&mut self) {
        // With a guard somebody has to see the end of the call, also of one that was told to give up.
        let watched = self.begun.guard.is_some() && !self.ticket.is_closed();
        if !watched && (self.ticket.is_closed() || !self.ticket.finishes()) {
            self.begun.said = None;
        }
    }
}

/// Something that is to last as long as a call does, with its caller or without.
pub(crate) type Guard = Box<dyn Send + Sync>;

/// What a call has of its worker. Dropped before its ending, it is heard to its end all the same.
pub(super) struct Begun {
    call: CallId,
    link: Arc<Link>,
    said: Option<Hearing>,
    verdict: oneshot::Receiver<Verdict>,
    guard: Option<Guard>,
}

impl fmt::Debug for Begun {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Begun").field("call", &self.call).finish_non_exhaustive()
    }
}

impl Begun {
    pub(super) fn new(
        call: CallId,
        link: Arc<Link>,
        said: Option<Hearing>,
        verdict: oneshot::Receiver<Verdict>,
        guard: Option<Guard>,
    ) -> Self {
        Self { call, link, said, verdict, guard }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let (Some(said), Ok(runtime)) = (self.said.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(take_the_rest(self.call, self.link.clone(), said, self.guard.take()));
        }
    }
}

/// Nobody reads, and the tool may go on.
async fn take_the_rest(call: CallId, link: Arc<Link>, mut said: Hearing, _guard: Option<Guard>) {
    while let Some(said) = said.next().await {
        if let Said::Item(_) = said {
            let _ = link.credit(call.0, 1).await;
        }
    }
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
    /// Waits for a worker and gives it the call. Dropping the future at any point abandons the call.
    pub(crate) async fn begin(
        pool: &Handle,
        request: Request,
        ask: Box<Ask>,
        lost: Lost,
        guard: Option<Guard>,
    ) -> Result<Self, Refused> {
        // Dropped after the answer: of what has begun, an abandonment is heard last.
        let (mut ticket, answer) = pool.submit(request, ask, lost, guard);
        match answer.await.unwrap_or_else(|_| Err(gone())) {
            Ok(begun) => Ok(Self { begun, ticket }),
            Err(refused) => {
                ticket.close();
                Err(refused)
            }
        }
    }

    /// A call that a worker has had from an earlier daemon.
    pub(super) fn resumed(
        call: CallId,
        link: Arc<Link>,
        said: Hearing,
        verdict: oneshot::Receiver<Verdict>,
        ticket: Ticket,
    ) -> Self {
        Self { begun: Begun { call, link, said: Some(said), verdict, guard: None }, ticket }
    }

    /// Its seat is free already, and only its ending is still to be heard.
    pub(super) fn has_ended(&mut self) {
        self.ticket.close();
    }

    pub(crate) fn call(&self) -> CallId {
        self.begun.call
    }

    /// Something that is to last as long as the call does.
    pub(crate) fn guard(&mut self, guard: Guard) {
        self.begun.guard = Some(guard);
    }

    /// Says the same from elsewhere, while somebody still holds the call and does not look.
    pub(crate) fn leaver(&self) -> impl FnOnce() + Send + use<> {
        self.ticket.leaver()
    }

    /// Nobody waits for the answer any more. It is to be had all the same, unless the pool gives up on the call.
    pub(crate) fn leave(&self) {
        self.ticket.leave();
    }

    /// Who runs it.
    pub(crate) fn worker(&self) -> &str {
        &self.begun.link.name
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
        if let Some(said) = &mut self.begun.said {
            tokio::select! {
                biased;
                next = said.next() => match next {
                    Some(said) => return Heard::Said(said),
                    None => self.begun.said = None,
                },
                // The pool lets go without a verdict when it has heard of an ending that is still on its way here.
                Ok(mut verdict) = &mut self.begun.verdict, if !self.begun.verdict.is_terminated() => {
                    if verdict.failure == Failure::DeadlineExceeded {
                        verdict.traceback = where_it_was(said, &self.begun.link).await;
                    }
                    return Heard::Verdict(verdict);
                }
            }
        }
        if self.begun.verdict.is_terminated() {
            return Heard::Verdict(ended());
        }
        Heard::Verdict((&mut self.begun.verdict).await.unwrap_or_else(|_| ended()))
    }

    /// Allows further items.
    pub(crate) async fn credit(&self, items: u32) {
        // A worker that cannot be told is explained by what is heard next.
        let _ = self.begun.link.credit(self.begun.call.0, items).await;
    }

    /// The way in, for whoever brings further inputs.
    pub(crate) fn inputs(&self) -> Inputs {
        Inputs { call: self.begun.call, link: self.begun.link.clone() }
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

/// A tool that gives up at its deadline says where it was, and others say it of one that does not.
async fn where_it_was(said: &mut Hearing, link: &Link) -> String {
    let gives_up = async {
        while let Some(said) = said.next().await {
            if let Said::Raised(raised) = said {
                return raised.traceback;
            }
        }
        std::future::pending().await
    };
    tokio::select! {
        biased;
        traceback = gives_up => traceback,
        stack = Witness::stack(link) => stack,
        () = tokio::time::sleep(LAST_WORDS_PATIENCE) => String::new(),
    }
}

/// The worker and the pool ended without a word.
fn ended() -> Verdict {
    Verdict { failure: Failure::Drained, words: None, traceback: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::socket::Socket;
    use crate::worker::witness::Shown;
    use crate::worker::words::Value;
    use futures_util::FutureExt;
    use sidewinder_core::{Life, OnAbandon, SlotId};
    use tokio::sync::mpsc;

    /// A call that a worker has, and the pool's side of it. The ends of the worker are kept open.
    fn begun() -> (Conversation, Arc<Link>, oneshot::Sender<Verdict>, [std::os::fd::OwnedFd; 2]) {
        let ((calls, one), (control, two)) =
            (Socket::pair().expect("sockets"), Socket::pair().expect("sockets"));
        let witness = Witness::new(crate::own::hold::Hold::deaf().0.weak(), 1, Shown::default());
        let link = Arc::new(Link::new(Life { slot: SlotId(0), number: 1 }, calls, control, witness));
        let (sender, verdict) = oneshot::channel();
        link.lend(1);
        let (said, _) = link.open(1, Box::default()).expect("lent");
        let begun = Begun::new(CallId(1), link.clone(), Some(said), verdict, None);
        let ticket = Ticket::new(CallId(1), mpsc::unbounded_channel().0, OnAbandon::Cancel, Lost::never());
        (Conversation { begun, ticket }, link, sender, [one, two])
    }

    /// The pool may have heard of the ending, and forgotten the call, before its caller looks.
    #[tokio::test]
    async fn an_answer_that_the_pool_has_heard_of_first_is_still_the_answer() {
        let (mut conversation, link, verdict, _worker) = begun();
        drop(verdict);
        assert!(conversation.hear().now_or_never().is_none(), "the answer is on its way");
        link.pass_on(1, Said::Answer(Value::default())).expect("asked");
        assert!(matches!(conversation.hear().await, Heard::Said(Said::Answer(_))));
    }

    #[tokio::test]
    async fn without_an_answer_and_without_a_verdict_the_end_of_the_life_ends_the_call() {
        let (mut conversation, link, verdict, _worker) = begun();
        drop(verdict);
        assert!(conversation.hear().now_or_never().is_none());
        link.close();
        assert!(matches!(conversation.hear().await, Heard::Verdict(Verdict { words: None, .. })));
    }

    #[tokio::test]
    async fn what_is_printed_is_of_a_call_that_is_alone() {
        let (_conversation, link, _verdict, _worker) = begun();
        assert_eq!(link.only_call(), Some(1));
        link.lend(2);
        assert_eq!(link.only_call(), Some(1), "the worker has not heard of the other");
        let _said = link.open(2, Box::default()).expect("lent");
        assert_eq!(link.only_call(), None);
    }

    #[tokio::test]
    async fn a_verdict_ends_a_call_that_is_not_answered() {
        let (mut conversation, _link, verdict, _worker) = begun();
        verdict
            .send(Verdict { failure: Failure::WorkerDied, words: None, traceback: String::new() })
            .expect("heard");
        let heard = conversation.hear().await;
        assert!(matches!(heard, Heard::Verdict(Verdict { failure: Failure::WorkerDied, .. })));
    }
}
