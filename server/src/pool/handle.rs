//! How a caller asks for a worker, and how it lets go.

use super::conversation::Guard;
use super::desk::{Desk, Order, Ways};
use super::errand::{Answer, Held, Waiting};
use super::state::Look;
use crate::telemetry::metrics::PoolMeter;
use crate::worker::life::{LastWords, Spec};
use crate::worker::words::Ask;
use sidewinder_core::{CallId, Checked, Event, Failure, Life, OnAbandon, Refusal, Request, SlotId};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// A worker that has not said in this time where it is holds the interpreter's lock.
const DUMP_PATIENCE: Duration = Duration::from_secs(2);

/// A way to the pool.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    desk: Arc<Desk>,
    ways: Ways,
    meter: Arc<PoolMeter>,
    next: Arc<AtomicU64>,
}

/// Says whether a caller that has let go of a call is gone. Otherwise it has hung up on that one call.
pub(crate) struct Lost(Box<dyn Fn() -> bool + Send + Sync>);

impl Lost {
    pub(crate) fn when(lost: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Box::new(lost))
    }

    pub(crate) fn is_so(&self) -> bool {
        (self.0)()
    }

    /// A caller of which nothing is known is one that has hung up.
    pub(crate) fn never() -> Self {
        Self::when(|| false)
    }
}

impl fmt::Debug for Lost {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Lost({})", (self.0)())
    }
}

/// Who was abandoned, and whether its caller is gone.
pub(super) type Abandoned = (CallId, bool);

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
    /// Where the tool was when its deadline passed, if it said so in giving up.
    pub(crate) traceback: String,
}

/// The guard of one call, made before it is queued. Dropping it early abandons the call.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(super) call: CallId,
    /// Where to say so, until the call has had its ending.
    abandoned: Option<mpsc::UnboundedSender<Abandoned>>,
    on_abandon: OnAbandon,
    lost: Lost,
    /// What goes with the call if it is let go in the line.
    guard: Held,
    /// Whether its caller was lost: asked once, when the call is let go, and the same for all who act on it.
    verdict: OnceLock<bool>,
}

impl Ticket {
    /// The guard of a call that is about to be submitted, or that runs already.
    pub(super) fn new(
        call: CallId,
        abandoned: mpsc::UnboundedSender<Abandoned>,
        on_abandon: OnAbandon,
        lost: Lost,
    ) -> Self {
        Self {
            call,
            abandoned: Some(abandoned),
            on_abandon,
            lost,
            guard: Held::default(),
            verdict: OnceLock::new(),
        }
    }

    /// The call has had its ending.
    pub(super) fn close(&mut self) {
        self.abandoned = None;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.abandoned.is_none()
    }

    /// Whether the call goes on to its end if it is abandoned now.
    pub(super) fn finishes(&self) -> bool {
        match self.on_abandon {
            OnAbandon::Cancel => false,
            OnAbandon::Finish => true,
            OnAbandon::FinishIfLost => self.is_lost(),
        }
    }

    fn is_lost(&self) -> bool {
        *self.verdict.get_or_init(|| self.lost.is_so())
    }

    pub(super) fn leaver(&self) -> impl FnOnce() + Send + use<> {
        let (call, abandoned) = (self.call, self.abandoned.clone());
        move || {
            if let Some(abandoned) = abandoned {
                let _ = abandoned.send((call, true));
            }
        }
    }

    /// Nobody waits for the call any more, and it goes on under the same ticket.
    pub(super) fn leave(&self) {
        if let Some(abandoned) = &self.abandoned {
            let _ = abandoned.send((self.call, true));
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(abandoned) = self.abandoned.take() {
            if !self.finishes() {
                drop(self.guard.take());
            }
            // A pool that has ended has forgotten the call.
            let _ = abandoned.send((self.call, self.is_lost()));
        }
    }
}

pub(super) fn gone() -> Refused {
    Refused { refusal: Refusal::Draining, unfit: None }
}

impl Handle {
    pub(super) fn new(desk: Arc<Desk>, ways: Ways, meter: Arc<PoolMeter>, first_call: u64) -> Self {
        Self { desk, ways, meter, next: Arc::new(AtomicU64::new(first_call)) }
    }

    /// What this pool measures.
    pub(crate) fn meter(&self) -> &Arc<PoolMeter> {
        &self.meter
    }

    /// A name for a call that is about to be made.
    pub(crate) fn next_call(&self) -> CallId {
        CallId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Gives a call to a worker, or puts it into the line. With its guard when it is dropped.
    pub(super) fn submit(
        &self,
        request: Request,
        ask: Box<Ask>,
        lost: Lost,
        guard: Option<Guard>,
    ) -> (Ticket, oneshot::Receiver<Answer>) {
        let mut ticket = Ticket::new(request.call, self.ways.abandoned.clone(), request.on_abandon, lost);
        let guard = Held::new(guard);
        ticket.guard = guard.clone();
        let (reply, answer) = oneshot::channel();
        let waiting = Box::new(Waiting { ask, deadline: request.deadline, guard, reply, is_left: false });
        // A pool that has ended drops it, and the caller hears that.
        self.desk.enter(|state, effects| state.on_submitted(request, waiting, effects));
        (ticket, answer)
    }

    /// What the pool looks like now; nothing when it has ended.
    pub(crate) async fn look(&self) -> Option<Look> {
        let (reply, answer) = oneshot::channel();
        self.ways.orders.send(Order::Look(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Tells the pool what an operator wants.
    pub(crate) async fn operate(&self, event: Event) {
        let _ = self.ways.orders.send(Order::Fact(event)).await;
    }

    /// Asks workers where they are: of one slot, or of all. Who does not answer in time has an empty text.
    pub(crate) async fn dump(&self, slot: Option<SlotId>) -> Vec<(Life, String)> {
        let (reply, links) = oneshot::channel();
        let _ = self.ways.orders.send(Order::Links(reply)).await;
        let links = links.await.unwrap_or_default();
        let wanted = links.into_iter().filter(|link| slot.is_none_or(|slot| slot == link.life.slot));
        let asked: Vec<_> = wanted.map(|link| (link.life, link.dump())).collect();
        let until = Instant::now() + DUMP_PATIENCE;
        let mut stacks = Vec::new();
        for (life, answer) in asked {
            let text = timeout_at(until, answer).await;
            stacks.push((life, text.ok().and_then(Result::ok).unwrap_or_default()));
        }
        stacks.sort_by_key(|(life, _)| *life);
        stacks
    }

    /// Gives the pool other rules, and another way to start workers.
    pub(crate) async fn reload(&self, spec: Spec, policy: Checked, renew: bool) {
        let reload = Order::Reload { spec: Box::new(spec), policy: Box::new(policy), renew };
        let _ = self.ways.orders.send(reload).await;
    }

    /// Ends the pool: calls may go on for so long. Said again, the shorter bound holds.
    pub(crate) async fn end(&self, within: Duration) {
        let _ = self.ways.orders.send(Order::End { within }).await;
    }

    pub(crate) fn is_over(&self) -> bool {
        self.ways.orders.is_closed()
    }

    /// Waits until the pool has ended.
    pub(crate) async fn ended(&self) {
        self.ways.orders.closed().await;
    }
}
