//! A start beside 100 orphans of an older run, and everybody whom a sweep has to leave alone.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sidewinder_tests::arena::{Arena, Tier};
use sidewinder_tests::figures::{Figures, milliseconds};
use sidewinder_tests::handle::Handle;
use sidewinder_tests::run::kept::Kept;
use sidewinder_tests::run::reap;
use sidewinder_tests::{harvest, procfs, watchdog};

use crate::{BOUND, TEST_FACTOR};

const ORPHANS: usize = 100;
const BASELINES: usize = 9;

/// The start is not delayed by more than the bound, and the orphans are gone in the end.
pub(crate) fn start_beside(arena: &Arena, problems: &mut Vec<String>) -> io::Result<()> {
    let mut without = Figures::default();
    for number in 0..BASELINES {
        without.add(start_up(arena, &format!("baseline-{number}"))?);
        harvest::harvest()?;
    }
    let orphans = make_orphans(arena)?;
    if orphans.len() < ORPHANS {
        problems.push(format!("only {} of {ORPHANS} orphans outlived their keeper", orphans.len()));
    }
    let newcomer = start(arena, "newcomer", &quiet_command())?;
    let delay = newcomer.took.saturating_sub(without.median());
    if delay > BOUND {
        problems.push(format!("the start was delayed by {delay:?}"));
    }
    // The newcomer sweeps while its command runs; a user would call `sidewinder reap` for the rest.
    let limit = BOUND * TEST_FACTOR;
    let begun = Instant::now();
    let by_start = orphans.iter().filter(|orphan| orphan.ends_within(limit)).count();
    let swept_in = begun.elapsed();
    if by_start < orphans.len() {
        problems.push(format!("the next start ended only {by_start} of {} orphans", orphans.len()));
    }
    let beside = newcomer.took;
    // Its sweep may end with it, between the last orphan and the record.
    newcomer.stop()?;
    reap::reap(arena)?;
    let by_all = orphans.iter().filter(|orphan| orphan.ends_within(limit)).count();
    if by_all < orphans.len() {
        problems.push(format!("{} orphans outlived `sidewinder reap`", orphans.len() - by_all));
        watchdog::end_everything_below();
    }
    println!(
        "  ms from start to ready: {} without orphans (p50 of {BASELINES}), {} beside {}; ended by the start {by_start} \
         (within {} ms), by reap {}",
        milliseconds(without.median()),
        milliseconds(beside),
        orphans.len(),
        milliseconds(swept_in),
        by_all - by_start,
    );
    Ok(())
}

/// A crowd without a mark, a living run of this runtime directory and one of another: all live on.
pub(crate) fn spare_strangers(arena: &Arena, problems: &mut Vec<String>) -> io::Result<()> {
    let crowd = crowd(arena, &mut unmarked(arena), "crowd")?;
    let living = crowd_kept(arena, "living", None)?;
    let elsewhere = crowd_kept(arena, "elsewhere", Some("other-runtime"))?;
    let strangers = hold_descendants();
    let named = ["in the crowd without a mark", "living here", "living elsewhere"];
    let roots = [crowd, living.child, elsewhere.child];

    let orphans = make_orphans(arena)?;
    let reaped = reap::reap(arena)?;
    let limit = BOUND * TEST_FACTOR;
    let alive = orphans.iter().filter(|orphan| !orphan.ends_within(limit)).count();
    if alive > 0 {
        problems.push(format!("{alive} orphans outlived `sidewinder reap`"));
    }
    for run in [&living.started.run, &elsewhere.started.run] {
        if reaped.iter().any(|said| said.ended(run)) {
            problems.push(format!("reap says it touched the living run {run}"));
        }
    }
    // Another start sweeps as well.
    start_up(arena, "sweeping")?;
    let ended = strangers.iter().filter(|stranger| stranger.ended()).count();
    println!("  {} strangers and members of living runs, {ended} of them ended by a sweep", strangers.len());
    if ended > 0 {
        problems.push(format!("{ended} of {} strangers were ended", strangers.len()));
    }
    for (root, name) in roots.into_iter().zip(named) {
        if procfs::entry(root).is_none_or(|entry| entry.state == 'Z') {
            problems.push(format!("the first process {name} was ended"));
        }
    }
    living.stop()?;
    elsewhere.stop()?;
    end_crowd(crowd)
}

