//! `sidewinder keep -- true`, again and again: the next start meets nothing of the one before.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Instant;

use sidewinder_tests::arena::{Arena, Tier};
use sidewinder_tests::figures::{Figures, milliseconds};
use sidewinder_tests::run::report::{self, Event};
use sidewinder_tests::{harvest, procfs};

/// Starts and stops; the process table has to be empty after each one.
pub(crate) fn churn(arena: &Arena, tier: Tier, cycles: u32, problems: &mut Vec<String>) -> io::Result<()> {
    let report = arena.file("events");
    let stderr = File::create(arena.file("stderr"))?;
    let mut figures = Figures::default();
    let mut stragglers = 0;
    for cycle in 0..cycles {
        let begun = Instant::now();
        let mut keep = arena.keep(tier, &report);
        let mut owner = keep.arg("true").stderr(stderr.try_clone()?).spawn()?;
        let status = owner.wait()?;
        let after_owner = harvest::harvest()?;
        figures.add(begun.elapsed());
        stragglers += after_owner.ends.len();
        if !status.success() {
            problems.push(format!("cycle {cycle} ended with {status}"));
            break;
        }
    }
    println!(
        "  tier {tier}: {} cycles, ms each: p50 {} p99 {} max {}; processes that outlived their owner: {stragglers}",
        figures.count(),
        milliseconds(figures.median()),
        milliseconds(figures.percentile(99)),
        milliseconds(figures.worst()),
    );
    if stragglers > 0 {
        problems.push(format!("{stragglers} processes ended after their owner"));
    }
    judge_reports(&report, tier, cycles, problems)
}

/// Every cycle reported its start, its exit and its end; no mark and no cgroup of any is left.
fn judge_reports(report: &Path, tier: Tier, cycles: u32, problems: &mut Vec<String>) -> io::Result<()> {
    let (mut runs, mut exits, mut gone) = (HashSet::new(), 0, 0);
    for event in report::read_all(report)? {
        match event {
            Event::Started(started) => {
                if started.tier != tier.letter() {
                    problems.push(format!("a run is of tier {}", started.tier));
                }
                if let Some(path) = started.cgroup.filter(|path| Path::new(path).exists()) {
                    problems.push(format!("cgroup {path} is left"));
                }
                runs.insert(started.run);
            }
            Event::Exited { code: Some(0), signal: None } => exits += 1,
            Event::Exited { code, signal } => {
                problems.push(format!("`true` ended with code {code:?}, signal {signal:?}"));
            }
            Event::Gone { warden_lost: false } => gone += 1,
            Event::Gone { warden_lost: true } => problems.push("a warden was lost".to_owned()),
            Event::Other => {}
        }
    }
    let started = u32::try_from(runs.len()).unwrap_or(u32::MAX);
    if (started, exits, gone) != (cycles, cycles, cycles) {
        problems.push(format!("{cycles} cycles reported {started} runs, {exits} exits and {gone} ends"));
    }
    let marked = procfs::marks().into_iter().filter(|(_, run)| runs.contains(run));
    problems.extend(marked.map(|(pid, run)| format!("process {pid} carries the mark of run {run}")));
    Ok(())
}
