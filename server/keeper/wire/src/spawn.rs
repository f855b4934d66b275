//! What a worker is to be: the request to start one.
//!
//! The place for sandboxes (Landlock, seccomp, private network, OCI runtimes) is a critical field of its own,
//! so that a keeper too old to know it refuses the worker instead of running it unprotected.

use super::field::{Broken, Frame, FrameWriter, number, signed, small, text, unknown};
use super::{FDS_MAX, NUMBER_MAX, PLAN_FDS_MAX};

const ARGUMENT: u16 = 1;
const VARIABLE: u16 = 2;
const DIRECTORY: u16 = 3;
const UID: u16 = 4 | super::field::CRITICAL;
const GID: u16 = 5 | super::field::CRITICAL;
const GROUP: u16 = 6 | super::field::CRITICAL;
const RLIMIT: u16 = 7 | super::field::CRITICAL;
const NICE: u16 = 8;
const OOM_SCORE_ADJ: u16 = 9;
const CPU: u16 = 10 | super::field::CRITICAL;
const FD: u16 = 11 | super::field::CRITICAL;
const NEW_PRIVILEGES: u16 = 12;
const MEMORY_MAX: u16 = 13 | super::field::CRITICAL;
const MEMORY_HIGH: u16 = 14 | super::field::CRITICAL;
const SWAP_MAX: u16 = 15 | super::field::CRITICAL;
const CPU_MAX: u16 = 16 | super::field::CRITICAL;
const PIDS_MAX: u16 = 17 | super::field::CRITICAL;
const IO_MAX: u16 = 18 | super::field::CRITICAL;
const NEST: u16 = 19 | super::field::CRITICAL;

/// One resource limit of the process itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rlimit {
    /// The kernel's number of the resource (`RLIMIT_*`).
    pub resource: u32,
    /// The limit in force.
    pub soft: u64,
    /// The limit that the soft one may be raised to.
    pub hard: u64,
}

/// Limits of a worker's whole tree. They need a delegated cgroup with the controller named beside each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory; above them the whole tree is killed (`memory`).
    pub memory_max: Option<u64>,
    /// Bytes of memory above which the tree is slowed down (`memory`).
    pub memory_high: Option<u64>,
    /// Bytes of swap (`memory`).
    pub swap_max: Option<u64>,
    /// Microseconds of processor time in each 100 ms (`cpu`).
    pub cpu_max: Option<u64>,
    /// Processes and threads (`pids`).
    pub pids_max: Option<u64>,
    /// Lines for `io.max`, such as `8:0 rbps=1048576` (`io`).
    pub io_max: Vec<String>,
}

impl Limits {
    /// The cgroup files to write, each with the controller it needs.
    pub fn knobs(&self) -> Vec<(&'static str, &'static str, String)> {
        let mut knobs = Vec::new();
        let numbers = [
            ("memory", "memory.high", self.memory_high),
            ("memory", "memory.max", self.memory_max),
            ("memory", "memory.swap.max", self.swap_max),
            ("pids", "pids.max", self.pids_max),
        ];
        knobs
            .extend(numbers.into_iter().filter_map(|(of, file, value)| Some((of, file, value?.to_string()))));
        if self.memory_max.is_some() {
            knobs.push(("memory", "memory.oom.group", "1".to_owned()));
        }
        knobs.extend(self.cpu_max.map(|quota| ("cpu", "cpu.max", format!("{quota} 100000"))));
        knobs.extend(self.io_max.iter().map(|line| ("io", "io.max", line.clone())));
        knobs
    }

    fn write(&self, frame: &mut FrameWriter) {
        frame.maybe(MEMORY_MAX, self.memory_max);
        frame.maybe(MEMORY_HIGH, self.memory_high);
        frame.maybe(SWAP_MAX, self.swap_max);
        frame.maybe(CPU_MAX, self.cpu_max);
        frame.maybe(PIDS_MAX, self.pids_max);
        self.io_max.iter().for_each(|line| frame.bytes(IO_MAX, line.as_bytes()));
    }

