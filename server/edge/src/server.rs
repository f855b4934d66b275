//! Serving, from the first connection to a stop that always comes to an end.
//!
//! ```text
//!   serve ─┬─ accept (one task for each listener) ─┬─ connection ─┬─ stream
//!          │                                       │              └─ stream
//!          │                                       └─ connection ─── …
//!          └─ phase: Open ◀─▶ Closing ─▶ Draining ─▶ Ending ─▶ Gone       heard by every task
//! ```
//!
//! - **Open.** Everybody is served.
//! - **Closing.** Nobody is let in: who comes waits in the line of the kernel. Who has no call is told to come again, and
//!   whoever calls all the same is served. So somebody who thinks of leaving can look whether anybody is there ([`Crowd`]),
//!   and stay if so.
//! - **Draining.** No listener is left. Each connection is told to go away (`GOAWAY`); one that has never said anything
//!   is closed at once, and one without a call a moment later. Endless streams are ended, because nobody else would.
//!   What runs goes on.
//! - **Ending.** The bound was reached: what still runs is ended with a status that says so.
//! - **Gone.** What has not taken even that is dropped.
//!
//! Every task holds a token; when the last token is gone, so is everything, and the stop is over. A stop is therefore
//! as quick as the calls allow and never slower than its bound and two short farewells.
//!
//! The loop is our own, around the HTTP/2 connections of hyper. That of tonic waits for ever for a connection that is
//! silent or watches something, accepts in a hot loop when no descriptor is left, and gives no hold on a connection
//! from outside.

mod accept;
mod connection;
mod crowd;

pub use crowd::{Crowd, Seen};

use crate::limits::Limits;
use crate::listener::Listener;
use crate::routes::Routes;
use crate::tally::Tally;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// From `Gone` to the return: a service that never yields cannot be dropped, and is left behind.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// What the server is doing. Later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Open,
    Closing,
    Draining,
    Ending,
    Gone,
}

/// The wish of whoever runs the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Serve.
    Serve,
    /// Serve, but let nobody in, and have those without a call come again. Can be taken back.
    CloseUp,
    /// Stop. What runs may go on for this long, from when it was said. Said again, the earlier end holds.
    StopWithin(Duration),
}

/// How a stop went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Everything had ended by itself.
    Whole,
    /// The bound was reached, and something was cut.
    Cut,
    /// Something could not even be dropped: a service that never yields.
    Stuck,
}

/// What every task of one server shares.
#[derive(Clone, Debug)]
struct Shared {
    routes: Arc<Routes>,
    limits: Arc<Limits>,
    tally: Arc<Tally>,
    crowd: Crowd,
    /// Room for connections.
    room: Arc<Semaphore>,
    phase: watch::Receiver<Phase>,
    /// Held by every task for as long as it lives.
    _token: mpsc::Sender<Infallible>,
}

/// What is seen of a server from outside.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    /// What it has counted.
    pub tally: Arc<Tally>,
    /// Who is there.
    pub crowd: Crowd,
}

/// Serves `routes` on `listeners` until told to stop, and returns when everything is over. A wish that nobody can change
/// any more is a wish to stop at once. Dropped in the middle, everything is dropped with it.
pub async fn serve(
    listeners: Vec<Listener>,
    routes: Routes,
    limits: Limits,
    sight: Sight,
    mut wish: watch::Receiver<Wish>,
) -> Stopped {
    let Sight { tally, crowd } = sight;
    let (phase, heard) = watch::channel(Phase::Open);
    let (token, mut tokens) = mpsc::channel(1);
    let shared = Shared {
        routes: Arc::new(routes),
        room: Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS))),
        limits: Arc::new(limits),
        tally,
        crowd,
        phase: heard,
        _token: token,
    };
    let farewell = shared.limits.farewell;
    for listener in listeners {
        tokio::spawn(accept::accept(listener, shared.clone()));
    }
    drop(shared);

    let bound = told_to_stop(&mut wish, &phase).await;
    phase.send_replace(Phase::Draining);
    tokio::select! {
        _ = tokens.recv() => return Stopped::Whole,
        () = reached(bound, &mut wish) => {}
    }
    phase.send_replace(Phase::Ending);
    if timeout(farewell, tokens.recv()).await.is_ok() {
        return Stopped::Cut;
    }
    phase.send_replace(Phase::Gone);
    tokio::select! {
        _ = tokens.recv() => Stopped::Cut,
        () = sleep(LAST_WAIT) => Stopped::Stuck,
    }
}

/// Waits for the wish to stop, and tells until when.
async fn told_to_stop(wish: &mut watch::Receiver<Wish>, phase: &watch::Sender<Phase>) -> Instant {
    loop {
        let now = *wish.borrow_and_update();
        match now {
            Wish::Serve => phase.send_replace(Phase::Open),
            Wish::CloseUp => phase.send_replace(Phase::Closing),
            Wish::StopWithin(span) => return end_of(span),
        };
        if wish.changed().await.is_err() {
            return Instant::now();
        }
    }
}

/// Waits for the end of the drain, which a second wish can bring forward.
async fn reached(mut bound: Instant, wish: &mut watch::Receiver<Wish>) {
    loop {
        tokio::select! {
            () = sleep_until(bound) => return,
            changed = wish.changed() => match changed {
                Ok(()) => {
                    if let Wish::StopWithin(span) = *wish.borrow_and_update() {
                        bound = bound.min(end_of(span));
                    }
                }
                Err(_) => return sleep_until(bound).await,
            },
        }
    }
}

fn end_of(span: Duration) -> Instant {
    const FAR: Duration = Duration::from_hours(24 * 365);
    let now = Instant::now();
    now + span.min(FAR)
}
