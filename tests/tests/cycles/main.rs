//! Starts and stops without end, starts beside the orphans of older runs, and `sidewinder reap`.
//!
//! ```text
//!   CYCLES=number   start/stop cycles for each tier (200)     SIDEWINDER_BIN, SIDEWINDER_TEST_CGROUP, PYTHON
//! ```
//!
//! Each story runs alone: it starts with no child and no record, and has to end so.

mod churn;
mod orphans;
mod reaping;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use sidewinder_tests::arena::{Arena, Tier};
use sidewinder_tests::watchdog::{self, Watchdog};
use sidewinder_tests::{harvest, procfs};

/// What a story may take until nothing of it is left: 250 ms, times the factor for a loaded test machine.
pub(crate) const BOUND: Duration = Duration::from_millis(250);
pub(crate) const TEST_FACTOR: u32 = 8;

/// A story adds what was not as promised to the list.
type Story<'a> = (String, Duration, Box<dyn Fn(&mut Vec<String>) -> io::Result<()> + 'a>);

fn main() -> ExitCode {
    run_stories().unwrap_or_else(|error| {
        println!("the cycles could not run: {error}");
        ExitCode::FAILURE
    })
}

fn run_stories() -> io::Result<ExitCode> {
    harvest::adopt_orphans()?;
    let arena = Arena::prepare("cycles")?;
    let cycles = std::env::var("CYCLES").ok().and_then(|text| text.parse().ok()).unwrap_or(200);
    println!("cycles: CYCLES={cycles}, binary {}", arena.binary().display());
    let mut tiers = Vec::new();
    for (tier, usable) in arena.tiers() {
        match usable {
            Ok(()) => tiers.push(tier),
            Err(reason) => println!("tier {tier}: did not run: {reason}"),
        }
    }
    let mut failed = 0;
    let stories = stories(&arena, &tiers, cycles);
    for (name, limit, story) in &stories {
        let problems = tell(&arena, *limit, story)?;
        println!("{name}: {}", if problems.is_empty() { "ok" } else { "FAILED" });
        for problem in &problems {
            println!("  {problem}");
        }
        failed += usize::from(!problems.is_empty());
    }
    println!("{} passed, {failed} failed", stories.len() - failed);
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn stories<'a>(arena: &'a Arena, tiers: &[Tier], cycles: u32) -> Vec<Story<'a>> {
    let mut stories: Vec<Story> = Vec::new();
    for tier in tiers.iter().copied() {
        let patience = Duration::from_secs(30) + Duration::from_millis(100) * cycles;
        let story = move |problems: &mut Vec<String>| churn::churn(arena, tier, cycles, problems);
        stories.push((format!("{cycles} cycles in tier {tier}"), patience, Box::new(story)));
    }
    for tier in tiers.iter().copied() {
        let story = move |problems: &mut Vec<String>| reaping::reaping(arena, tier, problems);
        stories.push((
            format!("reap after a beheaded run in tier {tier}"),
            Duration::from_secs(30),
            Box::new(story),
        ));
    }
    // Tier A leaves nothing for the next start.
    for tier in tiers.iter().copied().filter(|tier| *tier != Tier::A) {
        let story = move |problems: &mut Vec<String>| reaping::next_start(arena, tier, problems);
        let name = format!("the next start after a beheaded run in tier {tier}");
        stories.push((name, Duration::from_secs(30), Box::new(story)));
    }
    let letting_go = |problems: &mut Vec<String>| reaping::letting_go(arena, problems);
    let name = "reap takes over a run that is let go".to_owned();
    stories.push((name, Duration::from_secs(30), Box::new(letting_go)));
    let beside = |problems: &mut Vec<String>| orphans::start_beside(arena, problems);
    stories.push(("start beside 100 orphans".to_owned(), Duration::from_mins(1), Box::new(beside)));
    let strangers = |problems: &mut Vec<String>| orphans::spare_strangers(arena, problems);
    stories.push((
        "reap spares strangers and living runs".to_owned(),
        Duration::from_mins(1),
        Box::new(strangers),
    ));
    stories
}

/// Runs one story under the watchdog and looks at what it leaves.
fn tell(
    arena: &Arena,
    limit: Duration,
    story: &dyn Fn(&mut Vec<String>) -> io::Result<()>,
) -> io::Result<Vec<String>> {
    let descriptors = procfs::own_descriptors();
    let mounts = procfs::mounts();
    let mut problems = Vec::new();
    let dog = Watchdog::arm(limit)?;
    if let Err(error) = story(&mut problems) {
        problems.push(format!("{error}; the tree:\n{}", procfs::drawing()));
        watchdog::end_everything_below();
    }
    harvest::harvest()?;
    if let Some(bite) = dog.disarm() {
        problems.push(format!("not over after {limit:?}; the tree:\n{}", bite.tree));
    }
    let now = procfs::own_descriptors();
    if now != descriptors {
        problems.push(format!("the test had {descriptors} descriptors open, now {now}"));
    }
    let new = procfs::mounts().into_iter().filter(|mount| !mounts.contains(mount));
    problems.extend(new.map(|mount| format!("mount left: {mount}")));
    problems.extend(arena.records().into_iter().map(|record| format!("run record {record} is left")));
    let cgroups = arena.run_cgroups().into_iter();
    problems.extend(cgroups.map(|path| format!("cgroup {} is left", path.display())));
    if !problems.is_empty() {
        let said = std::fs::read_to_string(arena.file("stderr")).unwrap_or_default();
        problems.extend(said.lines().map(|line| format!("stderr: {line}")));
    }
    arena.sweep_files();
    Ok(problems)
}
