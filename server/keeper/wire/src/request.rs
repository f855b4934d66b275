//! What an owner says to its keeper.

use super::field::{Broken, Frame, FrameWriter, number, small, text, unknown};
use super::spawn::{ForkRequest, SpawnRequest};
use super::{VERSION, agree, oldest_adoptable};
use std::time::Duration;

const HELLO: u8 = 1;
const ADOPT: u8 = 2;
const SPAWN: u8 = 3;
const SIGNAL: u8 = 4;
const KILL: u8 = 5;
const LIST: u8 = 6;
const DRAIN: u8 = 7;
const ACKNOWLEDGE: u8 = 8;
const FORK: u8 = 9;

const OLDEST: u16 = 1;
const NEWEST: u16 = 2;
const STOP_GRACE: u16 = 3;
const ORPHAN_GRACE: u16 = 4;
const REATTACH_GRACE: u16 = 5;
const CGROUP: u16 = 6;
const NUMBER: u16 = 1;

/// How long the keeper waits before it kills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Graces {
    /// Between SIGTERM and the kill when somebody asked for the end.
    pub stop: Duration,
    /// Between SIGTERM and the kill when the owner is gone. Zero kills at once.
    pub orphan: Duration,
    /// How long a pool whose owner died waits for a successor on the same lifeline.
    pub reattach: Duration,
}

/// An owner introduces itself. Its pidfd travels beside the frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The oldest and the newest version it speaks.
    pub versions: (u8, u8),
    /// The graces that hold from now on.
    pub graces: Graces,
    /// The cgroup below which every worker gets one of its own.
    pub cgroup: Option<String>,
}

/// One frame from the owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The first owner.
    Hello(Hello),
    /// A successor: it is told who lives and every ending that nobody has acknowledged.
    Adopt(Hello),
    /// Start a worker under this number. Its descriptors travel beside the frame.
    Spawn(u32, Box<SpawnRequest>),
    /// Send a signal to the worker itself.
    Signal(u32, i32),
    /// Kill the worker's whole tree.
    Kill(u32),
    /// Say who lives.
    List,
    /// Take no more workers, and end those that are here: SIGTERM, this grace, kill.
    Drain(Duration),
    /// The ending of this worker was heard; forget it.
    Acknowledge(u32),
    /// Start a worker under this number by a fork of another spawn. Its descriptors travel beside the frame.
    Fork(u32, Box<ForkRequest>),
}

impl Request {
    /// The frame.
    pub fn encode(&self) -> Result<Vec<u8>, Broken> {
        let frame = match self {
            Self::Hello(hello) => hello.write(HELLO),
            Self::Adopt(hello) => hello.write(ADOPT),
            Self::Spawn(worker, request) => {
                let mut frame = FrameWriter::new(SPAWN, *worker);
                request.write(&mut frame);
                frame
            }
            Self::Signal(worker, signal) => {
                let mut frame = FrameWriter::new(SIGNAL, *worker);
                frame.number(NUMBER, u64::try_from(*signal).map_err(|_| Broken::Value(NUMBER))?);
                frame
            }
            Self::Kill(worker) => FrameWriter::new(KILL, *worker),
            Self::List => FrameWriter::new(LIST, 0),
            Self::Drain(grace) => {
                let mut frame = FrameWriter::new(DRAIN, 0);
                frame.number(NUMBER, micros(*grace));
                frame
            }
            Self::Acknowledge(worker) => FrameWriter::new(ACKNOWLEDGE, *worker),
            Self::Fork(worker, request) => {
                let mut frame = FrameWriter::new(FORK, *worker);
                request.write(&mut frame);
                frame
            }
        };
        frame.finish()
    }

