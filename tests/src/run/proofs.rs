//! Proofs that a run is gone, beyond the kernel's `ECHILD`.
//!
//! `ECHILD` says that nothing below the test is left. These look from other sides:
//! the namespace, the cgroup, the mark in the environment, the record on disk.

use std::fs;
use std::path::{Path, PathBuf};

use super::report::Started;
use crate::arena::Arena;
use crate::procfs::{self, Ticks};

/// What a run that was ended at the given moment left alive. Empty when it is gone.
pub fn survivors(run: &Started, ended: Ticks) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(inode) = run.namespace {
        let inside = procfs::inside_namespace(inode, ended);
        found.extend(inside.iter().map(|pid| format!("process {pid} is in PID namespace {inode}")));
    }
    let marked = procfs::marks().into_iter().filter(|(_, mark)| *mark == run.run);
    found.extend(marked.map(|(pid, mark)| format!("process {pid} carries the mark of run {mark}")));
    for directory in cgroups(run) {
        let events = fs::read_to_string(directory.join("cgroup.events")).unwrap_or_default();
        if events.lines().any(|line| line == "populated 1") {
            found.push(format!("cgroup {} is populated", directory.display()));
        }
    }
    found
}

/// What a run left behind on disk. Empty when it cleaned up.
pub fn litter(run: &Started, arena: &Arena) -> Vec<String> {
    let records = arena.records().into_iter().map(|name| format!("run record {name} is left"));
    let own = cgroups(run).into_iter().filter(|path| path.exists());
    let mut directories: Vec<PathBuf> = own.chain(arena.run_cgroups()).collect();
    directories.sort();
    directories.dedup();
    let directories = directories.into_iter().map(|path| format!("cgroup {} is left", path.display()));
    records.chain(directories).collect()
}

/// The cgroup of the command and the directory of its whole run.
fn cgroups(run: &Started) -> Vec<PathBuf> {
    let Some(reported) = run.cgroup.as_deref().map(Path::new) else { return Vec::new() };
    let of_run = format!("sidewinder-{}", run.run);
    let above = reported.ancestors().find(|path| path.file_name().is_some_and(|name| *name == *of_run));
    let mut found = vec![reported.to_owned()];
    found.extend(above.filter(|path| *path != reported).map(Path::to_owned));
    found
}
