//! The program that is to go on in the place of this one: found where this one was started from, and asked before it is
//! executed whether it takes over.
//!
//! It is asked with the arguments and the environment that it will have, so it also reads the settings that it will have.
//! What hangs, crashes, says something else or is no Sidewinder at all does not take over, and nothing has happened.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::env;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How a list of what is passed on is written. A program that reads another edition does not take over.
const EDITION: u32 = 1;
/// Asks a program whether it takes over.
const QUESTION: &str = "--as-successor";
/// Who has not answered after this long does not answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Of an answer so much is read; one that is longer is none.
const ANSWER_MAX: usize = 64 << 10;
/// Of a wrong answer so much is shown.
const SHOWN: usize = 600;

/// A program that takes over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Successor {
    pub(crate) program: PathBuf,
    pub(crate) version: String,
}

/// What a program says that takes over.
pub(crate) fn introduction() -> String {
    format!("sidewinder {} takes over, edition {EDITION}", env!("CARGO_PKG_VERSION"))
}

fn version_in(answer: &str) -> Option<&str> {
    let words = answer.lines().find_map(|line| line.strip_prefix("sidewinder "))?;
    let (version, edition) = words.split_once(" takes over, edition ")?;
    (edition.parse() == Ok(EDITION)).then_some(version)
}

impl Successor {
    /// The program that lies where this one was started from. The text says what is wrong with it. Blocks.
    pub(crate) fn find() -> Result<Self, String> {
        let program =
            program().map_err(|error| format!("cannot find the program of this daemon: {error}"))?;
        let shown = program.display();
        let (status, answer) = ask(question(&program)).map_err(|error| format!("{shown}: {error}"))?;
        match version_in(&answer).filter(|_| status.success()) {
            Some(version) => Ok(Self { version: version.to_owned(), program: program.clone() }),
            None => Err(format!("{shown} does not take over ({status}): {}", head(answer.trim()))),
        }
    }

    /// The program that runs, when another one could not be executed after all.
    pub(crate) fn same() -> Self {
        Self { program: "/proc/self/exe".into(), version: env!("CARGO_PKG_VERSION").to_owned() }
    }

    /// Becomes it. Returns only to say why that failed.
    pub(super) fn execute(&self, variable: &str, value: &str) -> io::Error {
        let mut command = Command::new(&self.program);
        if let Some(name) = env::args_os().next() {
            command.arg0(name);
        }
        command.args(env::args_os().skip(1)).env(variable, value).exec()
    }
}

fn head(text: &str) -> &str {
    let end = (0..=SHOWN.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    if text.is_empty() { "it said nothing" } else { &text[..end.unwrap_or(0)] }
}

/// By the name under which this one was started: where versions lie behind a link, the link leads to the next one.
fn program() -> io::Result<PathBuf> {
    let name: OsString = env::args_os().next().unwrap_or_default();
    let path = Path::new(&name);
    if path.components().count() > 1 {
        return std::path::absolute(path);
    }
    let places = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&places).map(|place| place.join(path)).find(|place| place.is_file());
    found.filter(|_| !name.is_empty()).map_or_else(env::current_exe, std::path::absolute)
}

fn question(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(env::args_os().skip(1)).arg(QUESTION);
    command
}

/// Everything that it says, and how it ended.
fn ask(mut command: Command) -> io::Result<(ExitStatus, String)> {
    let (answer, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
    // A group of its own: whatever it starts ends with it.
    command.stdin(Stdio::null()).stdout(theirs.try_clone()?).stderr(theirs).process_group(0);
    let mut child = command.spawn()?;
    // With the last of our copies of its ends.
    drop(command);
    let heard = hear(&child, &answer);
    let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
    let status = child.wait()?;
    Ok((status, heard?))
}

fn hear(child: &Child, answer: &OwnedFd) -> io::Result<String> {
    let end = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    fcntl_setfl(answer, OFlags::NONBLOCK)?;
    let until = Instant::now() + PATIENCE;
    let (mut text, mut piece) = (Vec::new(), [0; 4096]);
    let mut speaks = true;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::other(format!("it did not answer within {PATIENCE:?}")));
        }
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut fds = vec![PollFd::new(&end, PollFlags::IN)];
        fds.extend(speaks.then(|| PollFd::new(answer, PollFlags::IN)));
        match poll(&mut fds, Some(&left)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ended = !fds[0].revents().is_empty();
        match rustix::io::read(answer, &mut piece) {
            Ok(0) => speaks = false,
            Ok(length) if text.len() + length > ANSWER_MAX => {
                return Err(io::Error::other("it says too much"));
            }
            Ok(length) => {
                text.extend(&piece[..length]);
                continue;
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        // What it said before its end has been read by now, whoever else may hold its end of the pipe.
        if ended {
            return Ok(String::from_utf8_lossy(&text).into_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whoever_says_so_takes_over() {
        assert_eq!(version_in(&format!("noise\n{}\n", introduction())), Some(env!("CARGO_PKG_VERSION")));
        for answer in
            ["", "sidewinder 9.9.9", "sidewinder 1 takes over, edition 0", "sidewinder 1 takes over"]
        {
            assert_eq!(version_in(answer), None, "{answer}");
        }
    }

    #[test]
    fn who_floods_or_is_not_there_is_an_error_and_nobody_stays() {
        let shell = |text: &str| {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", text]);
            ask(command)
        };
        assert!(shell("exec yes").expect_err("a flood").to_string().contains("too much"));
        let (status, answer) = shell("echo some; echo words >&2; sleep 600 & exit 3").expect("an answer");
        assert_eq!((status.code(), answer.as_str()), (Some(3), "some\nwords\n"));
        let (status, answer) = shell("exec >&- 2>&-; exit 4").expect("an answer");
        assert_eq!((status.code(), answer.as_str()), (Some(4), ""));
        assert!(ask(question(Path::new("/nowhere/sidewinder"))).is_err(), "nobody is there");
    }
}
