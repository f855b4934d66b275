//! The reaper matrix: nasty workers × victims × signals × tiers, and zero survivors.
//!
//! ```text
//!   MATRIX=reduced|full    which cases (reduced)      MATRIX_ONLY=text   only cases whose name holds it
//!   MATRIX_SEED=number     the random choices again   SIDEWINDER_BIN, SIDEWINDER_TEST_CGROUP, PYTHON
//! ```
//!
//! Each case starts a caller, the caller starts `sidewinder keep`, and that starts
//! a worker of the zoo. Once the worker says `ready`, the victims get the signal,
//! and from that moment on everything has to be gone within the bound.

mod case;
mod law;
mod plan;
mod strike;
mod table;

use std::io;
use std::process::{Command, ExitCode};

use sidewinder_tests::arena::{Arena, Tier};
use sidewinder_tests::figures::milliseconds;
use sidewinder_tests::{harvest, seed};

use crate::plan::{Extent, Plan};
use crate::table::Table;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let outcome = match arguments.next() {
        Some(first) if first == "--caller" => be_caller(arguments),
        _ => run_matrix(),
    };
    outcome.unwrap_or_else(|error| {
        println!("the matrix could not run: {error}");
        ExitCode::FAILURE
    })
}

/// The caller of a case: starts what it is told and waits for it.
fn be_caller(mut command_line: impl Iterator<Item = std::ffi::OsString>) -> io::Result<ExitCode> {
    let program = command_line.next().ok_or_else(|| io::Error::other("--caller needs a command"))?;
    let status = Command::new(program).args(command_line).status()?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

fn run_matrix() -> io::Result<ExitCode> {
    harvest::adopt_orphans()?;
    let arena = Arena::prepare("matrix")?;
    let seed = seed::seed_from("MATRIX_SEED");
    let extent = Extent::from_environment()?;
    let only = std::env::var("MATRIX_ONLY").unwrap_or_default();
    println!("reaper matrix: {extent}, MATRIX_SEED={seed}, binary {}", arena.binary().display());

    let mut tiers = Vec::new();
    for (tier, usable) in arena.tiers() {
        match usable {
            Ok(()) => tiers.push(tier),
            Err(reason) => println!("tier {tier}: rows did not run: {reason}"),
        }
    }
    let plan = Plan::draw(extent, &tiers, seed, &only);
    let table = run_plan(&plan, &arena)?;
    table.print(&tiers);
    Ok(if table.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_plan(plan: &Plan, arena: &Arena) -> io::Result<Table> {
    let mut table = Table::default();
    for case in &plan.cases {
        let verdict = case::run(case, arena)?;
        if !verdict.problems.is_empty() {
            println!("FAILED {case}");
            for problem in &verdict.problems {
                println!("  {problem}");
            }
        }
        if let Some(took) = verdict.took.filter(|took| *took > law::bound(case.worker)) {
            println!("late: {case} took {} ms", milliseconds(took));
        }
        table.add(case, &verdict);
    }
    Ok(table)
}

/// The tiers in a fixed order, for the table.
fn in_order(tiers: &[Tier]) -> impl Iterator<Item = Tier> + '_ {
    Tier::ALL.into_iter().filter(|tier| tiers.contains(tier))
}
