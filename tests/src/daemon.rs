//! A daemon that runs, in a place of its own.

use crate::arena::Arena;
use crate::procfs;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A wait this long means never.
const NEVER: Duration = Duration::from_mins(1);

/// No test needs its daemon for longer.
const LIFE_MAX: Duration = Duration::from_mins(5);

/// What of a log is told with a test that fails.
const TOLD_MAX: usize = 200;

/// A running daemon. It is killed with the test that forgets to stop it, and a test that fails tells its log.
#[derive(Debug)]
pub struct Daemon<'a> {
    arena: &'a Arena,
    child: Child,
    pidfd: OwnedFd,
    /// Behind a lock, so that several threads can ask one daemon.
    log: Mutex<Receiver<String>>,
    told: Told,
    /// Disarms its guard when it is dropped.
    _guard: Sender<()>,
}

/// The last lines of a log, whoever has read them.
type Told = Arc<Mutex<VecDeque<String>>>;

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
        let mut daemon = Self::launch_with(arena, arguments, change)?;
        daemon.log_until("listens on")?;
        Ok(daemon)
    }

    /// Starts it, and does not wait: its log is still to be read from the first line.
    pub fn launch(arena: &'a Arena, arguments: &[&str]) -> io::Result<Self> {
        Self::launch_with(arena, arguments, |_| {})
    }

    /// The same, with changes to the command.
    pub fn launch_with(
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
        let guard = guard(pidfd.try_clone()?);
        let told = Told::default();
        let log = Mutex::new(lines(stderr, Arc::clone(&told)));
        Ok(Self { arena, child, pidfd, log, told, _guard: guard })
    }

    /// Reads the daemon's log up to a line with these words, and returns that line.
    pub fn log_until(&mut self, words: &str) -> io::Result<String> {
        let mut seen = String::new();
        loop {
            let log = self.log.get_mut().unwrap_or_else(PoisonError::into_inner);
            match log.recv_timeout(NEVER) {
                Ok(line) if line.contains(words) => return Ok(line),
                Ok(line) => seen.push_str(&line),
                Err(why) => return Err(io::Error::other(format!("no `{words}` in the log ({why}): {seen}"))),
            }
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

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.arena.runtime().join("sidewinder.sock")
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends the daemon a signal.
    pub fn send(&self, signal: Signal) -> io::Result<()> {
        Ok(pidfd_send_signal(&self.pidfd, signal)?)
    }

    /// Waits for its end; returns its status and the rest of its log.
    pub fn end(mut self) -> io::Result<(ExitStatus, String)> {
        let log = self.log.get_mut().unwrap_or_else(PoisonError::into_inner);
        let rest = log.iter().collect();
        let status = self.child.wait()?;
        Ok((status, rest))
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        let _ = self.child.wait();
        if std::thread::panicking() {
            let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            eprintln!(
                "the last that daemon {} said:\n{}",
                self.child.id(),
                told.iter().cloned().collect::<String>()
            );
        }
    }
}

/// Ends a daemon that a test waits for without end: the test then fails, and its name is known.
fn guard(daemon: OwnedFd) -> Sender<()> {
    let (guard, disarmed) = channel();
    std::thread::spawn(move || {
        if disarmed.recv_timeout(LIFE_MAX) == Err(RecvTimeoutError::Timeout) {
            eprintln!("killed a daemon of {LIFE_MAX:?}, with this below it:\n{}", procfs::drawing());
            let _ = pidfd_send_signal(&daemon, Signal::KILL);
        }
    });
    guard
}

/// Reads the log as it comes, so that the daemon never waits for its reader.
fn lines(log: ChildStderr, told: Told) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        let mut log = BufReader::new(log);
        let mut line = Vec::new();
        while log.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&std::mem::take(&mut line)).into_owned();
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            told.push_back(text.clone());
            while told.len() > TOLD_MAX {
                told.pop_front();
            }
            drop(told);
            if sender.send(text).is_err() {
                return;
            }
        }
    });
    lines
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
