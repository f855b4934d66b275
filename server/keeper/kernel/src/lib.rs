//! What Linux offers to hold a tree of processes, each thing once, as a small call with a contract.
//!
//! Nothing here knows of workers, owners or requests: these are mechanisms, and what they are for is decided elsewhere.
//! Whoever is to hold processes on another system begins here.
//!
//! | module | what it offers |
//! |---|---|
//! | [`sys`] | the calls that no safe crate has, and all unsafe code of the workspace |
//! | [`lineage`] | the children of this process, and how to be rid of them |
//! | [`cgroup`] | one cgroup, and the kernel's knobs in it |
//! | [`namespaces`] | the way into a PID namespace |
//! | [`link`], [`outbox`] | a socket for frames and descriptors, and what waits for a slow reader of it |
//! | [`wait`], [`rounds`] | a poll, and how often to look again while processes die |
//! | [`standard`], [`facts`] | what comes as standard input and output; what the kernel says of this boot |
//! | [`complaint`] | a line on standard error that delays nobody |

#![warn(clippy::print_stderr, clippy::print_stdout)]

#[cfg(not(target_os = "linux"))]
compile_error!("Sidewinder keeps process trees on Linux only: other systems need a crate beside this one");

/// Says a line on standard error. One that nobody reads any more, or that is full, ends and delays nothing.
#[macro_export]
macro_rules! complain {
    ($($words:tt)*) => { $crate::complaint::say(::std::format_args!($($words)*)) };
}

pub mod cgroup;
pub mod complaint;
pub mod facts;
pub mod lineage;
pub mod link;
pub mod namespaces;
pub mod outbox;
pub mod rounds;
pub mod standard;
pub mod sys;
pub mod wait;

pub use cgroup::Cgroup;
pub use lineage::Lineage;
pub use link::{Link, Received};
pub use outbox::Outbox;
pub use rounds::Rounds;
pub use sys::{Forked, Reaped, Signals};
