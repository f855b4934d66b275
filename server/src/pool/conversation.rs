//! One call, from the wish for a worker to its one ending.
//!
//! The caller holds this and talks to the worker itself. Dropping it before its ending abandons the call, at any
//! await: the ticket inside says so to the pool. A call that is to finish all the same needs somebody in its caller's
//! place: to give it to the worker that it has waited for, and to take the items that nobody reads.

use super::handle::{Handle, Lost, Refused, Submitted, Ticket, Verdict, gone};
use super::mailbox::Answer;
use crate::worker::link::Link;
use crate::worker::witness::Witness;
use crate::worker::words::{Ask, Said};
use bytes::Bytes;
use sidewinder_core::{CallId, Failure, Life, OnAbandon, Request};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

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

/// What a call has of its worker.
struct Begun {
    call: CallId,
    link: Arc<Link>,
    said: Option<mpsc::Receiver<Said>>,
    verdict: oneshot::Receiver<Verdict>,
    guard: Option<Guard>,
}

impl fmt::Debug for Begun {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Begun").field("call", &self.call).finish_non_exhaustive()
    }
}

impl Begun {
    async fn with(
        call: CallId,
        answer: oneshot::Receiver<Answer>,
        ask: Ask,
        guard: Option<Guard>,
    ) -> Result<Self, Refused> {
        let (link, verdict) = answer.await.unwrap_or_else(|_| Err(gone()))?;
        // A worker that is dead already is explained by the verdict.
        let said = link.open(call.0, ask).await.ok();
        Ok(Self { call, link, said, verdict, guard })
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
async fn take_the_rest(call: CallId, link: Arc<Link>, mut said: mpsc::Receiver<Said>, _guard: Option<Guard>) {
    while let Some(said) = said.recv().await {
        if let Said::Item(_) = said {
            let _ = link.credit(call.0, 1).await;
        }
    }
}

/// What of a call comes before its worker.
type Waiting = Pin<Box<dyn Future<Output = Result<Begun, Refused>> + Send>>;

/// Waits in its caller's own task, and elsewhere once that is lost.
struct StandIn<'a> {
    ticket: &'a Ticket,
    waiting: Option<Waiting>,
}

impl StandIn<'_> {
    async fn wait(&mut self) -> Result<Begun, Refused> {
        let Some(waiting) = &mut self.waiting else { return Err(gone()) };
        let begun = waiting.await;
        self.waiting = None;
        begun
    }
}

impl Drop for StandIn<'_> {
    fn drop(&mut self) {
        if let (Some(waiting), Ok(runtime)) = (self.waiting.take(), tokio::runtime::Handle::try_current())
            && self.ticket.finishes()
        {
            runtime.spawn(waiting);
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
        ask: Ask,
        lost: Lost,
        guard: Option<Guard>,
    ) -> Result<Self, Refused> {
        // Declared before whatever waits, and so dropped after it: who reads an abandonment finds the reply closed.
        let Submitted { mut ticket, answer } = pool.submit(request, lost).await?;
        let waiting = Begun::with(ticket.call, answer, ask, guard);
        let begun = match request.on_abandon {
            OnAbandon::Cancel => waiting.await,
            OnAbandon::Finish | OnAbandon::FinishIfLost => {
                let mut beside = StandIn { ticket: &ticket, waiting: Some(Box::pin(waiting)) };
                beside.wait().await
            }
        };
        match begun {
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
        said: mpsc::Receiver<Said>,
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
    pub(crate) fn life(&self) -> Life {
        self.begun.link.life
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
                next = said.recv() => match next {
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
async fn where_it_was(said: &mut mpsc::Receiver<Said>, link: &Link) -> String {
    let gives_up = async {
        while let Some(said) = said.recv().await {
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
    use super::super::mailbox;
    use super::*;
    use crate::telemetry::Metrics;
    use crate::telemetry::Telemetry;
    use crate::worker::socket::Socket;
    use crate::worker::witness::Shown;
    use crate::worker::words::Value;
    use futures_util::FutureExt;
    use sidewinder_core::{ClientId, SlotId};

    /// A call that a worker has, and the pool's side of it. The ends of the worker are kept open.
    async fn begun() -> (Conversation, Arc<Link>, oneshot::Sender<Verdict>, [std::os::fd::OwnedFd; 2]) {
        let ((calls, one), (control, two)) =
            (Socket::pair().expect("sockets"), Socket::pair().expect("sockets"));
        let witness = Witness::new(crate::own::hold::Hold::deaf().0.weak(), 1, Shown::default());
        let link = Arc::new(Link::new(Life { slot: SlotId(0), number: 1 }, calls, control, witness));
        let (ways, mut ears) = mailbox::open();
        let metrics = Metrics::begin(&Telemetry::default(), "a test").expect("metrics");
        let pool = Handle::new(ways, metrics.pool("a pool"), 1);
        let (sender, verdict) = oneshot::channel();
        let lent = link.clone();
        lent.lend(1);
        let assigned = tokio::spawn(async move {
            let submission = ears.submissions.recv().await.expect("a call");
            submission.reply.send(Ok((lent, verdict))).expect("a caller");
        });
        let request = Request::new(CallId(1), ClientId(1));
        let conversation =
            Conversation::begin(&pool, request, Ask::default(), Lost::never(), None).await.expect("assigned");
        assigned.await.expect("assigned");
        (conversation, link, sender, [one, two])
    }

    /// The pool may have heard of the ending, and forgotten the call, before its caller looks.
    #[tokio::test]
    async fn an_answer_that_the_pool_has_heard_of_first_is_still_the_answer() {
        let (mut conversation, link, verdict, _worker) = begun().await;
        drop(verdict);
        assert!(conversation.hear().now_or_never().is_none(), "the answer is on its way");
        link.pass_on(1, Said::Answer(Value::default())).expect("asked");
        assert!(matches!(conversation.hear().await, Heard::Said(Said::Answer(_))));
    }

    #[tokio::test]
    async fn without_an_answer_and_without_a_verdict_the_end_of_the_life_ends_the_call() {
        let (mut conversation, link, verdict, _worker) = begun().await;
        drop(verdict);
        assert!(conversation.hear().now_or_never().is_none());
        link.close();
        assert!(matches!(conversation.hear().await, Heard::Verdict(Verdict { words: None, .. })));
    }

    #[tokio::test]
    async fn what_is_printed_is_of_a_call_that_is_alone() {
        let (_conversation, link, _verdict, _worker) = begun().await;
        assert_eq!(link.only_call(), Some(1));
        link.lend(2);
        assert_eq!(link.only_call(), Some(1), "the worker has not heard of the other");
        let _said = link.open(2, Ask::default()).await.expect("lent");
        assert_eq!(link.only_call(), None);
    }

    #[tokio::test]
    async fn a_verdict_ends_a_call_that_is_not_answered() {
        let (mut conversation, _link, verdict, _worker) = begun().await;
        verdict
            .send(Verdict { failure: Failure::WorkerDied, words: None, traceback: String::new() })
            .expect("heard");
        let heard = conversation.hear().await;
        assert!(matches!(heard, Heard::Verdict(Verdict { failure: Failure::WorkerDied, .. })));
    }
}
