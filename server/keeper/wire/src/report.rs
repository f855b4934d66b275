//! What a keeper says to its owner, and a warden to its keeper.

use super::field::{Broken, Frame, FrameWriter, number, small, text, unknown};
use super::request::micros;
use crate::Tier;
use std::io;
use std::time::Duration;

const WELCOME: u8 = 65;
const SPAWNED: u8 = 66;
const FAILED: u8 = 67;
const EXITED: u8 = 68;
const GONE: u8 = 69;
const ENTRY: u8 = 70;
const LISTED: u8 = 71;
const REFUSED: u8 = 72;
const DRAINED: u8 = 73;

const VERSION: u16 = 1;
const TIER: u16 = 2;
const BOOT: u16 = 3;
const NAMESPACE: u16 = 4;
const WHY: u16 = 5;
const FRESH_PROC: u16 = 6;
const PID: u16 = 1;
const STAGE: u16 = 1;
const ERRNO: u16 = 2;
const MESSAGE: u16 = 3;
const CODE: u16 = 1;
const SIGNAL: u16 = 2;
const USER_TIME: u16 = 3;
const SYSTEM_TIME: u16 = 4;
const PEAK_RSS: u16 = 5;
const PEAK_TREE: u16 = 6;
const OOM_KILLS: u16 = 7;
const PIDS_REFUSED: u16 = 8;
const WARDEN_LOST: u16 = 9;
const LIVING: u16 = 10;

/// The keeper introduces itself. Its own pidfd travels beside the frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The version both sides speak from now on.
    pub version: u8,
    /// How strongly this keeper holds its workers.
    pub tier: Tier,
    /// The kernel's identity of this boot.
    pub boot: String,
    /// The inode of the PID namespace the workers live in.
    pub namespace: u64,
    /// Whether `/proc` inside shows that namespace.
    pub fresh_proc: bool,
    /// How it got its namespace, or why it got none.
    pub why: String,
}

/// Where the start of a worker failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// Creating or limiting its cgroup.
    Cgroup = 1,
    /// Making the process.
    Fork = 2,
    /// Placing its descriptors.
    Descriptors = 3,
    /// Setting a resource limit, niceness, OOM score or processor set.
    Limits = 4,
    /// Entering its working directory.
    Directory = 5,
    /// Becoming its user.
    User = 6,
    /// Executing the program.
    Execute = 7,
}

impl Stage {
    const ALL: [Self; 7] = [
        Self::Cgroup,
        Self::Fork,
        Self::Descriptors,
        Self::Limits,
        Self::Directory,
        Self::User,
        Self::Execute,
    ];

    /// The stage with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| *stage as u8 == number)
    }
}

/// A worker could not be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// At which step.
    pub stage: Stage,
    /// The system's error number, or 0.
    pub errno: i32,
    /// What else is known, such as the file it was about.
    pub message: String,
}

/// How the worker's own process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

/// A worker's whole tree is proved dead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// How the worker itself ended, when the keeper saw it.
    pub ending: Option<Ending>,
    /// Processor time in user mode, of the worker and the children it waited for.
    pub user: Duration,
    /// Processor time in the kernel, likewise.
    pub system: Duration,
    /// Its largest resident set, in bytes.
    pub peak_rss: u64,
    /// The largest memory use of its whole tree, where a cgroup counted it.
    pub peak_tree: Option<u64>,
    /// Processes of the tree that the kernel killed for want of memory.
    pub oom_kills: u64,
    /// Forks that the limit on processes refused.
    pub pids_refused: u64,
    /// Its warden was killed; the keeper cleaned up in its place.
    pub warden_lost: bool,
}

/// One life in a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its process id in the namespace of the keeper; 0 before it started.
    pub pid: u32,
    /// False once its ending waits to be acknowledged.
    pub living: bool,
}

