//! `sidewinder doctor`: which tier and which limits this machine gives, and why.

use super::style::Style;
use crate::own::probe::{self, Check, Findings, Holder};
use sidewinder_keeper::Tier;
use std::process::ExitCode;

/// Say which tier and which limits this machine gives, and why
///
/// Everything is tried, nothing is guessed. Each "no" comes with what would make it a "yes".
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit status: 0, or 1 when --require-tier is not met.")]
pub(super) struct Arguments {
    /// As one JSON object
    #[arg(long)]
    json: bool,
    /// Fail unless the machine gives at least this tier
    #[arg(long, value_name = "TIER")]
    require_tier: Option<Tier>,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let findings = probe::probe();
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&findings).unwrap_or_default());
    } else {
        print(&findings, Style::of_stdout());
    }
    match arguments.require_tier {
        Some(required) if !findings.strength.satisfies(required) => {
            eprintln!("sidewinder: tier {required} is required and this machine gives {}", findings.tier);
            ExitCode::FAILURE
        }
        Some(_) | None => ExitCode::SUCCESS,
    }
}

fn print(findings: &Findings, style: Style) {
    println!("{}", style.strong(&format!("tier {}: {}", findings.tier, findings.meaning)));
    println!();
    for check in &findings.checks {
        print_check(check, style);
    }
    println!();
    for (limit, holder) in &findings.limits {
        let held = match holder {
            Holder::Cgroup => style.good("the whole tree (cgroup)"),
            Holder::EachProcess => "each process or user (rlimit)".to_owned(),
            Holder::Nothing => style.bad("nothing: refused"),
        };
        println!("limit {limit:<8} held by {held}");
    }
}

fn print_check(check: &Check, style: Style) {
    let answer = if check.yes { style.good("yes") } else { style.bad("no ") };
    println!("{answer}  {:<30} {}", check.name, check.detail);
    if let Some(fix) = check.fix {
        println!("     {:<30} fix: {fix}", "");
    }
}
