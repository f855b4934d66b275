//! `sidewinder run`: the daemon.

use super::settings::Flags;
use super::style::show;
use crate::app::{self, Given};
use crate::config::Source;
use crate::handover::introduction;
use crate::telemetry::Log;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

/// Serve tools written in Python
///
/// With nothing but --tools it listens on a private unix socket and keeps one worker for each processor.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: sidewinder run --tools my_module, and then: sidewinder call add '{\"a\": 1, \"b\": 2}'\n\n\
                  `sidewinder print-config` prints everything that a configuration can say."
)]
pub(super) struct Arguments {
    #[command(flatten)]
    flags: Flags,
    /// Only say whether this program can go on in the place of a daemon with these settings
    #[arg(long, hide = true)]
    as_successor: bool,
}

pub(super) fn run(arguments: Arguments, caller: Option<OwnedFd>) -> ExitCode {
    if arguments.as_successor {
        return introduce(&arguments.flags.source());
    }
    // First of all: there is one thread yet, and no descriptor of ours among those that were handed down.
    let given = match Given::take(caller) {
        Ok(given) => given,
        Err(why) => return super::fail(&why),
    };
    let source = arguments.flags.source();
    let settings = match source.read() {
        Ok(settings) => settings,
        Err(problems) => return super::fail(&problems),
    };
    let daemon = || {
        app::keep_memory();
        let log = Log::begin(&settings.telemetry)?;
        let done = app::run(source, settings, given, &log).map_err(|error| error.to_string());
        log.end();
        done
    };
    match daemon() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::fail(&error),
    }
}

/// Whoever asks executes this program in its own place when the answer is right.
fn introduce(source: &Source) -> ExitCode {
    match source.read() {
        Err(problems) => super::fail(&problems),
        Ok(settings) if !settings.upgrade => super::fail(
            &"`daemon.upgrade` is off in the settings as they are now, so every worker would end: set it",
        ),
        Ok(_) => match show(&(introduction() + "\n")) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => super::fail(&error),
        },
    }
}
