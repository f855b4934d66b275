//! Finds what earlier runs left behind, and ends it.
//!
//! Only records say where to look, and only three things say that a process belongs to a run: its cgroup, its
//! keeper's identity, and the run's mark: in its environment, or in the record that a keeper and its wardens were started
//! with. Never the name of a program, nor what anybody typed. A record of
//! another boot is deleted and nobody is signalled.

use super::identity::{self, Identity};
use super::record::{self, Facts, Found};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use serde::Serialize;
use sidewinder_keeper_kernel::{cgroup, facts};
use sidewinder_keeper_wire::{KEEPER_ARGUMENT, RUN_VARIABLE};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A process killed by us is gone this soon, unless it sleeps uninterruptibly: then it is reported.
const PATIENCE: Duration = Duration::from_secs(5);
/// Strays of an earlier run of a daemon have this long to go by themselves.
const STRAY_GRACE: Duration = Duration::from_secs(1);
/// Between two looks at `/proc`.
const ROUND: Duration = Duration::from_millis(5);
/// A keeper whose owner is dead gets this long to end its pool by itself, and so do wardens whose keeper is dead.
const KEEPER_PATIENCE: Duration = Duration::from_secs(1);
const WARDEN_PATIENCE: Duration = Duration::from_millis(250);

/// Whose leftovers, and how they are ended.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    /// Runs of this daemon only; of everybody, if it is nothing.
    pub(crate) instance: Option<String>,
    /// Ends nothing.
    pub(crate) look_only: bool,
    /// Waits for keepers that should have ended, and then ends them.
    pub(crate) patient: bool,
    /// Strays are asked to go and have so long, before they are killed.
    pub(crate) grace: Duration,
}

impl Scope {
    /// What this daemon, or no daemon at all, left behind.
    pub(crate) fn of(instance: &str) -> Self {
        Self { instance: Some(instance.to_owned()), look_only: false, patient: false, grace: Duration::ZERO }
    }

    /// The same at the start of that daemon: gradually, and with whoever should have ended by itself.
    pub(crate) fn at_start(instance: &str) -> Self {
        Self { patient: true, grace: STRAY_GRACE, ..Self::of(instance) }
    }

    /// What anybody left behind.
    pub(crate) fn everybody(look_only: bool) -> Self {
        Self { instance: None, look_only, patient: true, grace: Duration::ZERO }
    }

    fn covers(&self, facts: &Facts) -> bool {
        self.instance.as_ref().is_none_or(|instance| *instance == facts.instance)
    }
}

/// What became of one run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Swept {
    pub(crate) run: String,
    pub(crate) verdict: Verdict,
    /// The processes that were killed, or would have been.
    pub(crate) processes: BTreeSet<i32>,
    /// Those of them that did not go when they were asked.
    #[serde(skip)]
    pub(crate) forced: BTreeSet<i32>,
    /// The processes that are still there.
    pub(crate) left: BTreeSet<i32>,
    /// Somebody still holds the record, and cannot be found.
    pub(crate) held: bool,
    /// The cgroup that was removed, or would have been.
    pub(crate) cgroup: Option<String>,
}

/// Why a run was ended or left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Somebody who cleans up is there.
    Living,
    /// It belongs to a PID namespace that cannot be seen from here: its own next start ends it.
    Elsewhere,
    /// It belongs to an earlier boot: nothing of it can be left.
    EarlierBoot,
    /// Nobody holds it any more.
    Abandoned,
    /// Its owner is dead and its keeper does not act.
    Stuck,
}

