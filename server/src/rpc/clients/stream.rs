//! The stream of one attached client: what it says, and what it is told.

use super::Standings;
use crate::presence::{Attached, Beat, Held, Lease};
use crate::rpc::watch;
use crate::telemetry::What;
use crate::telemetry::events::Told;
use futures_util::stream::{Stream, unfold};
use sidewinder_core::presence::{Epoch, Parting};
use sidewinder_edge::call::{NoCall, beside};
use sidewinder_edge::outcome::{Outcome, Refusal};
use sidewinder_edge::peer::{Origin, Peer};
use sidewinder_edge::status;
use sidewinder_proto::v1;
use sidewinder_proto::v1::from_client::Part as Said;
use sidewinder_proto::v1::to_client::Part as Tell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::{broadcast, watch as latest};
use tokio::time::{Instant, sleep_until};
use tonic::{Status, Streaming};

/// The state is told at most this often, however much changes.
const PAUSE: Duration = Duration::from_millis(100);

/// Everything that one client is told.
pub(super) type Attaching = Pin<Box<dyn Stream<Item = Result<v1::ToClient, Status>> + Send>>;

/// One client's end of the line.
pub(super) struct Line {
    held: Arc<Held>,
    lease: latest::Receiver<Lease>,
    epoch: Epoch,
    bells: Arc<Bells>,
}

/// What the listening side wants of the telling side. Both are turned by one task, the listening side first, so nobody
/// has to be woken.
#[derive(Debug, Default)]
struct Bells {
    /// A beat has come, and is to be answered.
    beat: AtomicBool,
    /// A question has come.
    question: AtomicBool,
    /// Nothing more will come.
    over: AtomicBool,
}

impl Bells {
    /// The first that rings.
    fn heard(&self) -> Option<Turn> {
        let rang = |bell: &AtomicBool| bell.swap(false, Ordering::Relaxed);
        if self.over.load(Ordering::Relaxed) {
            Some(Turn::Silent)
        } else if rang(&self.beat) {
            Some(Turn::Beat)
        } else {
            rang(&self.question).then_some(Turn::Look)
        }
    }

    /// Rings by the next turn of the task, or the one after that.
    async fn ring(&self) -> Turn {
        poll_fn(|_| self.heard().map_or(Poll::Pending, Poll::Ready)).await
    }
}

impl Line {
    /// What the client says is heard beside the call that is being answered, however slowly the answer is read.
    pub(super) fn open(
        attached: Attached,
        words: Streaming<v1::FromClient>,
        mut peer: Option<Peer>,
    ) -> Result<Self, NoCall> {
        let (held, lease, bells) = (attached.held(), attached.lease(), Arc::<Bells>::default());
        let epoch = attached.granted().epoch;
        if let Some(peer) = &mut peer
            && let Some(process) = &peer.process
            && let Err(error) = attached.watch_over(process)
        {
            tracing::warn!(peer = %peer.origin, %error, "cannot watch its process: the end of its connection is its end");
            peer.process = None;
        }
        beside(Ear { attached, peer, bells: bells.clone() }.listen(words))?;
        Ok(Self { held, lease, epoch, bells })
    }
}

/// Listens to one client.
struct Ear {
    attached: Attached,
    peer: Option<Peer>,
    bells: Arc<Bells>,
}

impl Drop for Ear {
    /// Without a word, and without a handle of its process, the end of the line is all there is to know it by.
    fn drop(&mut self) {
        let unseen = |peer: &Peer| {
            let local = matches!(peer.origin, Origin::Unix { .. });
            local && peer.process.is_none() && peer.pulse.is_broken()
        };
        if self.peer.as_ref().is_some_and(unseen) {
            self.attached.has_died();
        }
    }
}

impl Ear {
    async fn listen(self, mut words: Streaming<v1::FromClient>) {
        loop {
            let Ok(Some(word)) = words.message().await else { break };
            match word.part {
                Some(Said::Beat(beat)) => {
                    let held = beat.held.and_then(|held| held.try_into().ok()).unwrap_or_default();
                    let heard = Beat { sequence: beat.sequence, answers: beat.answers, held };
                    self.attached.hear(heard, beat.load);
                    self.bells.beat.store(true, Ordering::Relaxed);
                }
                Some(Said::Question(_)) => {
                    self.attached.heard();
                    self.bells.question.store(true, Ordering::Relaxed);
                }
                Some(Said::Detach(_)) => {
                    self.attached.leaves();
                    break;
                }
                // A second hello means nothing, nor does what a newer client says that is not known here.
                Some(Said::Hello(_)) | None => self.attached.heard(),
            }
        }
        self.bells.over.store(true, Ordering::Relaxed);
    }
}

/// What is to be told next.
enum Turn {
    /// The lease has ended, or has been taken over.
    Over(Lease),
    /// The client has said its last word.
    Silent,
    Beat,
    /// The state is wanted, and has to be looked at first.
    Look,
    State(v1::Standing),
    Event(Result<Arc<Told>, broadcast::error::RecvError>),
}

type Looking = Pin<Box<dyn Future<Output = v1::Standing> + Send>>;

