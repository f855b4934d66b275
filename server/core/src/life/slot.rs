//! One slot and the life in it.
//!
//! ```text
//!            spawn            ready                    calls, age, …            idle
//!   Empty ──────────▶ Starting ─────▶ Running(Kept) ─▶ Due ─▶ Outgoing ─▶ Closed ─▶ Stopping ─▶ Empty
//!     ▲                  │ dies early      │ dies                                      │
//!     └──── Backoff ◀────┴─────────────────┘                     not in time: killed ◀─┘
//!              └─▶ Fatal
//! ```
//!
//! Every deadline lives in the state that waits for it, so leaving the state cancels it.
//! `Due` waits for its turn, `Outgoing` serves on until its replacement is ready, `Closed` takes no more calls.

use super::recycle::Limits;
use super::restart::{Death, Record};
use crate::effect::Leave;
use crate::id::{CallId, Generation, Life, SlotId};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) id: SlotId,
    /// The number of the last life; it only ever grows.
    pub(crate) number: u32,
    pub(crate) stage: Stage,
    pub(crate) record: Record,
    /// What the timers and the indices know of this slot.
    pub(super) armed: Option<Instant>,
    pub(super) seen: View,
}

#[derive(Debug)]
pub(crate) enum Stage {
    Empty,
    Backoff { until: Instant },
    Starting { generation: Generation, ready_by: Instant },
    Running(Box<Running>),
    Stopping { generation: Generation, step: Step, death: Death },
    Fatal,
}

/// How far the end of a life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Asked {
        kill_at: Instant,
    },
    Killed {
        report_at: Instant,
    },
    /// Killed, reported, and still there.
    Unkillable,
}

#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) generation: Generation,
    pub(crate) since: Instant,
    pub(crate) standing: Standing,
    pub(crate) limits: Limits,
    /// Calls that hold a seat, those that were interrupted included.
    pub(crate) seats: BTreeSet<CallId>,
    /// How many of them have had their ending and only keep the seat.
    pub(crate) ghosts: usize,
    pub(crate) begun: u32,
    pub(crate) served: u32,
    pub(crate) resident: u64,
    pub(crate) idle_since: Instant,
    /// When to look whether an idle life is still wanted.
    pub(crate) look_at: Instant,
    pub(crate) suspect_since: Option<Instant>,
    pub(crate) suspect_grace: Duration,
    /// A call on it would not give up; its siblings have until then.
    pub(crate) condemned: Option<Condemned>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Condemned {
    pub(crate) call: CallId,
    pub(crate) kill_at: Instant,
}

/// How long a life is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Kept,
    /// It is to be replaced when its turn comes. The number orders the turns.
    Due(Leave, u64),
    /// Its replacement is on the way; until then it serves.
    Outgoing(Leave, u64),
    /// No more calls; it is asked to stop when the last has ended.
    Closed(Leave, Instant),
    /// The same, and its calls take so long that its place is no longer waited for.
    Lingering(Leave),
}

/// What a slot counts as. Every slot is exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Empty,
    Backoff,
    Starting,
    Kept {
        occupied: bool,
    },
    Outgoing,
    Closed,
    Lingering,
    Stopping,
    /// Killed because it never became ready; it holds its place until its slot may rest.
    Failing,
    Fatal,
}

/// The order in which lives with a free seat are taken: those that stay before those that go, the least busy
/// first, then from the left, so that the right-hand end falls idle and can be given back.
pub(crate) type SeatRank = (bool, usize, SlotId);

/// Everything the indices know of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct View {
    pub(super) class: Class,
    pub(super) seat: Option<SeatRank>,
    pub(super) turn: Option<u64>,
}

impl Slot {
    pub(super) fn new(id: SlotId) -> Self {
        Self {
            id,
            number: 0,
            stage: Stage::Empty,
            record: Record::default(),
            armed: None,
            seen: View { class: Class::Empty, seat: None, turn: None },
        }
    }

    /// The process that is in this slot now.
    pub(crate) fn life(&self) -> Option<Life> {
        match self.stage {
            Stage::Starting { .. } | Stage::Running(_) | Stage::Stopping { .. } => Some(self.named()),
            Stage::Empty | Stage::Backoff { .. } | Stage::Fatal => None,
        }
    }

