//! What `/proc` says about other processes. Facts only, no decisions.
//!
//! Processes come and go while `/proc` is read: a missing file means "not there
//! any more" and is never an error.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;

/// One process as `/proc/PID/stat` shows it.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its process id, as this process sees it.
    pub pid: i32,
    /// Its parent.
    pub parent: i32,
    /// One letter: R, S, D, T, Z …
    pub state: char,
    /// The short name.
    pub name: String,
    /// When it started.
    pub born: Ticks,
}

/// Hundredths of a second since the machine started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticks(u64);

/// What a process does with one signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// The kernel's default action.
    Default,
    /// The kernel drops it: the process ignores it, or it is the init of a PID namespace.
    Deaf,
    /// A handler runs, or the process takes it from a signalfd.
    Handled,
}

/// The entry of one process, if it exists.
pub fn entry(pid: i32) -> Option<Entry> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let (before, after) = stat.rsplit_once(')')?;
    let mut fields = after.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    // The 22nd field of the file; the 4th was read last.
    let born = Ticks(fields.nth(17)?.parse().ok()?);
    Some(Entry { pid, parent, state, name: before.split_once('(')?.1.to_owned(), born })
}

/// Every process id in `/proc`.
pub fn pids() -> Vec<i32> {
    let Ok(listing) = fs::read_dir("/proc") else { return Vec::new() };
    listing.flatten().filter_map(|item| item.file_name().to_str()?.parse().ok()).collect()
}

/// Every process below this one, parents before children.
pub fn descendants() -> Vec<Entry> {
    let mut children: HashMap<i32, Vec<Entry>> = HashMap::new();
    for found in pids().into_iter().filter_map(entry) {
        children.entry(found.parent).or_default().push(found);
    }
    let mut below = children.remove(&own_pid()).unwrap_or_default();
    let mut next = 0;
    while next < below.len() {
        let grandchildren = children.remove(&below[next].pid).unwrap_or_default();
        below.extend(grandchildren);
        next += 1;
    }
    below
}

/// Whether the process is below this one.
pub fn is_descendant(pid: i32) -> bool {
    let mut current = pid;
    while let Some(found) = entry(current) {
        if found.parent == own_pid() {
            return true;
        }
        if found.parent <= 1 {
            return false;
        }
        current = found.parent;
    }
    false
}

/// The tree below this process as text, for the report of a failure.
pub fn drawing() -> String {
    let mut text = String::new();
    for found in descendants() {
        let read = |file: &str| fs::read(format!("/proc/{}/{file}", found.pid)).unwrap_or_default();
        let command = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
        let sleeps_in = String::from_utf8_lossy(&read("wchan")).into_owned();
        let _ = writeln!(
            text,
            "    {:>7} child of {:>7} {} {:<16} in {sleeps_in}: {command}",
            found.pid, found.parent, found.state, found.name
        );
    }
    text
}

/// How the process knows itself, in its own namespace.
pub fn inner_pid(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let known_as = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    known_as.split_whitespace().last()?.parse().ok()
}

/// What the process would do with the signal now; `None` when it is gone.
pub fn disposition(pid: i32, signal: i32) -> Option<Disposition> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let has = |name: &str| {
        let mask = field(name).and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or(0);
        mask & (1 << (signal - 1)) != 0
    };
    let is_init = field("NSpid:").is_some_and(|ids| {
        let ids: Vec<&str> = ids.split_ascii_whitespace().collect();
        ids.len() > 1 && ids.last() == Some(&"1")
    });
    Some(if has("SigIgn:") {
        Disposition::Deaf
    } else if has("SigCgt:") || has("SigBlk:") {
        Disposition::Handled
    } else if is_init {
        Disposition::Deaf
    } else {
        Disposition::Default
    })
}

/// Every process that carries the mark of a run, and that run.
pub fn marks() -> Vec<(i32, String)> {
    let mark_of = |pid: i32| {
        let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let mut variables = environ.split(|byte| *byte == 0);
        let run = variables.find_map(|variable| variable.strip_prefix(b"SIDEWINDER_RUN="))?;
        Some((pid, String::from_utf8_lossy(run).into_owned()))
    };
    pids().into_iter().filter_map(mark_of).collect()
}

/// Processes inside the PID namespace with this inode that started no later than the moment.
///
/// The kernel gives the number of a dead namespace to a new one. Nothing can be
/// born into a namespace whose init is dead, so what is younger is a stranger.
pub fn inside_namespace(inode: u64, moment: Ticks) -> Vec<i32> {
    let name = format!("pid:[{inode}]");
    let inside = |pid: &i32| {
        let link = fs::read_link(format!("/proc/{pid}/ns/pid"));
        link.is_ok_and(|link| link.as_os_str() == name.as_str())
            && entry(*pid).is_some_and(|entry| entry.born <= moment)
    };
    pids().into_iter().filter(inside).collect()
}

/// Now, in the clock of process starts.
pub fn now() -> Ticks {
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = uptime.split_ascii_whitespace().next().unwrap_or_default();
    // "123.45": the kernel counts process starts in hundredths of a second for everybody.
    Ticks(seconds.replace('.', "").parse().unwrap_or(u64::MAX))
}

/// How many file descriptors this process has open.
pub fn own_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").map(Iterator::count).unwrap_or_default()
}

/// Lines of the mount table that name a file system the keeper may mount.
pub fn mounts() -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let kept = |line: &&str| [" - proc ", " - cgroup2 ", " - tmpfs "].iter().any(|kind| line.contains(kind));
    table.lines().filter(kept).map(str::to_owned).collect()
}

/// This process.
pub fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_pid()
}

/// The most memory that a process has had at a time, in bytes.
pub fn peak_resident(pid: u32) -> Option<usize> {
    status_bytes(pid, "VmHWM:")
}

/// The memory that a process has and that is of no file, in bytes.
pub fn anonymous(pid: u32) -> Option<usize> {
    status_bytes(pid, "RssAnon:")
}

fn status_bytes(pid: u32, name: &str) -> Option<usize> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_ascii_whitespace().next()?.parse::<usize>().ok()? * 1024)
}
