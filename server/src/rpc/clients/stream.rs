//! The stream of one attached client: what it says, and what it is told.

use super::Standings;
use crate::presence::{Attached, Beat, Held, Lease};
use crate::rpc::watch;
use crate::telemetry::What;
use crate::telemetry::events::Told;
use futures_util::stream::{Stream, unfold};
use sidewinder_core::presence::{Epoch, Parting};
use sidewinder_edge::outcome::{Outcome, Refusal};
use sidewinder_edge::peer::{Origin, Peer};
use sidewinder_edge::status;
use sidewinder_proto::v1;
use sidewinder_proto::v1::from_client::Part as Said;
use sidewinder_proto::v1::to_client::Part as Tell;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, broadcast, watch as latest};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tonic::{Status, Streaming};

/// The state is told at most this often, however much changes.
const PAUSE: Duration = Duration::from_millis(100);

/// Everything that one client is told.
pub(super) type Attaching = Pin<Box<dyn Stream<Item = Result<v1::ToClient, Status>> + Send>>;

/// One client's end of the line: a task listens to it for as long as this lives.
pub(super) struct Line {
    held: Arc<Held>,
    lease: latest::Receiver<Lease>,
    epoch: Epoch,
    interval: Duration,
    bells: Arc<Bells>,
    listening: JoinHandle<()>,
}

/// What the listening side wants of the telling side.
#[derive(Debug, Default)]
struct Bells {
    /// A beat has come, and is to be answered.
    beat: Notify,
    /// A question has come.
    question: Notify,
    /// Nothing more will come.
    over: Notify,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Line {
    pub(super) fn open(attached: Attached, words: Streaming<v1::FromClient>, peer: Option<Peer>) -> Self {
        let granted = attached.granted();
        let (held, lease, bells) = (attached.held(), attached.lease(), Arc::<Bells>::default());
        attached.watch_over(peer.as_ref().and_then(|peer| peer.process.clone()));
        let listening = tokio::spawn(Ear { attached, peer, bells: bells.clone() }.listen(words));
        Self { held, lease, epoch: granted.epoch, interval: granted.interval, bells, listening }
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
                    self.bells.beat.notify_one();
                }
                Some(Said::Question(_)) => {
                    self.attached.heard();
                    self.bells.question.notify_one();
                }
                Some(Said::Detach(_)) => {
                    self.attached.leaves();
                    break;
                }
                // A second hello means nothing, nor does what a newer client says that is not known here.
                Some(Said::Hello(_)) | None => self.attached.heard(),
            }
        }
        self.bells.over.notify_one();
    }
}

/// What is to be told next.
enum Turn {
    /// The lease has ended, or has been taken over.
    Over(Lease),
    /// The client has said its last word.
    Silent,
    Beat,
    State,
    Event(Result<Arc<Told>, broadcast::error::RecvError>),
}

/// What is told to one client, one message at a time.
struct Telling {
    line: Line,
    standings: Standings,
    events: broadcast::Receiver<Arc<Told>>,
    wants_events: bool,
    /// Something has changed since the state was told, and when it may be told again.
    state_due: Option<Instant>,
    state_told: Instant,
    beat_due: Instant,
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
        beat_due: now + line.interval,
        line,
        standings,
        events,
        wants_events,
        state_due: Some(now),
        state_told: now,
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
                Turn::State => return Some(Ok(self.state().await)),
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
            () = self.line.bells.over.notified() => Turn::Silent,
            () = self.line.bells.beat.notified() => Turn::Beat,
            () = sleep_until(self.beat_due) => Turn::Beat,
            () = self.line.bells.question.notified() => Turn::State,
            () = due(self.state_due) => Turn::State,
            told = self.events.recv() => Turn::Event(told),
        }
    }

    fn beat(&mut self) -> Tell {
        self.beat_due = Instant::now() + self.line.interval;
        let Beat { sequence, answers, held } = self.line.held.beat();
        Tell::Beat(v1::Beat { sequence, answers, held: held.try_into().ok(), load: None })
    }

    async fn state(&mut self) -> Tell {
        self.state_due = None;
        self.state_told = Instant::now();
        Tell::State(self.standings.now().await)
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
        | What::Stopping => true,
        What::WorkerStarted
        | What::WorkerUnfit
        | What::WorkerSuspected
        | What::WorkerRecovered
        | What::WorkerUnkillable
        | What::KeyQuarantined
        | What::ClientAttached
        | What::ClientResumed
        | What::ClientDetached
        | What::ClientDied
        | What::ClientExpired
        | What::Nobody
        | What::Somebody
        | What::Stalled
        | What::Stray => false,
    }
}
