//! `sidewinder print-config`: every key with its default, or what holds in the end.

use super::Flags;
use crate::cli::style::show;
use crate::config;
use std::process::ExitCode;

/// Print every key with its unit, its meaning and its default, as a file that can be used
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: sidewinder print-config > sidewinder.toml")]
pub(in crate::cli) struct Arguments {
    /// What holds after the file, the environment and the flags, and where each key was said
    #[arg(long, conflicts_with = "page")]
    effective: bool,
    /// As the page of the documentation
    #[arg(long)]
    page: bool,
    #[command(flatten, next_help_heading = "With --effective, as for run")]
    flags: Flags,
}

pub(in crate::cli) fn run(arguments: &Arguments) -> ExitCode {
    if arguments.flags.say_something() && !arguments.effective {
        return crate::cli::fail(&"what a file or a flag says is printed with --effective");
    }
    let text = if arguments.effective {
        match arguments.flags.clone().source().read_with_draft() {
            Ok((_, draft)) => config::effective(&draft),
            Err(problems) => return crate::cli::fail(&problems),
        }
    } else if arguments.page {
        config::page()
    } else {
        config::defaults()
    };
    match show(&text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => crate::cli::fail(&format!("cannot print: {error}")),
    }
}
