//! `sidewinder run`: the daemon.

use super::settings::Flags;
use crate::app;
use crate::systemd::Handed;
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
}

pub(super) fn run(arguments: Arguments, caller: Option<OwnedFd>) -> ExitCode {
    // First of all: there is one thread yet, and no descriptor of ours among those that were handed down.
    let handed = match Handed::take() {
        Ok(handed) => handed,
        Err(why) => return super::fail(&why),
    };
    let source = arguments.flags.source();
    let settings = match source.read() {
        Ok(settings) => settings,
        Err(problems) => return super::fail(&problems),
    };
    let daemon = || {
        let log = Log::begin(&settings.telemetry)?;
        let done = app::run(source, settings, (handed, caller), &log).map_err(|error| error.to_string());
        log.end();
        done
    };
    match daemon() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::fail(&error),
    }
}
