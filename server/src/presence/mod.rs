//! Clients that are there: the machine of leases behind a lock, and what the daemon knows beside it.
//!
//! ```text
//!   Attach ──▶ Register ──▶ core ──▶ deeds: a lease ends ──▶ its calls and its stream hear of it
//!   a call ──▶ admit ───────▶│            workers are (not) wanted ──▶ a watch that `operate` follows
//!   time   ──▶ task ─────────┘            what happened ──▶ events
//! ```
//!
//! A lock and not a task of its own: each call asks whether it may come in, and the answer costs less than the way to
//! a task and back. Nothing is waited for under the lock.

mod attached;
mod beats;
mod caller;
mod held;
mod register;

pub(crate) use attached::Attached;
pub(crate) use beats::Beat;
pub(crate) use caller::Caller;
pub(crate) use held::{Client, Held, Lease, Seen};
pub(crate) use register::{NotAdmitted, Register, Wanted};