    /// The last life of this slot, there or not.
    pub(crate) fn named(&self) -> Life {
        Life { slot: self.id, number: self.number }
    }

    pub(crate) fn running(&self) -> Option<&Running> {
        if let Stage::Running(running) = &self.stage { Some(running) } else { None }
    }

    pub(crate) fn running_mut(&mut self) -> Option<&mut Running> {
        if let Stage::Running(running) = &mut self.stage { Some(running) } else { None }
    }

    pub(crate) fn due_at(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Backoff { until } => Some(*until),
            Stage::Starting { ready_by, .. } => Some(*ready_by),
            Stage::Running(running) => running.due_at(),
            Stage::Stopping { step: Step::Asked { kill_at }, .. } => Some(*kill_at),
            Stage::Stopping { step: Step::Killed { report_at }, .. } => Some(*report_at),
            Stage::Stopping { step: Step::Unkillable, .. } | Stage::Empty | Stage::Fatal => None,
        }
    }

    pub(super) fn view(&self) -> View {
        match &self.stage {
            Stage::Empty => View { class: Class::Empty, seat: None, turn: None },
            Stage::Backoff { .. } => View { class: Class::Backoff, seat: None, turn: None },
            Stage::Starting { .. } => View { class: Class::Starting, seat: None, turn: None },
            Stage::Running(running) => running.view(self.id),
            Stage::Stopping { death: Death::Early, .. } => {
                View { class: Class::Failing, seat: None, turn: None }
            }
            Stage::Stopping { .. } => View { class: Class::Stopping, seat: None, turn: None },
            Stage::Fatal => View { class: Class::Fatal, seat: None, turn: None },
        }
    }
}

impl Running {
    pub(crate) fn is_idle(&self) -> bool {
        self.seats.is_empty()
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.standing, Standing::Closed(..) | Standing::Lingering(_))
    }

    pub(crate) fn leave(&self) -> Option<Leave> {
        match self.standing {
            Standing::Kept => None,
            Standing::Due(why, _)
            | Standing::Outgoing(why, _)
            | Standing::Closed(why, _)
            | Standing::Lingering(why) => Some(why),
        }
    }

    pub(crate) fn has_free_seat(&self) -> bool {
        let seats = usize::try_from(self.limits.seats).unwrap_or(usize::MAX);
        !self.is_closed() && self.suspect_since.is_none() && self.seats.len() < seats
    }

    /// When an idle and silent life is given up.
    pub(crate) fn stuck_at(&self) -> Option<Instant> {
        let since = self.suspect_since.filter(|_| self.is_idle())?;
        Some(since.max(self.idle_since) + self.suspect_grace)
    }

    pub(crate) fn age_at(&self) -> Option<Instant> {
        self.limits.age_at.filter(|_| self.standing == Standing::Kept)
    }

    pub(crate) fn look_at(&self) -> Option<Instant> {
        let wanted = match self.standing {
            Standing::Kept | Standing::Due(..) => true,
            Standing::Outgoing(..) | Standing::Closed(..) | Standing::Lingering(_) => false,
        };
        (wanted && self.is_idle()).then_some(self.look_at)
    }

    pub(crate) fn lingers_at(&self) -> Option<Instant> {
        if let Standing::Closed(_, at) = self.standing { Some(at) } else { None }
    }

    fn due_at(&self) -> Option<Instant> {
        let condemned = self.condemned.map(|condemned| condemned.kill_at);
        [self.age_at(), self.look_at(), self.stuck_at(), self.lingers_at(), condemned]
            .into_iter()
            .flatten()
            .min()
    }

    fn view(&self, slot: SlotId) -> View {
        let occupied = !self.is_idle() || self.suspect_since.is_some();
        let (class, turn) = match self.standing {
            Standing::Kept => (Class::Kept { occupied }, None),
            Standing::Due(_, turn) => (Class::Kept { occupied }, Some(turn)),
            Standing::Outgoing(_, turn) => (Class::Outgoing, Some(turn)),
            Standing::Closed(..) => (Class::Closed, None),
            Standing::Lingering(_) => (Class::Lingering, None),
        };
        let seat = self.has_free_seat().then_some((turn.is_some(), self.seats.len(), slot));
        View { class, seat, turn }
    }
}
