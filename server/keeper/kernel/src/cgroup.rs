//! One cgroup (v2): a directory whose files are the kernel's knobs.

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

    /// Opens one that may not exist yet.
    pub fn open_or_create(path: PathBuf) -> io::Result<Self> {
        match Self::open(path.clone()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(path),
            opened => opened,
        }
    }

    /// One that somebody else has opened. It has no path here.
    pub fn at(directory: OwnedFd) -> Self {
        Self { directory, path: PathBuf::new() }
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

    /// Whether anybody lives in it or below it. One that somebody has removed was empty.
    pub fn populated(&self) -> bool {
        match self.read("cgroup.events") {
            Ok(events) => !events.lines().any(|line| line == "populated 0"),
            Err(error) => !matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)),
        }
    }

    /// Removes it and those below it. Fails while somebody lives there.
    pub fn remove(&self) -> io::Result<()> {
        remove_tree(&self.path)
    }

    /// The same, where nobody hears of a failure but the log. One that is gone already is as good.
    pub fn discard(&self) {
        if let Err(error) = self.remove()
            && error.kind() != io::ErrorKind::NotFound
        {
            crate::complain!("cannot remove {}: {error}", self.path.display());
        }
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