    /// Takes a field that may be a limit.
    fn set(&mut self, tag: u16, value: &[u8]) -> Result<(), Broken> {
        match tag {
            MEMORY_MAX => self.memory_max = Some(number(tag, value)?),
            MEMORY_HIGH => self.memory_high = Some(number(tag, value)?),
            SWAP_MAX => self.swap_max = Some(number(tag, value)?),
            CPU_MAX => self.cpu_max = Some(number(tag, value)?),
            PIDS_MAX => self.pids_max = Some(number(tag, value)?),
            IO_MAX => self.io_max.push(text(tag, value)?),
            _ => unknown(tag)?,
        }
        Ok(())
    }
}

/// Everything a keeper needs to start one worker. Nothing is inherited that is not named here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpawnRequest {
    /// The program, looked up in the `PATH` of `environment`, and its arguments.
    pub arguments: Vec<Vec<u8>>,
    /// The whole environment, as `NAME=value`.
    pub environment: Vec<Vec<u8>>,
    /// The working directory; `/` when absent.
    pub directory: Option<Vec<u8>>,
    /// The user to become.
    pub uid: Option<u32>,
    /// The group to become.
    pub gid: Option<u32>,
    /// The supplementary groups to have; set only together with `uid`.
    pub groups: Vec<u32>,
    /// Limits of each process.
    pub rlimits: Vec<Rlimit>,
    /// Added to the niceness.
    pub nice: Option<i32>,
    /// How willingly the kernel kills this worker when memory runs out (-1000 to 1000).
    pub oom_score_adj: Option<i32>,
    /// The processors it may run on; all when empty.
    pub cpus: Vec<u32>,
    /// The numbers at which the descriptors beside the frame appear in the worker, in their order.
    pub fds: Vec<u32>,
    /// Whether set-uid programs keep their power (`sudo`, `ping`). Off by default.
    pub new_privileges: bool,
    /// Limits of the whole tree.
    pub limits: Limits,
    /// It is a fork server, and finds the socket on which it is asked for workers at this number.
    pub nest: Option<u32>,
}

/// A worker that is forked from another spawn: what it has of its own. Everything else is as in its fork server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForkRequest {
    /// The number of the fork server.
    pub from: u32,
    /// Limits of each process.
    pub rlimits: Vec<Rlimit>,
    /// The numbers at which the descriptors beside the frame appear in the worker, in their order.
    pub fds: Vec<u32>,
    /// Limits of the whole tree.
    pub limits: Limits,
}

const FROM: u16 = 1;

impl ForkRequest {
    /// Whether it can be carried out with so many descriptors beside it.
    pub fn check(&self, descriptors: usize) -> Result<(), &'static str> {
        if descriptors > FDS_MAX - PLAN_FDS_MAX {
            return Err("a forked worker takes at most 26 descriptors");
        }
        check_numbers(&self.fds, descriptors)
    }

    pub(super) fn write(&self, frame: &mut FrameWriter) {
        frame.number(FROM, u64::from(self.from));
        write_rlimits(&self.rlimits, frame);
        self.fds.iter().for_each(|fd| frame.number(FD, u64::from(*fd)));
        self.limits.write(frame);
    }

    pub(super) fn read(frame: &Frame<'_>) -> Result<Self, Broken> {
        let (mut request, mut from) = (Self::default(), None);
        for field in frame.fields() {
            let (tag, value) = field?;
            match tag {
                FROM => from = Some(small(tag, value)?),
                RLIMIT => request.rlimits.push(rlimit(tag, value)?),
                FD => request.fds.push(small(tag, value)?),
                _ => request.limits.set(tag, value)?,
            }
        }
        request.from = from.ok_or(Broken::Missing(FROM))?;
        Ok(request)
    }
}

