//! A daemon that runs, in a place of its own.

use crate::arena::Arena;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

/// A running daemon. It is killed with the test that forgets to stop it.
#[derive(Debug)]
pub struct Daemon<'a> {
    arena: &'a Arena,
    child: Child,
    pidfd: OwnedFd,
    log: BufReader<ChildStderr>,
}

/// What a verb said.
#[derive(Debug)]
pub struct Said {
    /// Its exit status.
    pub status: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl<'a> Daemon<'a> {
    /// Starts `sidewinder run` with these arguments, and waits until it listens.
    pub fn start(arena: &'a Arena, arguments: &[&str]) -> io::Result<Self> {
        Self::start_with(arena, arguments, |_| {})
    }

    /// The same, with changes to the command.
    pub fn start_with(
        arena: &'a Arena,
        arguments: &[&str],
        change: impl FnOnce(&mut Command),
    ) -> io::Result<Self> {
        let mut command = arena.sidewinder("run");
        command.args(arguments).current_dir(tools()).env("PYTHONDONTWRITEBYTECODE", "1");
        change(&mut command);
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        let stderr = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut daemon = Self { arena, child, pidfd, log: BufReader::new(stderr) };
        daemon.log_until("listens on")?;
        Ok(daemon)
    }

    /// Reads the daemon's log up to a line with these words, and returns that line.
    pub fn log_until(&mut self, words: &str) -> io::Result<String> {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            if self.log.read_line(&mut line)? == 0 {
                return Err(io::Error::other(format!("the log ended without `{words}`: {seen}")));
            }
            if line.contains(words) {
                return Ok(line);
            }
            seen.push_str(&line);
        }
    }

    /// A verb that asks this daemon.
    pub fn verb(&self, verb: &str, arguments: &[&str]) -> Command {
        let mut command = self.arena.sidewinder(verb);
        command.args(arguments);
        command
    }

    /// Runs a verb to its end.
    pub fn ask(&self, verb: &str, arguments: &[&str]) -> io::Result<Said> {
        let output = self.verb(verb, arguments).output()?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let status = output.status.code().ok_or_else(|| io::Error::other("a signal ended the verb"))?;
        Ok(Said { status, stdout: text(output.stdout), stderr: text(output.stderr) })
    }

    /// What `status --json` says.
    pub fn status(&self) -> io::Result<serde_json::Value> {
        let said = self.ask("status", &["--json"])?;
        serde_json::from_str(&said.stdout).map_err(|error| io::Error::other(format!("{error}: {said:?}")))
    }

    /// Sends the daemon a signal.
    pub fn send(&self, signal: Signal) -> io::Result<()> {
        Ok(pidfd_send_signal(&self.pidfd, signal)?)
    }

    /// Waits for its end; returns its status and the rest of its log.
    pub fn end(mut self) -> io::Result<(ExitStatus, String)> {
        let mut rest = String::new();
        self.log.read_to_string(&mut rest)?;
        Ok((self.child.wait()?, rest))
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        let _ = self.child.wait();
    }
}

/// The tools that the tests call.
pub fn tools() -> PathBuf {
    crate::arena::tests().join("served")
}

/// A worker that breaks the protocol in this way.
pub fn hostile(arena: &Arena, how: &str) -> io::Result<PathBuf> {
    let link = arena.file(&format!("hostile@{how}"));
    std::os::unix::fs::symlink(crate::arena::tests().join("hostile/worker.py"), &link)?;
    Ok(link)
}