/// What is told to one client, one message at a time.
struct Telling {
    line: Line,
    standings: Standings,
    events: broadcast::Receiver<Arc<Told>>,
    wants_events: bool,
    /// Something has changed since the state was looked at, and when it may be looked at again.
    state_due: Option<Instant>,
    state_told: Instant,
    /// Pools that are busy are slow to tell how they are, and no beat waits for that.
    looking: Option<Looking>,
    lost: u64,
    over: bool,
}

pub(super) fn of(
    grant: v1::Granted,
    line: Line,
    standings: Standings,
    events: broadcast::Receiver<Arc<Told>>,
    wants_events: bool,
) -> Attaching {
    let now = Instant::now();
    let telling = Telling {
        line,
        standings,
        events,
        wants_events,
        state_due: Some(now),
        state_told: now,
        looking: None,
        lost: 0,
        over: false,
    };
    let first = Some(Tell::Granted(grant));
    Box::pin(unfold((first, telling), |(first, mut telling)| async move {
        let told = match first {
            Some(first) => Some(Ok(first)),
            None => telling.next().await,
        };
        told.map(|told| (told.map(|part| v1::ToClient { part: Some(part) }), (None, telling)))
    }))
}

impl Telling {
    async fn next(&mut self) -> Option<Result<Tell, Status>> {
        while !self.over {
            match self.turn().await {
                Turn::Over(lease) => {
                    self.over = true;
                    return farewell(lease);
                }
                Turn::Silent => self.over = true,
                Turn::Beat => return Some(Ok(self.beat())),
                Turn::Look => self.look(),
                Turn::State(standing) => {
                    self.looking = None;
                    return Some(Ok(Tell::State(standing)));
                }
                Turn::Event(told) => {
                    if let Some(event) = self.on_event(told) {
                        return Some(Ok(Tell::Event(event)));
                    }
                }
            }
        }
        None
    }

    /// Waits for whatever is to be told next. Beats go before news, so that a busy daemon does not seem dead.
    async fn turn(&mut self) -> Turn {
        let epoch = self.line.epoch;
        tokio::select! {
            biased;
            Ok(lease) = self.line.lease.wait_for(|lease| lease.ended.is_some() || lease.epoch != epoch) => {
                Turn::Over(*lease)
            }
            turn = self.line.bells.ring() => turn,
            () = self.line.held.beat_is_due() => Turn::Beat,
            () = due(self.state_due) => Turn::Look,
            standing = looked(&mut self.looking) => Turn::State(standing),
            told = self.events.recv() => Turn::Event(told),
        }
    }

    fn beat(&self) -> Tell {
        let (Beat { sequence, answers, held }, next) = self.line.held.beat();
        let (held, next) = (held.try_into().ok(), next.try_into().ok());
        Tell::Beat(v1::Beat { sequence, answers, held, load: None, next })
    }

    /// A question during a look is answered by the next one.
    fn look(&mut self) {
        self.state_due = None;
        self.state_told = Instant::now();
        let standings = self.standings.clone();
        self.looking = Some(Box::pin(async move { standings.now().await }));
    }

    fn on_event(&mut self, told: Result<Arc<Told>, broadcast::error::RecvError>) -> Option<v1::Event> {
        match told {
            Ok(told) => {
                if changes_the_state(told.event.what) {
                    self.state_due.get_or_insert(self.state_told + PAUSE);
                }
                self.wants_events.then(|| watch::show(&told, std::mem::take(&mut self.lost)))
            }
            Err(broadcast::error::RecvError::Lagged(count)) => {
                self.lost += count;
                self.state_due.get_or_insert(self.state_told + PAUSE);
                None
            }
            // Nobody can be told anything any more; the line itself says when that is over.
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

fn farewell(lease: Lease) -> Option<Result<Tell, Status>> {
    let refusal = match lease.ended {
        Some(Parting::Left) => return None,
        Some(Parting::Expired | Parting::Died) => Refusal::LeaseExpired,
        None => Refusal::StaleEpoch,
    };
    Some(Err(status::of(&Outcome::Refused(refusal))))
}

async fn looked(looking: &mut Option<Looking>) -> v1::Standing {
    match looking {
        Some(looking) => looking.await,
        None => std::future::pending().await,
    }
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Whether the state is another one after this.
fn changes_the_state(what: What) -> bool {
    match what {
        What::WorkerReady
        | What::WorkerLeaving
        | What::WorkerKilled
        | What::WorkerGone
        | What::SlotFatal
        | What::PoolPhase
        | What::PoolSaturated
        | What::PoolRecovered
        | What::PoolRenewed
        | What::PoolResized
        | What::Released
        | What::Reloaded
        | What::Upgrade
        | What::Stopping => true,
        What::WorkerStarted
        | What::WorkerUnfit
        | What::WorkerSuspected
        | What::WorkerRecovered
        | What::WorkerUnkillable
        | What::WorkerAtLimit
        | What::MemoryPressure
        | What::MemoryRelief
        | What::KeyQuarantined
        | What::ClientAttached
        | What::ClientResumed
        | What::ClientDetached
        | What::ClientDied
        | What::ClientExpired
        | What::Nobody
        | What::Somebody
        | What::Stalled
        | What::Stray
        | What::ForkServerReady
        | What::ForkServerDown => false,
    }
}