impl SpawnRequest {
    /// Whether it can be carried out with so many descriptors beside it.
    pub fn check(&self, descriptors: usize) -> Result<(), &'static str> {
        check_numbers(&self.fds, descriptors)?;
        match self.nest {
            Some(nest) if self.fds.contains(&nest) => Err("two descriptors were given the same number"),
            Some(nest) if nest > NUMBER_MAX => Err("descriptor numbers go up to 255"),
            Some(_) if self.uid.is_some() || self.gid.is_some() => {
                Err("a fork server is of the keeper's own user: its wardens could not be otherwise")
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn write(&self, frame: &mut FrameWriter) {
        self.arguments.iter().for_each(|argument| frame.bytes(ARGUMENT, argument));
        self.environment.iter().for_each(|variable| frame.bytes(VARIABLE, variable));
        if let Some(directory) = &self.directory {
            frame.bytes(DIRECTORY, directory);
        }
        frame.maybe(UID, self.uid.map(u64::from));
        frame.maybe(GID, self.gid.map(u64::from));
        self.groups.iter().for_each(|group| frame.number(GROUP, u64::from(*group)));
        write_rlimits(&self.rlimits, frame);
        if let Some(nice) = self.nice {
            frame.signed(NICE, i64::from(nice));
        }
        if let Some(score) = self.oom_score_adj {
            frame.signed(OOM_SCORE_ADJ, i64::from(score));
        }
        self.cpus.iter().for_each(|cpu| frame.number(CPU, u64::from(*cpu)));
        self.fds.iter().for_each(|fd| frame.number(FD, u64::from(*fd)));
        if self.new_privileges {
            frame.number(NEW_PRIVILEGES, 1);
        }
        self.limits.write(frame);
        frame.maybe(NEST, self.nest.map(u64::from));
    }

    pub(super) fn read(frame: &Frame<'_>) -> Result<Self, Broken> {
        let mut request = Self::default();
        for field in frame.fields() {
            let (tag, value) = field?;
            request.set(tag, value)?;
        }
        if request.arguments.is_empty() {
            return Err(Broken::Missing(ARGUMENT));
        }
        Ok(request)
    }

    fn set(&mut self, tag: u16, value: &[u8]) -> Result<(), Broken> {
        match tag {
            ARGUMENT => self.arguments.push(plain(tag, value)?),
            VARIABLE => self.environment.push(plain(tag, value)?),
            DIRECTORY => self.directory = Some(plain(tag, value)?),
            UID => self.uid = Some(small(tag, value)?),
            GID => self.gid = Some(small(tag, value)?),
            GROUP => self.groups.push(small(tag, value)?),
            RLIMIT => self.rlimits.push(rlimit(tag, value)?),
            NICE => self.nice = Some(i32::try_from(signed(tag, value)?).map_err(|_| Broken::Value(tag))?),
            OOM_SCORE_ADJ => {
                self.oom_score_adj =
                    Some(i32::try_from(signed(tag, value)?).map_err(|_| Broken::Value(tag))?);
            }
            CPU => self.cpus.push(small(tag, value)?),
            FD => self.fds.push(small(tag, value)?),
            NEW_PRIVILEGES => self.new_privileges = number(tag, value)? != 0,
            NEST => self.nest = Some(small(tag, value)?),
            _ => self.limits.set(tag, value)?,
        }
        Ok(())
    }
}

/// The numbers a worker may be given: no two alike, none absurdly high.
fn check_numbers(numbers: &[u32], descriptors: usize) -> Result<(), &'static str> {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    if descriptors != numbers.len() {
        Err("as many descriptors as numbers for them must come along")
    } else if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
        Err("two descriptors were given the same number")
    } else if sorted.last().is_some_and(|last| *last > NUMBER_MAX) {
        Err("descriptor numbers go up to 255")
    } else {
        Ok(())
    }
}

/// Bytes that the kernel will take as a string: none of them is zero.
fn plain(tag: u16, value: &[u8]) -> Result<Vec<u8>, Broken> {
    if value.contains(&0) { Err(Broken::Value(tag)) } else { Ok(value.to_vec()) }
}

fn write_rlimits(rlimits: &[Rlimit], frame: &mut FrameWriter) {
    for limit in rlimits {
        let numbers = [u64::from(limit.resource), limit.soft, limit.hard].map(u64::to_le_bytes);
        frame.bytes(RLIMIT, numbers.as_flattened());
    }
}

fn rlimit(tag: u16, value: &[u8]) -> Result<Rlimit, Broken> {
    let (numbers, []) = value.as_chunks::<8>() else { return Err(Broken::Value(tag)) };
    let [resource, soft, hard] = *numbers else { return Err(Broken::Value(tag)) };
    let resource = u32::try_from(u64::from_le_bytes(resource)).map_err(|_| Broken::Value(tag))?;
    Ok(Rlimit { resource, soft: u64::from_le_bytes(soft), hard: u64::from_le_bytes(hard) })
}