/// From the start of `sidewinder keep` to the first word of its command; returns once the run has ended.
fn start_up(arena: &Arena, name: &str) -> io::Result<Duration> {
    let kept = start(arena, name, &quiet_command())?;
    let took = kept.took;
    kept.stop()?;
    Ok(took)
}

fn start(arena: &Arena, name: &str, command: &[OsString]) -> io::Result<Kept> {
    let report = arena.file(name);
    let mut keep = arena.keep(Tier::C, &report);
    Kept::start(keep.args(command).stderr(stderr(arena)?), &report)
}

/// 100 processes with the mark of a run that nobody guards any more.
fn make_orphans(arena: &Arena) -> io::Result<Vec<Handle>> {
    let before: Vec<i32> = procfs::descendants().iter().map(|entry| entry.pid).collect();
    let kept = crowd_kept(arena, "orphaned", None)?;
    kept.behead()?;
    let marked = procfs::marks().into_iter().filter(|(_, run)| *run == kept.started.run);
    let fresh = marked.map(|(pid, _)| pid).filter(|pid| !before.contains(pid));
    Ok(fresh.filter_map(|pid| Handle::of_descendant(pid).ok()).collect())
}

fn crowd_kept(arena: &Arena, name: &str, runtime: Option<&str>) -> io::Result<Kept> {
    let report = arena.file(name);
    let mut keep = arena.keep(Tier::C, &report);
    keep.args(arena.worker("crowd")).arg(ORPHANS.to_string()).stderr(stderr(arena)?);
    if let Some(runtime) = runtime {
        let runtime = arena.file(runtime);
        std::fs::create_dir(&runtime)?;
        keep.env("SIDEWINDER_RUNTIME_DIR", runtime);
    }
    Kept::start(&mut keep, &report)
}

/// The same command line, never under a keeper.
fn unmarked(arena: &Arena) -> Command {
    let worker = arena.worker("crowd");
    let mut command = Command::new(&worker[0]);
    command.args(&worker[1..]).arg(ORPHANS.to_string());
    arena.place(&mut command);
    command
}

/// Starts the crowd and blocks until it stands; the pid of its first process.
fn crowd(arena: &Arena, command: &mut Command, name: &str) -> io::Result<i32> {
    let path = arena.file(name);
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)?;
    let both_ways = File::options().read(true).write(true).open(&path)?;
    let child = command.stdin(Stdio::null()).stdout(both_ways.try_clone()?).spawn()?;
    let mut word = [0; 6];
    io::Read::read_exact(&mut io::BufReader::new(both_ways), &mut word)?;
    i32::try_from(child.id()).map_err(io::Error::other)
}

fn end_crowd(root: i32) -> io::Result<()> {
    let members: Vec<Handle> = procfs::descendants()
        .iter()
        .filter(|entry| entry.pid == root || entry.parent == root)
        .filter_map(|entry| Handle::of_descendant(entry.pid).ok())
        .collect();
    for member in members {
        member.send(Signal::KILL)?;
    }
    Ok(())
}

fn hold_descendants() -> Vec<Handle> {
    procfs::descendants().iter().filter_map(|entry| Handle::of_descendant(entry.pid).ok()).collect()
}

fn stderr(arena: &Arena) -> io::Result<File> {
    File::options().create(true).append(true).open(arena.file("stderr"))
}

/// Ready as soon as it runs, and then there for as long as it is wanted.
fn quiet_command() -> [OsString; 3] {
    ["sh", "-c", "echo ready; exec sleep 3600"].map(OsString::from)
}
