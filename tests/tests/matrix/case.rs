//! One case: start, wait until it stands, strike, and prove that nothing is left.

use std::fs::{self, File};
use std::io;
use std::process::Command;
use std::time::{Duration, Instant};

use sidewinder_tests::arena::Arena;
use sidewinder_tests::handle::Handle;
use sidewinder_tests::harvest::{self, Harvest};
use sidewinder_tests::procfs::{self, Ticks};
use sidewinder_tests::run::kept::Kept;
use sidewinder_tests::run::proofs;
use sidewinder_tests::run::reap;
use sidewinder_tests::run::report::Event;
use sidewinder_tests::watchdog::{self, Watchdog};

use crate::law;
use crate::plan::{Case, Victim};
use crate::strike::{self, Players, Struck};

/// What a case came to.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// From the last signal to `ECHILD`. `None`: the case never got that far.
    pub(crate) took: Option<Duration>,
    /// Processes that lived beyond the bound.
    pub(crate) survivors: usize,
    /// What `sidewinder reap` said, where it had to help.
    pub(crate) reaped: String,
    /// Everything that was not as promised.
    pub(crate) problems: Vec<String>,
    /// The run was over before it could be told who is who.
    too_early: bool,
}

/// How often such a run is played again.
const TRIES: usize = 20;

/// A run that stands, and hold of everyone in it.
struct Scene {
    kept: Kept,
    players: Players,
}

/// Plays the case and judges it. Only a broken test machine is an error.
pub(crate) fn run(case: &Case, arena: &Arena) -> io::Result<Verdict> {
    let descriptors = procfs::own_descriptors();
    let mut verdict = play(case, arena)?;
    // A worker that strikes its warden may end its run before anybody is told that it began: nothing to strike then.
    for _ in 0..TRIES {
        if !verdict.too_early {
            break;
        }
        verdict = play(case, arena)?;
    }
    let now = procfs::own_descriptors();
    if now != descriptors {
        verdict.problems.push(format!("the test had {descriptors} descriptors open, now {now}"));
    }
    if !verdict.problems.is_empty() {
        verdict.problems.push(format!("reap: {}", verdict.reaped));
        let said = fs::read_to_string(arena.file("stderr")).unwrap_or_default();
        verdict.problems.extend(said.lines().map(|line| format!("stderr: {line}")));
    }
    arena.sweep_files();
    Ok(verdict)
}

fn play(case: &Case, arena: &Arena) -> io::Result<Verdict> {
    let mut verdict = Verdict::default();
    let dog = Watchdog::arm(law::CASE_LIMIT)?;
    let acted = act(case, arena, &mut verdict);
    if acted.is_err() {
        verdict.problems.push(format!("the tree:\n{}", procfs::drawing()));
        watchdog::end_everything_below();
    }
    let harvest = harvest::harvest()?;
    if let Some(bite) = dog.disarm() {
        verdict.survivors += bite.found;
        verdict.problems.push(format!("not gone after {:?}:\n{}", law::CASE_LIMIT, bite.tree));
    }
    match acted {
        Err(error) => {
            verdict.too_early = law::ends_itself(case) && error.kind() == io::ErrorKind::UnexpectedEof;
            verdict.problems.push(error.to_string());
        }
        Ok((mut scene, struck)) => {
            judge_time(case, &struck, &harvest, &mut verdict);
            judge_rest(case, arena, &mut scene, struck.moment, &mut verdict);
        }
    }
    Ok(verdict)
}

fn act(case: &Case, arena: &Arena, verdict: &mut Verdict) -> io::Result<(Scene, Struck)> {
    let scene = set_scene(case, arena)?;
    if scene.kept.started.tier != case.tier.letter() {
        verdict.problems.push(format!("the run is of tier {}", scene.kept.started.tier));
    }
    let struck = strike::strike(case, &scene.players)?;
    verdict.problems.extend(struck.problems.iter().cloned());
    if law::needs_reap(case) {
        for victim in &case.victims {
            scene.players.handle(*victim).map(|handle| handle.ends_within(law::CASE_LIMIT));
        }
        verdict.reaped = format!("{:?}", reap::reap(arena)?);
    }
    Ok((scene, struck))
}

fn set_scene(case: &Case, arena: &Arena) -> io::Result<Scene> {
    let report = arena.file("report");
    let mut caller = Command::new(std::env::current_exe()?);
    caller.arg("--caller").arg(arena.binary());
    caller.args(arena.keep_arguments(case.tier, &report)).args(arena.worker(case.worker));
    caller.stderr(File::create(arena.file("stderr"))?);
    arena.place(&mut caller);
    let kept = Kept::start(&mut caller, &report)?;
    let players = Players {
        caller: hold(case, Victim::Caller, kept.child)?,
        owner: hold(case, Victim::Owner, kept.started.owner)?,
        keeper: hold(case, Victim::Keeper, kept.started.keeper)?,
        worker: hold(case, Victim::Worker, kept.worker)?,
    };
    Ok(Scene { kept, players })
}

/// A worker that ends its own run may have been quicker than the test.
fn hold(case: &Case, who: Victim, pid: i32) -> io::Result<Option<Handle>> {
    match Handle::of_descendant(pid) {
        Ok(handle) => Ok(Some(handle)),
        Err(_) if law::ends_itself(case) => Ok(None),
        Err(error) => Err(io::Error::other(format!("the {} as process {pid}: {error}", who.name()))),
    }
}

fn judge_time(case: &Case, struck: &Struck, harvest: &Harvest, verdict: &mut Verdict) {
    let limit = law::bound(case.worker) * law::TEST_FACTOR;
    verdict.took = Some(harvest.done.saturating_duration_since(struck.last));
    let late = |end: &&Instant| end.saturating_duration_since(struck.last) > limit;
    let late = harvest.ends.iter().filter(late).count();
    if late > 0 {
        verdict.survivors = verdict.survivors.max(late);
        verdict.problems.push(format!("{late} processes ended more than {limit:?} after the last signal"));
    }
}

fn judge_rest(case: &Case, arena: &Arena, scene: &mut Scene, struck: Ticks, verdict: &mut Verdict) {
    let survivors = proofs::survivors(&scene.kept.started, struck);
    verdict.survivors += survivors.len();
    verdict.problems.extend(survivors);

    let mut litter = proofs::litter(&scene.kept.started, arena);
    if !litter.is_empty() && law::may_leave_record(case) {
        let run = scene.kept.started.run.as_str();
        match reap::reap(arena) {
            Ok(said) if said.iter().any(|said| said.ended(run)) => {}
            Ok(said) => verdict.problems.push(format!("reap does not say that it ended run {run}: {said:?}")),
            Err(error) => verdict.problems.push(error.to_string()),
        }
        litter = proofs::litter(&scene.kept.started, arena);
    }
    verdict.problems.extend(litter);

    match scene.kept.report.rest() {
        Err(error) => verdict.problems.push(error.to_string()),
        Ok(events) => {
            let said_gone = events.iter().any(|event| matches!(event, Event::Gone { .. }));
            if law::owner_reports(case) && !said_gone {
                verdict.problems.push("the owner ended without a `gone` event".to_owned());
            }
        }
    }
}
