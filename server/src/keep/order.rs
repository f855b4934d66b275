//! What is to be kept, and how.

use crate::own::limit::Limit;
use crate::own::subtree::Wish;
use sidewinder_keeper_wire::{SpawnRequest, Tier};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

/// The number of the only worker.
pub(super) const WORKER: u32 = 1;

/// How long it is waited before the kill.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Graceful {
    /// When somebody asked for the end.
    pub(crate) stop: Duration,
    /// When the caller or the owner is gone.
    pub(crate) orphan: Duration,
}

/// A command and how to keep it.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) command: Vec<OsString>,
    pub(crate) graceful: Graceful,
    pub(crate) limits: Vec<Limit>,
    pub(crate) require_tier: Option<Tier>,
    pub(crate) namespace: bool,
    pub(crate) cgroup: Wish,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) nice: Option<i32>,
    pub(crate) oom_score_adj: Option<i32>,
    pub(crate) cpus: Vec<u32>,
    pub(crate) cwd: Option<PathBuf>,
    pub(crate) new_privileges: bool,
    pub(crate) report: Option<PathBuf>,
}

impl Order {
    /// The request for a keeper, without limits: the caller's environment with the run's mark, in its directory.
    pub(crate) fn request(&self, run: &str) -> std::io::Result<SpawnRequest> {
        let directory = match &self.cwd {
            Some(directory) => std::path::absolute(directory)?,
            None => std::env::current_dir()?,
        };
        let inherited = std::env::vars_os().filter(|(name, _)| name != sidewinder_keeper_wire::RUN_VARIABLE);
        let mark = (OsString::from(sidewinder_keeper_wire::RUN_VARIABLE), OsString::from(run));
        let environment = inherited.chain([mark]).map(|(name, value)| {
            let mut variable = name.into_vec();
            variable.push(b'=');
            variable.extend(value.as_bytes());
            variable
        });
        Ok(SpawnRequest {
            arguments: self.command.iter().map(|argument| argument.as_bytes().to_vec()).collect(),
            environment: environment.collect(),
            directory: Some(directory.into_os_string().into_vec()),
            uid: self.uid,
            gid: self.gid,
            nice: self.nice,
            oom_score_adj: self.oom_score_adj,
            cpus: self.cpus.clone(),
            fds: vec![0, 1, 2],
            new_privileges: self.new_privileges,
            ..SpawnRequest::default()
        })
    }

    /// The directory to run in, as a person would write it.
    pub(crate) fn directory_name(&self) -> String {
        let directory = self.cwd.clone().or_else(|| std::env::current_dir().ok()).unwrap_or_default();
        directory.display().to_string()
    }

    /// The command as a person would write it.
    pub(crate) fn name(&self) -> String {
        self.command.first().map(|command| command.to_string_lossy().into_owned()).unwrap_or_default()
    }
}
