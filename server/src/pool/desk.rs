//! The one door to a pool: whoever tells it something carries out what is decided, before anybody else tells it more.
//!
//! A call so gets to its worker in the turn of the task that brings it, and the next in line gets there in the turn that
//! hears of a free seat: nobody is woken in between. Calls and refusals are said once the door is free again.
//!
//! | told by | how | who waits |
//! |---|---|---|
//! | callers: calls | at once | nobody: what the line does not take is refused |
//! | lives | at once | nobody |
//! | operators: orders and looks | on a way of [`ORDERS_MAX`] | whoever orders and looks |
//! | callers: abandonments | on a way for all tickets: each says it a few times at most | nobody: it is said in a drop, under whatever lock |

use super::errand::Errand;
use super::handle::Abandoned;
use super::state::{Look, State};
use crate::worker::life::{Listener, Spec, Told};
use crate::worker::link::Link;
use sidewinder_core::{Checked, Effect, Event, Life};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, oneshot};

/// Orders and looks that wait for their turn.
const ORDERS_MAX: usize = 256;

/// What is not about a single call.
#[derive(Debug)]
pub(super) enum Order {
    /// From an operator.
    Fact(Event),
    Look(oneshot::Sender<Look>),
    /// The ways to all lives.
    Links(oneshot::Sender<Vec<Arc<Link>>>),
    /// The numbers of all lives at the keeper.
    Numbers(oneshot::Sender<Vec<(Life, u32)>>),
    /// Other rules, and another way to start workers. `renew` says whether those that run are replaced.
    Reload {
        spec: Box<Spec>,
        policy: Box<Checked>,
        renew: bool,
    },
    /// Drain, and end the pool when nobody is left.
    End {
        within: Duration,
    },
}

/// The ends of those who do not come in by themselves.
#[derive(Clone, Debug)]
pub(super) struct Ways {
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) abandoned: mpsc::UnboundedSender<Abandoned>,
}

/// The other ends.
#[derive(Debug)]
pub(super) struct Ears {
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) abandoned: mpsc::UnboundedReceiver<Abandoned>,
}

pub(super) fn ways() -> (Ways, Ears) {
    let (orders, operators) = mpsc::channel(ORDERS_MAX);
    let (abandoned, leavers) = mpsc::unbounded_channel();
    (Ways { orders, abandoned }, Ears { orders: operators, abandoned: leavers })
}

/// A pool behind its door.
#[derive(Debug)]
pub(super) struct Desk {
    /// Nothing, once the pool is over.
    state: Mutex<Option<Box<State>>>,
    /// The next deadline has come nearer, or the pool is over.
    nearer: Notify,
}

impl Desk {
    /// Behind it is what is made here. To be kept by [`Self::keep`].
    pub(super) fn around(make: impl FnOnce(Weak<Self>) -> State) -> Arc<Self> {
        Arc::new_cyclic(|desk| {
            let state = Mutex::new(Some(Box::new(make(desk.clone()))));
            Self { state, nearer: Notify::new() }
        })
    }

    /// Tells it something. Nothing comes back from a pool that is over.
    pub(super) fn enter<R>(&self, act: impl FnOnce(&mut State, &mut Vec<Effect>) -> R) -> Option<R> {
        let mut door = self.lock();
        let state = door.as_mut()?;
        let mut effects = Vec::new();
        let result = act(state, &mut effects);
        state.carry_out(&mut effects);
        state.tell_phase();
        let errands = std::mem::take(&mut state.errands);
        if state.is_over() || state.arm() {
            self.nearer.notify_one();
        }
        drop(door);
        errands.into_iter().for_each(Errand::run);
        Some(result)
    }

    /// Keeps its time, and brings to it what comes on the other ways, from its first worker to its last.
    pub(super) async fn keep(self: Arc<Self>, Ears { mut orders, mut abandoned }: Ears) {
        while let Ok(due) = self.due() {
            tokio::select! {
                biased;
                Some((call, lost)) = abandoned.recv() => {
                    self.enter(|state, effects| state.on_abandoned(call, lost, effects));
                }
                order = orders.recv() => match order {
                    Some(order) => _ = self.enter(|state, effects| state.on_order(order, effects)),
                    None => break,
                },
                () = sleep_until(due) => {
                    self.enter(|state, effects| state.core.handle_timeout(Instant::now(), effects));
                }
                () = self.nearer.notified() => {}
            }
        }
        let state = self.lock().take();
        drop(state);
    }

    /// When something is to be decided at the latest.
    fn due(&self) -> Result<Option<Instant>, Over> {
        let mut door = self.lock();
        let state = door.as_mut().filter(|state| !state.is_over()).ok_or(Over)?;
        state.armed = state.core.next_deadline();
        Ok(state.armed)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<State>>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nothing of the pool is left.
#[derive(Clone, Copy, Debug)]
struct Over;

impl Listener for Desk {
    fn hear(&self, told: Told) {
        self.enter(|state, effects| state.on_told(told, effects));
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
