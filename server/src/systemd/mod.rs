//! The service manager: what it hands down, and what it is told.
//!
//! ```text
//!   systemd ──LISTEN_FDS──▶ Handed ─▶ listeners
//!      ▲                                        readiness, status, reload, stop
//!      └──── a thread of its own ◀── Herald ◀──────────────┴── proof of life
//! ```
//!
//! Nothing here knows of pools: whoever knows them says what is to be told. Without a service manager nothing is handed
//! down, nobody listens, and everything here is silent.

mod herald;
mod readiness;
mod scope;
mod sockets;
mod store;
mod watchdog;

pub(crate) use herald::Herald;
pub(crate) use readiness::{Rule, Sight, When, busy, serving, starting};
pub(crate) use scope::enclose;
pub(crate) use sockets::{Door, Handed};
pub(crate) use store::Store;
pub(crate) use watchdog::keep_alive;
