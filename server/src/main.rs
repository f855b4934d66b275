//! The command line of Sidewinder: a table of contents.
//!
//! One executable plays two parts. Before anything else exists, `main` looks whether it is to be a keeper; only
//! then does it read its command line.

// These panic when nobody reads any more; `complain!` and a checked write do not.
#![warn(clippy::print_stderr, clippy::print_stdout)]

mod app;
mod cli;
mod config;
mod endings;
mod handover;
mod keep;
mod lifecycle;
mod operate;
mod own;
mod pool;
mod presence;
mod rpc;
mod systemd;
mod telemetry;
mod worker;

use std::process::ExitCode;

fn main() -> ExitCode {
    let caller = keep::caller();
    sidewinder_keeper_kernel::sys::expect_children();
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(first) if first == sidewinder_keeper_wire::KEEPER_ARGUMENT => sidewinder_keeper::main(arguments),
        Some(first) if first == sidewinder_keeper_wire::WARDEN_ARGUMENT => {
            sidewinder_keeper::foster(arguments)
        }
        Some(first) if first == own::lifeline::GATE_ARGUMENT => {
            cli::fail(&own::lifeline::wait_at_the_gate(arguments))
        }
        Some(_) | None => cli::main(caller),
    }
}
