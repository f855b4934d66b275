//! Owns one process tree so that nothing survives it.
//!
//! ```text
//!  owner ──lifeline──▶ keeper ──leash──▶ warden ──▶ worker ──▶ whatever it forks
//!  (may crash)         (init of a        (one per life; parent and subreaper
//!                       PID namespace     of the worker's whole tree)
//!                       where allowed)
//! ```
//!
//! The keeper is the small half of Sidewinder: single-threaded, no runtime, no TLS, no protobuf, a few hundred
//! lines. It forks and reaps; it outlives a crash of its owner, and ends everything when its owner is gone for
//! good. It never signals a process id it has stored: wardens signal only children they have not reaped yet, and
//! everybody else holds a pidfd.
//!
//! Three nets hang below each other. **The warden** kills everything below it when its worker ends, when it is
//! told to, or when the keeper is gone. **The keeper** kills what a killed warden left behind: a child of the
//! keeper that is no warden is a stray. **The kernel** kills the whole namespace with the keeper (tier A), and a
//! whole cgroup on request (tier B).
//!
//! [`wire`] and [`machine`] are pure. Everything that touches the system is Linux and lives behind one module,
//! so that another system has one place to be added.

// These panic when nobody reads any more; `complain!` and a checked write do not.
#![warn(clippy::print_stderr, clippy::print_stdout)]

/// Says a line on standard error. One that nobody reads any more, or that is full, ends and delays nothing.
#[macro_export]
macro_rules! complain {
    ($($words:tt)*) => { $crate::complaint::say(::std::format_args!($($words)*)) };
}

pub mod complaint;
pub mod machine;
mod tier;
pub mod wire;

#[cfg(target_os = "linux")]
pub mod linux;

#[cfg(not(target_os = "linux"))]
compile_error!("Sidewinder keeps process trees on Linux only: other systems need a module beside `linux`");

pub use tier::Tier;

/// The argument that turns the executable into a keeper.
pub const KEEPER_ARGUMENT: &str = "__keeper";
/// The argument that turns it into the warden of a worker that a fork server has forked.
pub const WARDEN_ARGUMENT: &str = "__warden";
/// The environment variable that marks every process of a run, with the run's identity as its value.
pub const RUN_VARIABLE: &str = "SIDEWINDER_RUN";
