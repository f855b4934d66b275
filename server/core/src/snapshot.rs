//! A picture of a pool for metrics, health and operators. It costs a look at every slot, so it is
//! for those who ask now and then, not for the way of a call.

use crate::effect::Leave;
use crate::id::{Generation, Life, SlotId};
use std::fmt;
use std::time::Instant;

/// The whole pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What it is doing.
    pub phase: Phase,
    /// Nobody is there, so workers come on demand.
    pub deserted: bool,
    /// The line was full, and half of it is not free again.
    pub saturated: bool,
    /// What new lives are started under.
    pub generation: Generation,
    /// Calls in the line.
    pub waiting: usize,
    /// Calls that hold a seat, those that were interrupted included.
    pub running: usize,
    /// Processes, the dying included.
    pub processes: usize,
    /// Affinity keys that are bound.
    pub bound_keys: usize,
    /// Call keys with a strike.
    pub struck_keys: usize,
    /// Every slot that is in use, in order.
    pub slots: Vec<SlotView>,
}

/// What a pool is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Taking calls.
    Serving,
    /// No worker lives, and none will without an operator.
    Fatal,
    /// On its way out.
    Draining,
    /// Out.
    Drained,
}

/// One slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotView {
    /// Which.
    pub slot: SlotId,
    /// The name operators know.
    pub state: State,
    /// Its process, if it has one.
    pub life: Option<Life>,
    /// When the next one is tried, if it rests.
    pub rests_until: Option<Instant>,
    /// When that was ready.
    pub ready_since: Option<Instant>,
    /// What that was started under.
    pub generation: Option<Generation>,
    /// Calls that hold a seat.
    pub busy: usize,
    /// Calls it has begun.
    pub begun: u32,
    /// Calls it has finished.
    pub served: u32,
    /// Resident bytes when last measured.
    pub resident: u64,
    /// Silent since then.
    pub suspect_since: Option<Instant>,
    /// Why it is going, or is to be replaced.
    pub leaving: Option<Leave>,
    /// Its replacement has been sent for.
    pub replacing: bool,
    /// Takes calls.
    pub open: bool,
    /// Killed, and still there.
    pub unkillable: bool,
}

/// The states of a slot as operators know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Spawned, not ready yet.
    Starting,
    /// Ready.
    Running,
    /// Resting before the next try.
    Backoff,
    /// Asked to leave, or killed.
    Stopping,
    /// Given up until a restart is requested.
    Fatal,
}

impl State {
    /// The word operators read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "STARTING",
            Self::Running => "RUNNING",
            Self::Backoff => "BACKOFF",
            Self::Stopping => "STOPPING",
            Self::Fatal => "FATAL",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.name())
    }
}
