//! `sidewinder completions`: the command line, for a shell to complete.

use super::style::show;
use clap::CommandFactory;
use clap_complete::Shell;
use std::process::ExitCode;

/// Print the completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: sidewinder completions bash > /etc/bash_completion.d/sidewinder")]
pub(super) struct Arguments {
    /// The shell to complete in
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::Cli::command(), "sidewinder", &mut script);
    match show(&String::from_utf8_lossy(&script)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::fail(&format!("cannot write the completions: {error}")),
    }
}
