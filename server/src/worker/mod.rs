//! One life of a worker: how it is started, what is said to it, how it ends.
//!
//! ```text
//!   pool ──Spawn──▶ life ──asks the keeper──▶ process
//!    ▲                │ hello, ready
//!    └──── facts ─────┤                        caller ──open──▶ link ──frames──▶ calls socket
//!                     └── reads both sockets ─────────said────▶ caller
//! ```
//!
//! [`frame`] and [`words`] are pure. A [`link`] is what the pool lends to a caller: the caller writes to the worker
//! itself, so payload bytes never cross the pool. One task a life reads both sockets, because a worker with several
//! seats interleaves its calls.

pub(crate) mod brood;
pub(crate) mod command;
pub(crate) mod frame;
pub(crate) mod life;
pub(crate) mod link;
pub(crate) mod memo;
pub(crate) mod output;
pub(crate) mod placed;
pub(crate) mod socket;
pub(crate) mod start;
pub(crate) mod witness;
pub(crate) mod words;

/// 64 bits of chance: the core rolls no dice itself.
pub(crate) fn dice() -> u64 {
    let mut bytes = [0; 8];
    // Without chance everything still works, only less spread.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    u64::from_le_bytes(bytes)
}
