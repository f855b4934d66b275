//! The heart of one pool: it decides, and never does.
//!
//! ```text
//!    facts ──▶ handle(now, event, &mut effects) ──▶ decisions
//!    time  ──▶ handle_timeout(now, &mut effects) ─▶ decisions
//!              next_deadline()                      when to come back
//!              snapshot()                           what it looks like
//! ```
//!
//! No sockets, no processes, no clock, no dice: every entry is told what time it is, and where a decision
//! wants chance the event brings it. So any story can be told twice and ends the same.
//! Several pools are several of these; they share nothing.
//!
//! The rooms:
//! - [`Event`]s come in, [`Effect`]s go out. Each call gets exactly one ending, a [`Refusal`] (no worker saw
//!   it), a [`Failure`] (one did), its answer, or to be forgotten.
//! - `call`: the ledger of calls, the waiting line, affinity, poison.
//! - `life`: slots, their states with their deadlines, restart and recycling.
//! - `presence`: leases, and what it means that nobody is there. A machine beside the pools: it knows none of them.
//! - `pool`: one arm per event; one door for facts about lives (`pool::lives`); one place where waiting
//!   calls meet free seats (`pool::settle`); one place where the number of lives is decided (`pool::populate`).
//!
//! On the way of a call nothing looks at every slot or every waiting call: each question has an ordered
//! index, and each index is brought up to date at one door.
//!
//! What is deliberately not here, and where it will attach:
//! - **Jobs.** A call that outlives its client is already one with [`OnAbandon::Finish`] and no deadline.
//!   What a job adds, to be started again from a checkpoint after a death, is a third answer beside
//!   `Fail` and the strike where `pool::lives` ends the calls of a dead life. The journal is elsewhere.
//! - Retry hints, metrics, classification of exits: whoever performs the effects knows more about them.
#![forbid(unsafe_code)]

mod call;
mod effect;
mod event;
mod id;
mod life;
mod policy;
mod pool;
pub mod presence;
mod snapshot;
mod timer;

pub use effect::{Effect, Failure, KillCause, Leave, Notice, Refusal};
pub use event::{Adopted, Affinity, AffinityMode, Event, Jitter, OnAbandon, Priority, Request};
pub use id::{AffinityKey, CallId, CallKey, ClientId, Generation, Life, SlotId};
pub use policy::{
    Checked, Flaw, GraceRules, LineRules, PoisonRules, Policy, RecycleRules, RestartRules, SLOTS_MAX,
    SPAN_MAX, Size,
};
pub use pool::Pool;
pub use snapshot::{Phase, SlotView, Snapshot, State};
