//! `--limit NAME=VALUE`: what people write, as what holds it.
//!
//! A limit of the whole tree needs a cgroup controller. Where none is delegated, `memory` and `pids` fall back to
//! the nearest limit of each process, and that is said; the others are refused, because nothing would hold them.

use sidewinder_keeper_wire::{Limits, Rlimit};
use std::fmt;

const NAMES: &str = "memory, memory-high, swap, cpu, pids, io, files, file-size, cpu-time, core";
const UNITS: [(char, u64); 4] = [('K', 1 << 10), ('M', 1 << 20), ('G', 1 << 30), ('T', 1 << 40)];

/// One limit as it was asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Limit {
    Memory(u64),
    MemoryHigh(u64),
    Swap(u64),
    Cpu(f64),
    Pids(u64),
    Io(String),
    Process(&'static str, u32, u64),
}

/// What holds the limits on this machine, and what to tell the user about it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) tree: Limits,
    pub(crate) process: Vec<Rlimit>,
    pub(crate) notes: Vec<String>,
}

/// Reads one `NAME=VALUE`.
pub(crate) fn parse(text: &str) -> Result<Limit, String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("write NAME=VALUE; names are {NAMES}"))?;
    Ok(match name {
        "memory" => Limit::Memory(size(value)?),
        "memory-high" => Limit::MemoryHigh(size(value)?),
        "swap" => Limit::Swap(size(value)?),
        "cpu" => Limit::Cpu(processors(value)?),
        "pids" => Limit::Pids(count(value)?),
        "io" => Limit::Io(device_limit(value)?),
        "files" => Limit::Process("files", libc::RLIMIT_NOFILE, count(value)?),
        "file-size" => Limit::Process("file-size", libc::RLIMIT_FSIZE, size(value)?),
        "cpu-time" => Limit::Process("cpu-time", libc::RLIMIT_CPU, count(value.trim_end_matches('s'))?),
        "core" => Limit::Process("core", libc::RLIMIT_CORE, size(value)?),
        _ => return Err(format!("no limit is called `{name}`; names are {NAMES}")),
    })
}

/// Decides what holds each limit, given the controllers that are delegated and whether the user is root.
pub(crate) fn place(limits: &[Limit], controllers: &[String], root: bool) -> Result<Held, String> {
    let has = |name: &str| controllers.iter().any(|controller| controller == name);
    let mut held = Held::default();
    for limit in limits {
        match limit {
            Limit::Memory(bytes) if has("memory") => held.tree.memory_max = Some(*bytes),
            Limit::Memory(bytes) => held.per_process(limit, libc::RLIMIT_DATA, *bytes),
            Limit::MemoryHigh(bytes) if has("memory") => held.tree.memory_high = Some(*bytes),
            Limit::Swap(bytes) if has("memory") => held.tree.swap_max = Some(*bytes),
            Limit::Cpu(processors) if has("cpu") => held.tree.cpu_max = Some(quota(*processors)),
            Limit::Pids(count) if has("pids") => held.tree.pids_max = Some(*count),
            Limit::Pids(count) if !root => held.per_process(limit, libc::RLIMIT_NPROC, *count),
            Limit::Io(line) if has("io") => held.tree.io_max.push(line.clone()),
            Limit::Process(_, resource, value) => {
                held.process.push(Rlimit { resource: *resource, soft: *value, hard: *value });
            }
            Limit::MemoryHigh(_) | Limit::Swap(_) | Limit::Cpu(_) | Limit::Pids(_) | Limit::Io(_) => {
                return Err(nothing_holds(limit));
            }
        }
    }
    Ok(held)
}

impl Held {
    fn per_process(&mut self, limit: &Limit, resource: u32, value: u64) {
        self.process.push(Rlimit { resource, soft: value, hard: value });
        let what = if resource == libc::RLIMIT_DATA {
            "each process by itself"
        } else {
            "all processes of this user"
        };
        self.notes.push(format!(
            "limit {limit} holds {what}, not this tree: no cgroup controller is delegated (see `sidewinder doctor`)"
        ));
    }
}

fn nothing_holds(limit: &Limit) -> String {
    let more =
        if matches!(limit, Limit::Pids(_)) { ", and root is exempt from the limit of its user" } else { "" };
    format!(
        "nothing holds limit {limit} here: it needs a delegated cgroup with its controller{more}. \
         Run under `systemd-run --scope -p Delegate=yes`, or name a cgroup with --cgroup; `sidewinder doctor` says more"
    )
}

impl Limit {
    /// What is limited.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
            Self::MemoryHigh(_) => "memory-high",
            Self::Swap(_) => "swap",
            Self::Cpu(_) => "cpu",
            Self::Pids(_) => "pids",
            Self::Io(_) => "io",
            Self::Process(name, _, _) => name,
        }
    }

    /// How much, as it can be read again.
    pub(crate) fn value(&self) -> String {
        match self {
            Self::Memory(bytes)
            | Self::MemoryHigh(bytes)
            | Self::Swap(bytes)
            | Self::Process("file-size" | "core", _, bytes) => shown(*bytes),
            Self::Cpu(processors) => processors.to_string(),
            Self::Pids(count) | Self::Process(_, _, count) => count.to_string(),
            Self::Io(line) => line.replace(' ', ","),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name(), self.value())
    }
}

