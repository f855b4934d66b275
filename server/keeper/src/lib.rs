//! Owns one process tree so that nothing survives it.
//!
//! ```text
//!  owner ──lifeline──▶ keeper ──leash──▶ warden ──▶ worker ──▶ whatever it forks
//!  (may crash)         (init of a        (one per life; parent and subreaper
//!                       PID namespace     of the worker's whole tree)
//!                       where allowed)
//! ```
//!
//! The keeper is the small half of Sidewinder: single-threaded, no runtime, no TLS, no protobuf. It forks and reaps; it
//! outlives a crash of its owner, and ends everything when its owner is gone for good. It never signals a process id
//! that it has only stored: wardens and keeper signal only children that they have not reaped yet, and everybody else
//! holds a pidfd.
//!
//! Three nets hang below each other. **The warden** kills everything below it when its worker ends, when it is
//! told to, or when the keeper is gone. **The keeper** kills what a killed warden left behind: a child of the
//! keeper that is no warden is a stray. **The kernel** kills the whole namespace with the keeper (tier A), and a
//! whole cgroup on request (tier B).
//!
//! # How to read it
//!
//! It is meant to be read in one sitting, in this order: fewer than 800 lines without comments, which a test holds.
//!
//! 1. `machine.rs`: what a keeper decides. A worker's life is one of six states, and each fact moves it.
//! 2. `keeper.rs`: what a keeper holds, and its loop. Each fact is told to the machine, each decision is done.
//! 3. `owner.rs`: what its owner asks, and what it is told.
//! 4. `ward.rs`: what is held of one worker.
//! 5. `wards.rs`: what wardens say, who died, and the hunt for those who have no warden any more.
//! 6. `forks.rs`: fork servers, and whom the keeper believes.
//! 7. `enter.rs`: how a process becomes a keeper.
//!
//! Three crates lie below, each to be read by itself. `wire` is what is said, as bytes; `kernel` is what Linux offers, each
//! thing a small function, and all unsafe code; `warden` is the parent of one worker, of which the keeper sees a leash.

#![warn(clippy::print_stderr, clippy::print_stdout)]

mod enter;
mod forks;
mod keeper;
pub mod machine;
mod owner;
mod ward;
mod wards;

pub use enter::main;
pub use sidewinder_keeper_warden::foster::main as foster;

use sidewinder_keeper_kernel::link;
use sidewinder_keeper_wire as wire;

// Whatever can be said fits through what it is said on.
const _: () = assert!(wire::FRAME_MAX <= link::FRAME_MAX && wire::FDS_MAX <= link::FDS_MAX);
