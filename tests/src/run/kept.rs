//! A run that stands: its worker has said `ready`, and it is known who is who.

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::report::{Report, Started};
use crate::handle::Handle;
use crate::procfs;

const FACT_LIMIT: Duration = Duration::from_secs(10);

/// One standing run.
#[derive(Debug)]
pub struct Kept {
    /// The process the test started: the owner, or a caller between.
    pub child: i32,
    /// The worker, which was alive when it said `ready`.
    pub worker: i32,
    /// Who is who.
    pub started: Started,
    /// The rest of the report.
    pub report: Report,
    /// From the start of the process to `ready`.
    pub took: Duration,
    /// Held so that a late line of the worker finds a reader.
    _stdout: BufReader<ChildStdout>,
}

impl Kept {
    /// Starts the command, which reports to the FIFO made here, and blocks until its worker is ready.
    pub fn start(command: &mut Command, report: &Path) -> io::Result<Self> {
        let mut report = Report::at(report)?;
        let begun = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("the child has no stdout"))?;
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let took = begun.elapsed();
        if line != "ready\n" {
            return Err(io::Error::other(format!("the worker said {line:?}, not ready")));
        }
        let started = report.started(FACT_LIMIT)?;
        let child = i32::try_from(child.id()).map_err(io::Error::other)?;
        let worker = started.command.ok_or_else(|| io::Error::other("the worker is gone already"))?;
        Ok(Self { child, worker, started, report, took, _stdout: stdout })
    }

    /// Asks the run to stop and blocks until the process that was started has ended.
    pub fn stop(self) -> io::Result<()> {
        let child = Handle::of_descendant(self.child)?;
        child.send(Signal::TERM)?;
        if child.ends_within(FACT_LIMIT) {
            return Ok(());
        }
        Err(io::Error::other("a run that was asked to stop did not end"))
    }

    /// Kills owner, keeper and warden, each one stopped before the first is killed: nobody can clean up.
    ///
    /// The worker itself dies with its warden. How long that took is the answer.
    pub fn behead(&self) -> io::Result<Duration> {
        let worker = Handle::of_descendant(self.worker)?;
        let warden = procfs::entry(self.worker)
            .map(|worker| worker.parent)
            .filter(|warden| procfs::entry(*warden).is_some_and(|entry| entry.name == "sw-warden"))
            .ok_or_else(|| io::Error::other("the parent of the command is no warden"))?;
        let mut guardians = Vec::new();
        for pid in [self.started.owner, self.started.keeper, warden] {
            let guardian = Handle::of_descendant(pid)?;
            guardian.send(Signal::STOP)?;
            guardian.reaches(is_stopped, FACT_LIMIT);
            guardians.push(guardian);
        }
        // The lowest first: a death above wakes those below.
        for guardian in guardians.iter().rev() {
            guardian.send(Signal::KILL)?;
        }
        let struck = Instant::now();
        if !guardians.iter().all(|guardian| guardian.ends_within(FACT_LIMIT)) {
            return Err(io::Error::other("a guardian outlived SIGKILL"));
        }
        if !worker.ends_within(FACT_LIMIT) {
            return Err(io::Error::other("the worker itself did not die with its warden"));
        }
        Ok(struck.elapsed())
    }
}

/// Whether the process stands still, or is dead already.
pub fn is_stopped(pid: i32) -> bool {
    procfs::entry(pid).is_some_and(|entry| matches!(entry.state, 'T' | 'Z'))
}
