//! `sidewinder doctor`: which tier and which limits this machine gives, and why.

use super::style::{Style, show};
use crate::own::probe::{self, Check, Findings, Given, Holder};
use sidewinder_keeper_kernel::complain;
use sidewinder_keeper_wire::Tier;
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
    let text = if arguments.json {
        serde_json::to_string_pretty(&findings).unwrap_or_default() + "\n"
    } else {
        describe(&findings, Style::of_stdout())
    };
    if let Err(error) = show(&text) {
        return super::fail(&format!("cannot say what was found: {error}"));
    }
    match arguments.require_tier {
        Some(required) if !findings.strength.satisfies(required) => {
            complain!("tier {required} is required and this machine gives {}", findings.tier);
            ExitCode::FAILURE
        }
        Some(_) | None => ExitCode::SUCCESS,
    }
}

fn describe(findings: &Findings, style: Style) -> String {
    let title = style.strong(&format!("tier {}: {}", findings.tier, findings.meaning));
    let tiers: String = findings.tiers.iter().map(|given| describe_tier(given, style)).collect();
    let checks: String = findings.checks.iter().map(|check| describe_check(check, style)).collect();
    let limits: String =
        findings.limits.iter().map(|(limit, holder)| describe_limit(limit, *holder, style)).collect();
    format!("{title}\n\n{tiers}\n{checks}\n{limits}")
}

fn describe_tier(given: &Given, style: Style) -> String {
    let name = format!("tier {}: {}", given.tier, given.meaning);
    format!("{}  {name:<30} {}\n", answer(given.yes, style), given.why)
}

fn answer(yes: bool, style: Style) -> String {
    if yes { style.good("yes") } else { style.bad("no ") }
}

fn describe_check(check: &Check, style: Style) -> String {
    let answer = answer(check.yes, style);
    let fix = check.fix.map(|fix| format!("     {:<30} fix: {fix}\n", "")).unwrap_or_default();
    format!("{answer}  {:<30} {}\n{fix}", check.name, check.detail)
}

fn describe_limit(limit: &str, holder: Holder, style: Style) -> String {
    let held = match holder {
        Holder::Cgroup => style.good("the whole tree (cgroup)"),
        Holder::EachProcess => "each process or user (rlimit)".to_owned(),
        Holder::Nothing => style.bad("nothing: refused"),
    };
    format!("limit {limit:<8} held by {held}\n")
}
