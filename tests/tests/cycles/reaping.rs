//! Owner, keeper and warden are killed together: what is left, `sidewinder reap` finds, names and ends.

use std::fs::File;
use std::io;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use sidewinder_tests::arena::{Arena, Tier};
use sidewinder_tests::figures::milliseconds;
use sidewinder_tests::handle::Handle;
use sidewinder_tests::run::kept::Kept;
use sidewinder_tests::run::{proofs, reap};
use sidewinder_tests::{harvest, procfs};

use crate::{BOUND, TEST_FACTOR};

/// What the worker itself may live on after its warden, in every tier.
const WORKER_BOUND: Duration = Duration::from_millis(50);

/// Beheads a run and reaps it: a dry run first, then in earnest, then once more for nothing.
pub(crate) fn reaping(arena: &Arena, tier: Tier, problems: &mut Vec<String>) -> io::Result<()> {
    let report = arena.file("report");
    let mut keep = arena.keep(tier, &report);
    keep.args(arena.worker("deaf")).stderr(File::create(arena.file("stderr"))?);
    let kept = Kept::start(&mut keep, &report)?;
    let run = kept.started.run.as_str();
    let worker_died = kept.behead()?;
    if worker_died > WORKER_BOUND * TEST_FACTOR {
        problems.push(format!("the worker died {worker_died:?} after its warden"));
    }
    let moment = procfs::now();
    if tier == Tier::A {
        // The kernel ends a namespace with its init: only the record can be left.
        harvest::harvest()?;
    }
    let left: Vec<Handle> =
        procfs::descendants().iter().filter_map(|entry| Handle::of_descendant(entry.pid).ok()).collect();
    let alive = left.iter().filter(|handle| !handle.ended()).count();

    if !reap::look(arena)?.iter().any(|said| said.ended(run)) {
        problems.push(format!("reap --dry-run does not name run {run}"));
    }
    let still_alive = left.iter().filter(|handle| !handle.ended()).count();
    if still_alive != alive || arena.records().is_empty() {
        problems
            .push(format!("reap --dry-run changed something: {alive} processes before, {still_alive} after"));
    }

    let begun = Instant::now();
    if !reap::reap(arena)?.iter().any(|said| said.ended(run) && said.left.is_empty()) {
        problems.push(format!("reap does not say that it ended run {run}"));
    }
    harvest::harvest()?;
    let took = begun.elapsed();
    println!(
        "  tier {tier}: worker dead {} ms after its guardians, bound {}; {alive} processes left, reaped in {} ms, bound {}",
        milliseconds(worker_died),
        WORKER_BOUND.as_millis(),
        milliseconds(took),
        BOUND.as_millis()
    );
    if took > BOUND * TEST_FACTOR {
        problems.push(format!("reaping took {took:?}"));
    }
    problems.extend(proofs::survivors(&kept.started, moment));
    problems.extend(proofs::litter(&kept.started, arena));
    if !reap::reap(arena)?.is_empty() {
        problems.push("a second reap still finds something".to_owned());
    }
    Ok(())
}

/// Beheads a run, and another one starts: it ends what is left, within the bound from its own start.
pub(crate) fn next_start(arena: &Arena, tier: Tier, problems: &mut Vec<String>) -> io::Result<()> {
    let report = arena.file("report");
    let mut keep = arena.keep(tier, &report);
    keep.args(arena.worker("double_fork")).stderr(File::create(arena.file("stderr"))?);
    let kept = Kept::start(&mut keep, &report)?;
    kept.behead()?;
    let moment = procfs::now();
    let left: Vec<Handle> =
        procfs::descendants().iter().filter_map(|entry| Handle::of_descendant(entry.pid).ok()).collect();
    let alive = left.iter().filter(|handle| !handle.ended()).count();
    if alive == 0 {
        problems.push("nothing was left, so nothing is shown".to_owned());
    }
    let next = arena.file("next");
    let mut keep = arena.keep(tier, &next);
    let begun = Instant::now();
    let newcomer =
        Kept::start(keep.args(arena.worker("deaf")).stderr(File::create(arena.file("stderr"))?), &next)?;
    let ended = left.iter().filter(|handle| handle.ends_within(BOUND * TEST_FACTOR)).count();
    let took = begun.elapsed();
    println!(
        "  tier {tier}: {alive} processes left, ended {} ms after the next start, bound {}",
        milliseconds(took),
        BOUND.as_millis()
    );
    if ended < left.len() || took > BOUND * TEST_FACTOR {
        problems.push(format!("the next start ended {ended} of {} in {took:?}", left.len()));
    }
    newcomer.stop()?;
    // Its sweep may end with it, between the last process and the record.
    reap::reap(arena)?;
    harvest::harvest()?;
    problems.extend(proofs::survivors(&kept.started, moment));
    problems.extend(proofs::litter(&kept.started, arena));
    Ok(())
}

/// Somebody still holds the record when `sidewinder reap` looks, and lets go while it waits: nobody is left then.
pub(crate) fn letting_go(arena: &Arena, problems: &mut Vec<String>) -> io::Result<()> {
    let report = arena.file("report");
    let mut keep = arena.keep(Tier::C, &report);
    keep.args(arena.worker("deaf")).stderr(File::create(arena.file("stderr"))?);
    let kept = Kept::start(&mut keep, &report)?;
    let run = kept.started.run.as_str();
    kept.behead()?;
    let record = File::open(arena.runtime().join("runs").join(run))?;
    flock(&record, FlockOperation::NonBlockingLockExclusive)?;

    let reaping = arena.sidewinder("reap").arg("--json").stdout(Stdio::piped()).spawn()?;
    let reaper = Handle::of_descendant(i32::try_from(reaping.id()).map_err(io::Error::other)?)?;
    // The only thing it ever sleeps for is the holder of a record.
    let sleeps = |pid: i32| procfs::entry(pid).is_some_and(|entry| entry.state == 'S');
    if !reaper.reaches(sleeps, BOUND * TEST_FACTOR) {
        problems.push("reap did not wait for the holder of the record".to_owned());
    }
    drop(record);
    let output = reaping.wait_with_output()?;
    let said = reap::read(&output.stdout)?;
    if !said.iter().any(|said| said.ended(run)) {
        problems.push(format!("reap left a run that was let go while it waited: {said:?}"));
        reap::reap(arena)?;
    }
    harvest::harvest()?;
    problems.extend(proofs::litter(&kept.started, arena));
    Ok(())
}