    /// The meaning of a frame.
    pub fn decode(bytes: &[u8]) -> Result<Self, Broken> {
        let frame = Frame::parse(bytes)?;
        Ok(match frame.kind {
            HELLO => Self::Hello(Hello::read(&frame)?),
            ADOPT => Self::Adopt(Hello::read(&frame)?),
            SPAWN => Self::Spawn(frame.worker, Box::new(SpawnRequest::read(&frame)?)),
            SIGNAL => {
                let number = only_number(&frame)?;
                let signal = i32::try_from(number).ok().filter(|signal| (1..=64).contains(signal));
                Self::Signal(frame.worker, signal.ok_or(Broken::Value(NUMBER))?)
            }
            KILL => Self::Kill(frame.worker),
            LIST => Self::List,
            DRAIN => Self::Drain(Duration::from_micros(only_number(&frame)?)),
            ACKNOWLEDGE => Self::Acknowledge(frame.worker),
            FORK => Self::Fork(frame.worker, Box::new(ForkRequest::read(&frame)?)),
            kind => return Err(Broken::Kind(kind)),
        })
    }
}

impl Request {
    /// Whether it can be carried out with so many descriptors beside it.
    pub fn check(&self, descriptors: usize) -> Result<(), &'static str> {
        match self {
            Self::Spawn(_, request) => request.check(descriptors),
            Self::Fork(_, request) => request.check(descriptors),
            Self::Hello(_)
            | Self::Adopt(_)
            | Self::Signal(..)
            | Self::Kill(_)
            | Self::List
            | Self::Drain(_)
            | Self::Acknowledge(_) => Ok(()),
        }
    }

    /// Whom it concerns; 0 is the whole pool.
    pub fn worker(&self) -> u32 {
        match *self {
            Self::Spawn(worker, _)
            | Self::Fork(worker, _)
            | Self::Signal(worker, _)
            | Self::Kill(worker)
            | Self::Acknowledge(worker) => worker,
            Self::Hello(_) | Self::Adopt(_) | Self::List | Self::Drain(_) => 0,
        }
    }
}

impl Hello {
    /// The version that this build speaks with whoever says so.
    pub fn agree(&self) -> Result<u8, String> {
        let ours = (oldest_adoptable(VERSION), VERSION);
        agree(ours, self.versions)
            .ok_or_else(|| format!("no common version: this keeper speaks {} to {}", ours.0, ours.1))
    }

    fn write(&self, kind: u8) -> FrameWriter {
        let mut frame = FrameWriter::new(kind, 0);
        frame.number(OLDEST, u64::from(self.versions.0));
        frame.number(NEWEST, u64::from(self.versions.1));
        frame.number(STOP_GRACE, micros(self.graces.stop));
        frame.number(ORPHAN_GRACE, micros(self.graces.orphan));
        frame.number(REATTACH_GRACE, micros(self.graces.reattach));
        if let Some(cgroup) = &self.cgroup {
            frame.bytes(CGROUP, cgroup.as_bytes());
        }
        frame
    }

    fn read(frame: &Frame<'_>) -> Result<Self, Broken> {
        let mut hello = Self { versions: (0, 0), graces: Graces::default(), cgroup: None };
        for field in frame.fields() {
            let (tag, value) = field?;
            let duration = || number(tag, value).map(Duration::from_micros);
            match tag {
                OLDEST => hello.versions.0 = small(tag, value)?,
                NEWEST => hello.versions.1 = small(tag, value)?,
                STOP_GRACE => hello.graces.stop = duration()?,
                ORPHAN_GRACE => hello.graces.orphan = duration()?,
                REATTACH_GRACE => hello.graces.reattach = duration()?,
                CGROUP => hello.cgroup = Some(text(tag, value)?),
                _ => unknown(tag)?,
            }
        }
        if hello.versions.0 == 0 || hello.versions.0 > hello.versions.1 {
            return Err(Broken::Value(OLDEST));
        }
        Ok(hello)
    }
}

fn only_number(frame: &Frame<'_>) -> Result<u64, Broken> {
    let mut found = None;
    for field in frame.fields() {
        match field? {
            (NUMBER, value) => found = Some(number(NUMBER, value)?),
            (tag, _) => unknown(tag)?,
        }
    }
    found.ok_or(Broken::Missing(NUMBER))
}

/// Whole microseconds, at most about 584,000 years.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
