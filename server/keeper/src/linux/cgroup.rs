//! One cgroup (v2): a directory whose files are the kernel's knobs.

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags};
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A cgroup that this process may use.
#[derive(Debug)]
pub struct Cgroup {
    directory: OwnedFd,
    path: PathBuf,
}

impl Cgroup {
    /// Makes a new cgroup.
    pub fn create(path: PathBuf) -> io::Result<Self> {
        fs::create_dir(&path)?;
        Self::open(path)
    }

    /// Opens one that exists.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(&path, flags, Mode::empty())?;
        Ok(Self { directory, path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a knob.
    pub fn write(&self, knob: &str, value: &str) -> io::Result<()> {
        fs::File::from(self.knob(knob, OFlags::WRONLY)?).write_all(value.as_bytes())
    }

    /// Reads a knob.
    pub fn read(&self, knob: &str) -> io::Result<String> {
        let mut text = String::new();
        fs::File::from(self.knob(knob, OFlags::RDONLY)?).read_to_string(&mut text)?;
        Ok(text)
    }

    /// The number beside a key in a knob of many lines, such as `memory.events`.
    pub fn count(&self, knob: &str, key: &str) -> Option<u64> {
        let text = self.read(knob).ok()?;
        let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?;
        value.trim().parse().ok()
    }

    /// A knob that is one number.
    pub fn number(&self, knob: &str) -> Option<u64> {
        self.read(knob).ok()?.trim().parse().ok()
    }

    /// Kills everybody in it, forks in flight included.
    pub fn kill(&self) -> io::Result<()> {
        self.write("cgroup.kill", "1")
    }

    /// Whether anybody lives in it or below it.
    pub fn populated(&self) -> bool {
        self.count("cgroup.events", "populated") != Some(0)
    }

    /// Waits until nobody lives in it, or this many milliseconds.
    pub fn wait_until_empty(&self, milliseconds: i64) -> bool {
        let Ok(events) = self.knob("cgroup.events", OFlags::RDONLY) else { return !self.populated() };
        if !self.populated() {
            return true;
        }
        let timeout = rustix::fs::Timespec { tv_sec: 0, tv_nsec: milliseconds.min(999) * 1_000_000 };
        let _ = rustix::event::poll(&mut [PollFd::new(&events, PollFlags::PRI)], Some(&timeout));
        !self.populated()
    }

    fn knob(&self, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
        Ok(rustix::fs::openat(&self.directory, name, flags | OFlags::CLOEXEC, Mode::empty())?)
    }
}

impl AsFd for Cgroup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// Removes a cgroup and those below it. Fails while somebody lives there.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(path)
}
