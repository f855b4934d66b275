//! Reads what `sidewinder keep --report` writes, through a FIFO.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags, mkfifoat, open};
use serde::Deserialize;

/// One line of the report.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// The command runs.
    Started(Started),
    /// The command itself ended.
    Exited {
        /// Its exit code, if it had one.
        code: Option<i32>,
        /// The signal that ended it, if one did.
        signal: Option<i32>,
    },
    /// Its whole tree is proved dead.
    Gone {
        /// Whether the warden was killed before its work was done.
        warden_lost: bool,
    },
    /// Events of later versions.
    #[serde(other)]
    Other,
}

/// Who is who in a run. Process ids are those of the owner's PID namespace.
#[derive(Debug, Clone, Deserialize)]
pub struct Started {
    /// The run's mark.
    pub run: String,
    /// `A`, `B` or `C`.
    pub tier: String,
    /// `sidewinder keep` itself.
    pub owner: i32,
    /// The keeper.
    pub keeper: i32,
    /// The command: the worker. One that ended at once may have no number any more.
    pub command: Option<i32>,
    /// The inode of the PID namespace in tier A.
    pub namespace: Option<u64>,
    /// The cgroup of the run, if it has one.
    pub cgroup: Option<String>,
}

/// The reading end of one run's report.
#[derive(Debug)]
pub struct Report {
    fifo: File,
    unread: Vec<u8>,
}

impl Report {
    /// Makes the FIFO. It must stand before the writer starts.
    pub fn at(path: &Path) -> io::Result<Self> {
        mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR)?;
        let fifo = open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { fifo: File::from(fifo), unread: Vec::new() })
    }

    /// Blocks until the run has started, at most for the limit.
    pub fn started(&mut self, limit: Duration) -> io::Result<Started> {
        loop {
            while let Some(event) = self.next_line()? {
                if let Event::Started(started) = event {
                    return Ok(started);
                }
            }
            if !self.readable_within(limit)? {
                return Err(io::Error::other("the report has no `started` event"));
            }
            if self.fill()? == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the writer of the report ended before `started`",
                ));
            }
        }
    }

    /// Everything that was written and not read yet.
    pub fn rest(&mut self) -> io::Result<Vec<Event>> {
        while self.readable_within(Duration::ZERO)? && self.fill()? > 0 {}
        let mut events = Vec::new();
        while let Some(event) = self.next_line()? {
            events.push(event);
        }
        Ok(events)
    }

    fn readable_within(&self, limit: Duration) -> io::Result<bool> {
        let timeout = Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(limit.subsec_nanos()),
        };
        let mut watched = [PollFd::new(&self.fifo, PollFlags::IN)];
        Ok(poll(&mut watched, Some(&timeout))? > 0)
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 4096];
        match self.fifo.read(&mut chunk) {
            Ok(count) => {
                self.unread.extend_from_slice(&chunk[..count]);
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error),
        }
    }

    fn next_line(&mut self) -> io::Result<Option<Event>> {
        let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
        let line: Vec<u8> = self.unread.drain(..=end).collect();
        let event = serde_json::from_slice(&line).map_err(|error| {
            io::Error::other(format!("a report line is not as promised ({error}): {}", line.escape_ascii()))
        })?;
        Ok(Some(event))
    }
}

/// Every event in a report that was written to a plain file.
pub fn read_all(path: &Path) -> io::Result<Vec<Event>> {
    let text = std::fs::read_to_string(path)?;
    let parse = |line: &str| {
        serde_json::from_str(line).map_err(|error| io::Error::other(format!("report line {line:?}: {error}")))
    };
    text.lines().map(parse).collect()
}