/// Looks at the records of this user that are within the scope.
pub(crate) fn sweep(scope: &Scope) -> io::Result<Vec<Swept>> {
    let here = Here { boot: facts::boot_id()?, namespace: facts::pid_namespace()? };
    let mut swept = Vec::new();
    for (path, found) in record::find_all()? {
        let (Found::Abandoned(facts, _) | Found::Held(facts)) = &found;
        if !scope.covers(facts) || is_ours(facts, &here) {
            continue;
        }
        swept.push(match found {
            // Nobody else takes the record while its lock is held.
            Found::Abandoned(facts, lock) => end_abandoned(&path, &facts, &lock, &here, scope),
            Found::Held(facts) if scope.patient => end_stuck(&path, &facts, &here, scope),
            Found::Held(facts) => Swept::new(&facts, Verdict::Living),
        });
    }
    Ok(swept)
}

/// A run that this very process has begun is none that was left behind.
fn is_ours(facts: &Facts, here: &Here) -> bool {
    let own = identity::own().ok();
    facts.boot == here.boot && here.sees(facts) && own.is_some() && facts.owner == own
}

/// Where this process looks from.
struct Here {
    boot: String,
    namespace: u64,
}

impl Here {
    /// Whether every process of a run can be seen, and its process ids mean here what they meant there.
    fn sees(&self, facts: &Facts) -> bool {
        facts.namespace == self.namespace
    }

    /// From the first namespace of the machine everybody can be seen, by other numbers.
    fn sees_marks(&self, facts: &Facts) -> bool {
        self.sees(facts) || self.namespace == facts::FIRST_PID_NAMESPACE
    }
}

fn end_abandoned(path: &Path, facts: &Facts, _lock: &fs::File, here: &Here, scope: &Scope) -> Swept {
    if facts.boot != here.boot {
        let swept = Swept::new(facts, Verdict::EarlierBoot);
        if !scope.look_only {
            let _ = fs::remove_file(path);
        }
        return swept;
    }
    if !here.sees_marks(facts) {
        return Swept::new(facts, Verdict::Elsewhere);
    }
    let mut swept = Swept::new(facts, Verdict::Abandoned);
    end_processes(facts, scope, &mut swept);
    if !scope.look_only && swept.left.is_empty() {
        let _ = fs::remove_file(path);
    }
    swept
}

/// A record that is held although its owner is dead: the keeper is given a moment, then it is killed, and the
/// wardens or the kernel do the rest.
fn end_stuck(path: &Path, facts: &Facts, here: &Here, scope: &Scope) -> Swept {
    let ours = facts.boot == here.boot && here.sees(facts);
    let orphaned = ours && facts.owner.is_some_and(|owner| owner.open().is_none());
    let keeper = facts.keeper.filter(|_| orphaned).and_then(Identity::open);
    let patience = if keeper.is_some() { KEEPER_PATIENCE } else { WARDEN_PATIENCE };
    if !orphaned {
        return Swept::new(facts, Verdict::Living);
    }
    match let_go(path, patience) {
        LetGo::Gone => return Swept::new(facts, Verdict::Living),
        LetGo::Abandoned(lock) => return end_abandoned(path, facts, &lock, here, scope),
        LetGo::Held => {}
    }
    let mut swept = Swept::new(facts, Verdict::Stuck);
    if let Some(keeper) = keeper {
        swept.processes.extend(facts.keeper.map(|keeper| keeper.pid));
        if !scope.look_only {
            let _ = identity::kill(&keeper);
        }
    }
    end_processes(facts, scope, &mut swept);
    // Only a free lock says that nobody is left who needs the record.
    if !scope.look_only {
        match let_go(path, WARDEN_PATIENCE) {
            LetGo::Abandoned(lock) => {
                let rest = end_abandoned(path, facts, &lock, here, scope);
                swept.processes.extend(rest.processes);
                swept.left = rest.left;
            }
            LetGo::Held => swept.held = true,
            LetGo::Gone => {}
        }
    }
    swept
}

/// What became of a record that somebody held.
enum LetGo {
    /// Its run has ended by itself.
    Gone,
    /// Whoever held it is dead; now it is ours.
    Abandoned(fs::File),
    Held,
}

