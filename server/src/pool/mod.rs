//! The control plane of one pool: one task around the pure core.
//!
//! ```text
//!   caller ──checkout──▶ Handle ─submission▶ task ──▶ core
//!                          ▲                  │ Assign: the link is lent
//!                          └───── Lent ◀──────┘ Fail: the verdict is sent
//!   life ─────────────────── Told ──────────▶ task
//! ```
//!
//! The task never waits for anybody: effects send, spawn or drop. Payload bytes never cross it.

mod conversation;
mod effects;
mod handle;
mod inherit;
mod mailbox;
mod measure;
mod pools;
mod strain;
mod task;
mod tell;
#[cfg(test)]
mod tests;

pub(crate) use conversation::{Conversation, Guard, Heard, Inputs};
pub(crate) use effects::leave;
pub(crate) use handle::{Handle, Lost, Refused, Verdict};
pub(crate) use inherit::{Carried, Carrier, Inheritance};
pub(crate) use pools::{Pools, Seen};
pub(crate) use task::{Look, start};
