//! The verbs, one file each.

mod call;
mod client;
mod completions;
mod doctor;
mod follow;
mod keep;
mod look;
mod order;
mod reap;
mod run;
mod settings;
mod style;
mod upgrade;
mod wait;

use clap::{Parser, Subcommand};
use sidewinder_keeper_kernel::complain;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

/// Sidewinder could not do its own part.
pub(crate) const FAILED: u8 = 125;
/// The command was found and could not be executed.
pub(crate) const NOT_EXECUTABLE: u8 = 126;
/// The command was not found.
pub(crate) const NOT_FOUND: u8 = 127;

/// Keeps Python workers alive next to a BEAM, and never leaves a process behind.
#[derive(Debug, Parser)]
#[command(name = "sidewinder", version, about, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Keep(Box<keep::Arguments>),
    Run(Box<run::Arguments>),
    /// Run a tool and show its value
    #[command(after_help = "Example: sidewinder call add '{\"a\": 1, \"b\": 2}'")]
    Call(Box<call::Arguments>),
    /// Run a tool and show its items as they come, one a line
    #[command(after_help = "Example: sidewinder stream count '{\"until\": 3}'")]
    Stream(Box<call::Arguments>),
    /// Show the pools of a daemon and their workers
    Status(look::status::Arguments),
    /// Show the tools that a daemon offers
    Tools(look::status::Arguments),
    /// Show who is attached to a daemon, and how well it is heard
    Clients(look::clients::Arguments),
    /// Be a client of a daemon for as long as this runs: its workers stay
    Attach(follow::attach::Arguments),
    Wait(wait::Arguments),
    Drain(order::Drain),
    Resume(order::Resume),
    Restart(order::Restart),
    Resize(order::Resize),
    Reload(order::Reload),
    Dump(order::Dump),
    Upgrade(upgrade::Arguments),
    Quit(order::Quit),
    /// Show the log of a daemon: what it remembers, and what comes
    Logs(follow::logs::Arguments),
    /// Show what happens in a daemon, from now on
    Events(follow::events::Arguments),
    CheckConfig(settings::Check),
    PrintConfig(Box<settings::Print>),
    Doctor(doctor::Arguments),
    Reap(reap::Arguments),
    Completions(completions::Arguments),
}

pub(crate) fn main(caller: Option<OwnedFd>) -> ExitCode {
    match Cli::parse().verb {
        Verb::Run(arguments) => run::run(*arguments, caller),
        Verb::Call(arguments) => call::call(&arguments),
        Verb::Stream(arguments) => call::stream(&arguments),
        Verb::Status(arguments) => look::status::status(&arguments),
        Verb::Tools(arguments) => look::status::tools(&arguments),
        Verb::Clients(arguments) => look::clients::run(&arguments),
        Verb::Attach(arguments) => follow::attach::run(&arguments),
        Verb::Wait(arguments) => wait::wait(&arguments),
        Verb::Drain(arguments) => order::drain(&arguments),
        Verb::Resume(arguments) => order::resume(&arguments),
        Verb::Restart(arguments) => order::restart(&arguments),
        Verb::Resize(arguments) => order::resize(&arguments),
        Verb::Reload(arguments) => order::reload(&arguments),
        Verb::Dump(arguments) => order::dump(&arguments),
        Verb::Upgrade(arguments) => upgrade::run(&arguments),
        Verb::Quit(arguments) => order::quit(&arguments),
        Verb::Logs(arguments) => follow::logs::run(&arguments),
        Verb::Events(arguments) => follow::events::run(&arguments),
        Verb::Keep(arguments) => keep::run(*arguments, caller),
        Verb::CheckConfig(arguments) => settings::check(&arguments),
        Verb::PrintConfig(arguments) => settings::print(&arguments),
        Verb::Doctor(arguments) => doctor::run(&arguments),
        Verb::Reap(arguments) => reap::run(&arguments),
        Verb::Completions(arguments) => completions::run(&arguments),
    }
}

/// Says what went wrong, and returns the status for it.
pub(crate) fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    complain!("{error}");
    ExitCode::from(FAILED)
}