/// One frame from the keeper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The answer to a hello or an adoption.
    Welcome(Welcome),
    /// The worker runs its program. Its pidfd travels beside the frame; the number is its pid there.
    Spawned(u32, u32),
    /// The worker could not be started, and nothing of it is left.
    Failed(u32, Failure),
    /// The worker's own process ended; its descendants are being killed.
    Exited(u32, Ending),
    /// Its whole tree is gone. Said again to every successor until acknowledged.
    Gone(u32, Box<Gone>),
    /// One line of a listing. The pidfd of a living worker travels beside the frame.
    Entry(u32, Entry),
    /// The listing ends; so many entries came before.
    Listed(u32),
    /// A request that was not carried out, and why.
    Refused(u32, String),
    /// No worker is left, and none will be started.
    Drained,
}

impl Report {
    /// The frame.
    pub fn encode(&self) -> Result<Vec<u8>, Broken> {
        let frame = match self {
            Self::Welcome(welcome) => welcome.write(),
            Self::Spawned(worker, pid) => {
                let mut frame = FrameWriter::new(SPAWNED, *worker);
                frame.number(PID, u64::from(*pid));
                frame
            }
            Self::Failed(worker, failure) => failure.write(*worker),
            Self::Exited(worker, ending) => {
                let mut frame = FrameWriter::new(EXITED, *worker);
                ending.write(&mut frame);
                frame
            }
            Self::Gone(worker, gone) => gone.write(*worker),
            Self::Entry(worker, entry) => {
                let mut frame = FrameWriter::new(ENTRY, *worker);
                frame.number(PID, u64::from(entry.pid));
                frame.number(LIVING, u64::from(entry.living));
                frame
            }
            Self::Listed(count) => FrameWriter::new(LISTED, *count),
            Self::Refused(worker, why) => {
                let mut frame = FrameWriter::new(REFUSED, *worker);
                frame.bytes(MESSAGE, why.as_bytes());
                frame
            }
            Self::Drained => FrameWriter::new(DRAINED, 0),
        };
        frame.finish()
    }

    /// The meaning of a frame.
    pub fn decode(bytes: &[u8]) -> Result<Self, Broken> {
        let frame = Frame::parse(bytes)?;
        let worker = frame.worker;
        Ok(match frame.kind {
            WELCOME => Self::Welcome(Welcome::read(&frame)?),
            SPAWNED => Self::Spawned(worker, read_entry(&frame)?.pid),
            FAILED => Self::Failed(worker, Failure::read(&frame)?),
            EXITED => {
                let gone = Gone::read(&frame)?;
                Self::Exited(worker, gone.ending.ok_or(Broken::Missing(CODE))?)
            }
            GONE => Self::Gone(worker, Box::new(Gone::read(&frame)?)),
            ENTRY => Self::Entry(worker, read_entry(&frame)?),
            LISTED => Self::Listed(worker),
            REFUSED => Self::Refused(worker, read_message(&frame)?),
            DRAINED => Self::Drained,
            kind => return Err(Broken::Kind(kind)),
        })
    }
}

impl Welcome {
    fn write(&self) -> FrameWriter {
        let mut frame = FrameWriter::new(WELCOME, 0);
        frame.number(VERSION, u64::from(self.version));
        frame.number(TIER, u64::from(self.tier.number()));
        frame.bytes(BOOT, self.boot.as_bytes());
        frame.number(NAMESPACE, self.namespace);
        frame.number(FRESH_PROC, u64::from(self.fresh_proc));
        frame.bytes(WHY, self.why.as_bytes());
        frame
    }

    fn read(frame: &Frame<'_>) -> Result<Self, Broken> {
        let mut version = None;
        let mut tier = None;
        let (mut boot, mut why) = (String::new(), String::new());
        let (mut namespace, mut fresh_proc) = (0, false);
        for field in frame.fields() {
            let (tag, value) = field?;
            match tag {
                VERSION => version = Some(small(tag, value)?),
                TIER => tier = Some(Tier::from_number(small(tag, value)?).ok_or(Broken::Value(tag))?),
                BOOT => boot = text(tag, value)?,
                NAMESPACE => namespace = number(tag, value)?,
                FRESH_PROC => fresh_proc = number(tag, value)? != 0,
                WHY => why = text(tag, value)?,
                _ => unknown(tag)?,
            }
        }
        let version = version.ok_or(Broken::Missing(VERSION))?;
        let tier = tier.ok_or(Broken::Missing(TIER))?;
        Ok(Self { version, tier, boot, namespace, fresh_proc, why })
    }
}

