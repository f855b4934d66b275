//! The control plane of one pool: one door to the pure core, and whoever comes through it does what is decided.
//!
//! ```text
//!   caller ──submit──▶ desk ──▶ core
//!     ▲                 │ ▲
//!     │  Begun, refused │ └──────── Told ─── life
//!     └──── errand ◀────┘
//!              └─ the call ─▶ worker
//! ```
//!
//! Nobody waits behind the door: effects send, spawn or drop. Payload bytes never cross it.

mod conversation;
mod desk;
mod errand;
mod handle;
mod pools;
mod state;
mod strain;
#[cfg(test)]
mod tests;

pub(crate) use conversation::{Conversation, Guard, Heard, Inputs};
pub(crate) use handle::{Handle, Lost, Refused, Verdict};
pub(crate) use pools::{Pools, Seen};
pub(crate) use state::{Carried, Carrier, Inheritance, Look, leave, start};
