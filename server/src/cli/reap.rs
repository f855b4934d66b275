//! `sidewinder reap`: ends what earlier runs left behind, and says what it did.

use super::style::{Style, show};
use crate::own::sweep::{self, Scope, Swept, Verdict};
use std::process::ExitCode;

/// Find and end what earlier runs left behind
///
/// Looks at the records of this user's runs. A run that somebody still holds is left alone; one that nobody holds
/// is ended: its cgroup, and every process that carries its mark. Nobody is ever found by name or command line.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit status: 0 when nothing is left, 1 when something could not be ended.")]
pub(super) struct Arguments {
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// One JSON object a run
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let swept = match sweep::sweep(&Scope::everybody(arguments.dry_run)) {
        Ok(swept) => swept,
        Err(error) => return super::fail(&format!("cannot look for earlier runs: {error}")),
    };
    let style = Style::of_stdout();
    let line = |run: &Swept| {
        if arguments.json {
            serde_json::to_string(run).unwrap_or_default()
        } else {
            describe(run, arguments.dry_run, style)
        }
    };
    let mut text: String = swept.iter().map(|run| line(run) + "\n").collect();
    if swept.is_empty() && !arguments.json {
        "nothing was left behind\n".clone_into(&mut text);
    }
    if let Err(error) = show(&text) {
        return super::fail(&format!("cannot say what was done: {error}"));
    }
    let all_ended = arguments.dry_run || swept.iter().all(|run| run.left.is_empty() && !run.held);
    if all_ended { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn describe(run: &Swept, dry_run: bool, style: Style) -> String {
    let why = match run.verdict {
        Verdict::Living => return format!("{}  is held by somebody: left alone", run.run),
        Verdict::Elsewhere => {
            return format!("{}  belongs to another PID namespace: left alone, run reap there", run.run);
        }
        Verdict::EarlierBoot => "is of an earlier boot: forgotten, nobody signalled",
        Verdict::Abandoned => "is held by nobody",
        Verdict::Stuck => "has lost its owner, and its keeper did not act",
    };
    let verb = if dry_run { "would be killed" } else { "killed" };
    let mut text = format!("{}  {why}", style.strong(&run.run));
    if run.verdict != Verdict::EarlierBoot {
        text = format!("{text}: {} processes {verb}", run.processes.len());
    }
    if let Some(cgroup) = &run.cgroup {
        text = format!("{text}, {cgroup} {}", if dry_run { "would be removed" } else { "removed" });
    }
    if !run.left.is_empty() && !dry_run {
        let left = format!("still there: {:?} (in uninterruptible sleep, or of another user)", run.left);
        text = format!("{text}; {}", style.bad(&left));
    }
    if run.held {
        let held = "a warden that does not answer still holds it: end it as root";
        text = format!("{text}; {}", style.bad(held));
    }
    text
}