impl Failure {
    /// What the system said at this step, and about what.
    pub fn of(stage: Stage, error: &io::Error, message: &str) -> Self {
        Self { stage, errno: error.raw_os_error().unwrap_or(0), message: message.to_owned() }
    }

    fn write(&self, worker: u32) -> FrameWriter {
        let mut frame = FrameWriter::new(FAILED, worker);
        frame.number(STAGE, u64::from(self.stage as u8));
        frame.number(ERRNO, u64::from(self.errno.unsigned_abs()));
        frame.bytes(MESSAGE, self.message.as_bytes());
        frame
    }

    fn read(frame: &Frame<'_>) -> Result<Self, Broken> {
        let (mut stage, mut errno, mut message) = (None, 0, String::new());
        for field in frame.fields() {
            let (tag, value) = field?;
            match tag {
                STAGE => stage = Stage::from_number(small(tag, value)?),
                ERRNO => errno = small(tag, value)?,
                MESSAGE => message = text(tag, value)?,
                _ => unknown(tag)?,
            }
        }
        Ok(Self { stage: stage.ok_or(Broken::Missing(STAGE))?, errno, message })
    }
}

impl Ending {
    fn write(self, frame: &mut FrameWriter) {
        match self {
            Self::Code(code) => frame.signed(CODE, i64::from(code)),
            Self::Signal(signal) => frame.signed(SIGNAL, i64::from(signal)),
        }
    }
}

impl Gone {
    fn write(&self, worker: u32) -> FrameWriter {
        let mut frame = FrameWriter::new(GONE, worker);
        if let Some(ending) = self.ending {
            ending.write(&mut frame);
        }
        frame.number(USER_TIME, micros(self.user));
        frame.number(SYSTEM_TIME, micros(self.system));
        frame.number(PEAK_RSS, self.peak_rss);
        frame.maybe(PEAK_TREE, self.peak_tree);
        frame.number(OOM_KILLS, self.oom_kills);
        frame.number(PIDS_REFUSED, self.pids_refused);
        frame.number(WARDEN_LOST, u64::from(self.warden_lost));
        frame
    }

    fn read(frame: &Frame<'_>) -> Result<Self, Broken> {
        let mut gone = Self::default();
        for field in frame.fields() {
            let (tag, value) = field?;
            let signed = || i32::try_from(super::field::signed(tag, value)?).map_err(|_| Broken::Value(tag));
            match tag {
                CODE => gone.ending = Some(Ending::Code(signed()?)),
                SIGNAL => gone.ending = Some(Ending::Signal(signed()?)),
                USER_TIME => gone.user = Duration::from_micros(number(tag, value)?),
                SYSTEM_TIME => gone.system = Duration::from_micros(number(tag, value)?),
                PEAK_RSS => gone.peak_rss = number(tag, value)?,
                PEAK_TREE => gone.peak_tree = Some(number(tag, value)?),
                OOM_KILLS => gone.oom_kills = number(tag, value)?,
                PIDS_REFUSED => gone.pids_refused = number(tag, value)?,
                WARDEN_LOST => gone.warden_lost = number(tag, value)? != 0,
                _ => unknown(tag)?,
            }
        }
        Ok(gone)
    }
}

fn read_entry(frame: &Frame<'_>) -> Result<Entry, Broken> {
    let mut entry = Entry { pid: 0, living: false };
    for field in frame.fields() {
        let (tag, value) = field?;
        match tag {
            PID => entry.pid = small(tag, value)?,
            LIVING => entry.living = number(tag, value)? != 0,
            _ => unknown(tag)?,
        }
    }
    Ok(entry)
}

fn read_message(frame: &Frame<'_>) -> Result<String, Broken> {
    let mut message = String::new();
    for field in frame.fields() {
        match field? {
            (MESSAGE, value) => message = text(MESSAGE, value)?,
            (tag, _) => unknown(tag)?,
        }
    }
    Ok(message)
}
