//! The ways to a pool's task, apart from each other so that nobody waits behind a crowd of somebody else's.
//!
//! | way | bound | who waits when it is full |
//! |---|---|---|
//! | submissions | [`SUBMISSIONS_MAX`] | callers, in turn |
//! | orders and looks | [`ORDERS_MAX`] | whoever orders and looks |
//! | abandonments | the tickets that there are: each says it once | nobody: it is said in a drop |
//!
//! A ticket is made only when there is room for its submission, and the task hears of abandonments first; so there are
//! never more of these than calls in the line, in the seats and among the submissions. An abandonment may overtake its
//! submission, so the task looks at all of these first; one whose caller does not wait for the reply is left alone.

use super::handle::{Abandoned, Refused, Verdict};
use super::task::Look;
use crate::worker::life::Spec;
use crate::worker::link::Link;
use sidewinder_core::{Checked, Event, Life, Request};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Calls on their way to the line.
const SUBMISSIONS_MAX: usize = 4096;
/// Orders and looks that wait for the task.
const ORDERS_MAX: usize = 256;

/// A worker is assigned, or the call refused.
pub(super) type Answer = Result<(Arc<Link>, oneshot::Receiver<Verdict>), Refused>;
pub(super) type Reply = oneshot::Sender<Answer>;

/// A call for the line.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) request: Request,
    pub(super) reply: Reply,
}

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
    /// Drain, and end the task when nobody is left.
    End {
        within: Duration,
    },
}

/// The ends of those who speak to the task.
#[derive(Clone, Debug)]
pub(super) struct Ways {
    pub(super) submissions: mpsc::Sender<Submission>,
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) abandoned: mpsc::UnboundedSender<Abandoned>,
}

/// The ends of the task.
#[derive(Debug)]
pub(super) struct Ears {
    pub(super) submissions: mpsc::Receiver<Submission>,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) abandoned: mpsc::UnboundedReceiver<Abandoned>,
}

pub(super) fn open() -> (Ways, Ears) {
    let (submissions, calls) = mpsc::channel(SUBMISSIONS_MAX);
    let (orders, operators) = mpsc::channel(ORDERS_MAX);
    let (abandoned, leavers) = mpsc::unbounded_channel();
    let ears = Ears { submissions: calls, orders: operators, abandoned: leavers };
    (Ways { submissions, orders, abandoned }, ears)
}