/// Microseconds in each 100 ms. The kernel takes no less than one millisecond.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 < processors ≤ 10,000")]
fn quota(processors: f64) -> u64 {
    (processors * 100_000.0).max(1_000.0) as u64
}

fn processors(text: &str) -> Result<f64, String> {
    let wrong = || format!("`{text}` is no number of processors: write 0.5 or 2");
    let value: f64 = text.parse().map_err(|_| wrong())?;
    if value > 0.0 && value <= 10_000.0 { Ok(value) } else { Err(wrong()) }
}

fn count(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` is no count"))
}

/// Reads a size: `64MiB`, `64M` or a number of bytes. A unit is always a power of 1024.
pub(crate) fn size(written: &str) -> Result<u64, String> {
    let wrong = || format!("`{written}` is no size: write 512M, 2G, 64MiB or a number of bytes");
    let text = written.strip_suffix("iB").filter(|text| !text.ends_with(|c: char| c.is_ascii_digit()));
    let text = text.unwrap_or(written);
    let unit = UNITS.iter().find(|(letter, _)| text.to_ascii_uppercase().ends_with(*letter));
    let number = if unit.is_some() { &text[..text.len() - 1] } else { text };
    let factor = unit.map_or(1, |(_, factor)| *factor);
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)).ok_or_else(wrong)
}

/// `8:0,rbps=1M,wiops=100`, as a line of `io.max`.
fn device_limit(text: &str) -> Result<String, String> {
    let wrong = || format!("`{text}` limits no device: write MAJOR:MINOR,rbps=1M,wbps=…,riops=…,wiops=…");
    let mut parts = text.split(',');
    let device = parts.next().filter(|device| is_device(device)).ok_or_else(wrong)?;
    let mut line = device.to_owned();
    for part in parts {
        let (name, value) = part.split_once('=').ok_or_else(wrong)?;
        if !["rbps", "wbps", "riops", "wiops"].contains(&name) {
            return Err(wrong());
        }
        line = format!("{line} {name}={}", size(value)?);
    }
    if line == device { Err(wrong()) } else { Ok(line) }
}

fn is_device(text: &str) -> bool {
    let number = |part: &str| part.parse::<u32>().is_ok();
    text.split_once(':').is_some_and(|(major, minor)| number(major) && number(minor))
}

/// Writes a size as people would.
pub(crate) fn shown(bytes: u64) -> String {
    let unit = UNITS.iter().rev().find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor));
    unit.map_or_else(|| bytes.to_string(), |(letter, factor)| format!("{}{letter}iB", bytes / factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str]) -> Vec<Limit> {
        texts.iter().map(|text| parse(text).expect(text)).collect()
    }

    #[test]
    fn a_controller_holds_the_whole_tree() {
        let all = ["memory", "cpu", "pids", "io"].map(str::to_owned);
        let asked = read(&["memory=1G", "memory-high=512M", "cpu=1.5", "pids=20", "io=8:0,rbps=1M,wiops=5"]);
        let held = place(&asked, &all, true).expect("held");
        let knobs: Vec<String> =
            held.tree.knobs().iter().map(|(_, knob, value)| format!("{knob}={value}")).collect();
        assert_eq!(
            knobs,
            [
                "memory.high=536870912",
                "memory.max=1073741824",
                "pids.max=20",
                "memory.oom.group=1",
                "cpu.max=150000 100000",
                "io.max=8:0 rbps=1048576 wiops=5"
            ]
        );
        assert!(held.process.is_empty() && held.notes.is_empty());
    }

    #[test]
    fn without_one_the_nearest_limit_is_said_and_the_others_are_refused() {
        let held = place(&read(&["memory=1M", "pids=9", "files=64"]), &[], false).expect("held");
        let resources: Vec<u32> = held.process.iter().map(|limit| limit.resource).collect();
        assert_eq!(resources, [libc::RLIMIT_DATA, libc::RLIMIT_NPROC, libc::RLIMIT_NOFILE]);
        assert_eq!(held.notes.len(), 2);
        for (refused, root) in
            [("cpu=1", false), ("io=8:0,rbps=1", false), ("swap=0", false), ("pids=9", true)]
        {
            assert!(place(&read(&[refused]), &[], root).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_size_is_read_as_it_is_shown() {
        for text in ["0", "1", "64KiB", "65MiB", "3GiB", "1TiB", "1025"] {
            assert_eq!(shown(size(text).expect(text)), text);
        }
        assert_eq!(size("64k"), size("64KiB"));
        for wrong in ["", "iB", "1iB", "1MB", "1.5M", "-1"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_the_way_out() {
        for wrong in [
            "memory",
            "memory=",
            "memory=-1",
            "memory=1X",
            "memory=99999999999T",
            "cpu=0",
            "cpu=nan",
            "speed=1",
            "io=8:0",
            "io=sda,rbps=1",
            "io=8:0,speed=1",
            "pids=many",
        ] {
            let error = parse(wrong).expect_err(wrong);
            assert!(
                error.contains("write") || error.contains("names are") || error.contains("is no"),
                "{error}"
            );
        }
    }
}