/// Waits until a record is let go.
fn let_go(path: &Path, patience: Duration) -> LetGo {
    let until = Instant::now() + patience;
    loop {
        match record::find(path) {
            Ok(Some(Found::Held(_))) if Instant::now() < until => std::thread::sleep(ROUND),
            Ok(Some(Found::Held(_))) => return LetGo::Held,
            Ok(Some(Found::Abandoned(_, lock))) => return LetGo::Abandoned(lock),
            Ok(None) | Err(_) => return LetGo::Gone,
        }
    }
}

/// Ends by cgroup and by mark, in rounds, until a look finds nobody: first with a word, then by force.
fn end_processes(facts: &Facts, scope: &Scope, swept: &mut Swept) {
    let cgroup = facts.cgroup.as_ref().map(PathBuf::from).filter(|path| is_cgroup_of(path, &facts.run));
    let begin = Instant::now();
    let mut asked = BTreeSet::new();
    loop {
        let force = begin.elapsed() >= scope.grace;
        swept.left = BTreeSet::new();
        for (pid, pidfd) in marked(&facts.run) {
            swept.left.insert(pid);
            if !scope.look_only && (force || asked.insert(pid)) {
                let _ = identity::send(&pidfd, if force { Signal::KILL } else { Signal::TERM });
            }
        }
        if let Some(path) = &cgroup {
            swept.left.extend(members(path));
            if force && !scope.look_only && !swept.left.is_empty() {
                let _ = fs::write(path.join("cgroup.kill"), "1");
            }
        }
        swept.processes.extend(&swept.left);
        if force {
            swept.forced.extend(&swept.left);
        }
        let over = begin.elapsed() >= scope.grace + PATIENCE;
        if swept.left.is_empty() || scope.look_only || over {
            break;
        }
        std::thread::sleep(ROUND);
    }
    if let Some(path) = cgroup {
        let removed = scope.look_only || cgroup::remove_tree(&path).is_ok();
        swept.cgroup = removed.then(|| path.display().to_string());
    }
}

/// The processes that carry the mark of this run. Each was opened before its mark was read, so it is the one meant.
fn marked(run: &str) -> Vec<(i32, OwnedFd)> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let own = rustix::process::getpid().as_raw_nonzero().get();
    pids.filter(|pid| *pid != own)
        .filter_map(|pid| {
            if !has_mark(pid, run) {
                return None;
            }
            let pidfd = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
            has_mark(pid, run).then_some((pid, pidfd))
        })
        .collect()
}

fn has_mark(pid: i32, run: &str) -> bool {
    let mark = format!("{RUN_VARIABLE}={run}");
    let words = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    words("environ").split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        || is_guardian(&words("cmdline"), run)
}

/// A keeper or a warden hides its environment. What it was started with names the record, and so the run.
fn is_guardian(command_line: &[u8], run: &str) -> bool {
    let mut words = command_line.split(|byte| *byte == 0).skip(1);
    let is_ours = words.next() == Some(KEEPER_ARGUMENT.as_bytes());
    is_ours && words.nth(1).is_some_and(|record| record.ends_with(format!("/{run}").as_bytes()))
}

/// Every process in a cgroup and below it.
fn members(path: &Path) -> Vec<i32> {
    let own = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    let mut pids: Vec<i32> = own.lines().filter_map(|line| line.parse().ok()).collect();
    let below = fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
    for entry in below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        pids.extend(members(&entry.path()));
    }
    pids
}

/// A record is a file: what it names is only believed when it looks like something this run has made.
fn is_cgroup_of(path: &Path, run: &str) -> bool {
    let named = path
        .file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name == format!("sidewinder-{run}"));
    named && path.join("cgroup.procs").exists()
}

impl Swept {
    fn new(facts: &Facts, verdict: Verdict) -> Self {
        let nobody = BTreeSet::new;
        let (processes, forced, left) = (nobody(), nobody(), nobody());
        Self { run: facts.run.clone(), verdict, processes, forced, left, held: false, cgroup: None }
    }
}
