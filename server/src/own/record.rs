//! What a run leaves on disk while it lives: enough to find what is left of it when everybody is dead.
//!
//! The record's file is locked by the owner, and the lock is shared with the keeper and the wardens. A free lock
//! therefore means that nobody is left who could clean up, and that the next one may.

use super::identity::Identity;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A draft gets its name within milliseconds.
const DRAFT_AGE: Duration = Duration::from_mins(1);

/// What is known of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) run: String,
    pub(crate) boot: String,
    /// The PID namespace in which the process ids below mean something.
    pub(crate) namespace: u64,
    pub(crate) owner: Option<Identity>,
    pub(crate) keeper: Option<Identity>,
    pub(crate) cgroup: Option<String>,
    /// Which daemon it belongs to, by where that listens. Empty: to none.
    pub(crate) instance: String,
}

/// The record of a run of ours.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) path: PathBuf,
    pub(crate) facts: Facts,
    file: fs::File,
}

impl Record {
    /// Begins a run: a new identity, a locked record.
    pub(crate) fn begin(boot: String, owner: Option<Identity>, instance: &str) -> io::Result<Self> {
        let runs = directory()?;
        let run = new_run()?;
        let namespace = sidewinder_keeper_kernel::facts::pid_namespace()?;
        let instance = instance.to_owned();
        let facts = Facts { run, boot, namespace, owner, keeper: None, cgroup: None, instance };
        // Under its name only once it is locked: a sweep must not take it for one that nobody holds.
        let (path, draft) = (runs.join(&facts.run), runs.join(format!(".{}", facts.run)));
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = fs::File::from(rustix::fs::open(&draft, flags, Mode::RUSR | Mode::WUSR)?);
        let mut record = Self { path: path.clone(), facts, file };
        let locked = flock(&record.file, FlockOperation::NonBlockingLockExclusive).map_err(io::Error::from);
        let written = locked.and_then(|()| record.write()).and_then(|()| fs::rename(&draft, &path));
        written.inspect_err(|_| {
            let _ = fs::remove_file(&draft);
        })?;
        Ok(record)
    }

    /// Takes over the record of a run that goes on, with its lock. Its file has to be there still.
    pub(crate) fn adopt(path: PathBuf, run: &str, lock: OwnedFd) -> io::Result<Self> {
        let mut file = fs::File::from(lock);
        let there = fs::symlink_metadata(&path)?;
        file.rewind()?;
        let mut text = String::new();
        Read::by_ref(&mut file).take(64 * 1024).read_to_string(&mut text)?;
        let facts = Facts::from_text(&text);
        if facts.run != run || there.ino() != file.metadata()?.ino() {
            return Err(io::Error::other(format!("{} is the record of another run", path.display())));
        }
        Ok(Self { path, facts, file })
    }

    /// Adds what was learnt since.
    pub(crate) fn note(&mut self, learn: impl FnOnce(&mut Facts)) -> io::Result<()> {
        learn(&mut self.facts);
        self.write()
    }

    /// The lock, for the keeper to share.
    pub(crate) fn lock(&self) -> io::Result<OwnedFd> {
        Ok(self.file.try_clone()?.into())
    }

    /// The run is over and nothing is left of it.
    pub(crate) fn end(self) {
        let _ = fs::remove_file(&self.path);
    }

    fn write(&mut self) -> io::Result<()> {
        let text = self.facts.to_text();
        self.file.rewind()?;
        self.file.write_all(text.as_bytes())?;
        self.file.set_len(text.len() as u64)
    }
}

impl Facts {
    fn to_text(&self) -> String {
        let mut text = format!("run={}\nboot={}\nnamespace={}\n", self.run, self.boot, self.namespace);
        let fields = [
            ("owner", self.owner.map(|owner| owner.to_string())),
            ("keeper", self.keeper.map(|keeper| keeper.to_string())),
            ("cgroup", self.cgroup.clone()),
            ("instance", Some(self.instance.clone()).filter(|name| !name.is_empty())),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                let _ = writeln!(text, "{name}={value}");
            }
        }
        text
    }

    fn from_text(text: &str) -> Self {
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.map(str::to_owned)
        };
        Self {
            run: value("run").unwrap_or_default(),
            boot: value("boot").unwrap_or_default(),
            namespace: value("namespace").and_then(|inode| inode.parse().ok()).unwrap_or(0),
            owner: value("owner").and_then(|owner| owner.parse().ok()),
            keeper: value("keeper").and_then(|keeper| keeper.parse().ok()),
            cgroup: value("cgroup"),
            instance: value("instance").unwrap_or_default(),
        }
    }
}

/// Blocks until nobody holds a record any more: its keeper and wardens are gone.
pub(crate) fn wait_until_free(path: &Path) {
    if let Ok(file) = fs::File::open(path) {
        let _ = flock(&file, FlockOperation::LockExclusive);
    }
}

/// A record that was found.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nobody holds it; as long as this lives, we do.
    Abandoned(Facts, fs::File),
    /// Somebody holds it.
    Held(Facts),
}

/// Every record of this user, in the order of their names.
pub(crate) fn find_all() -> io::Result<Vec<(PathBuf, Found)>> {
    let runs = directory()?;
    let mut paths: Vec<PathBuf> =
        fs::read_dir(&runs)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.sort();
    paths.iter().for_each(|path| remove_old_draft(path));
    paths.retain(|path| is_run(name_of(path)));
    Ok(paths.into_iter().filter_map(|path| Some((path.clone(), find(&path).ok()??))).collect())
}

/// An owner that died before its record had a name has started nothing.
fn remove_old_draft(path: &Path) {
    let is_draft = name_of(path).strip_prefix('.').is_some_and(is_run);
    let age = fs::symlink_metadata(path).and_then(|there| there.modified()).map(|then| then.elapsed());
    if is_draft && matches!(age, Ok(Ok(age)) if age > DRAFT_AGE) {
        let _ = fs::remove_file(path);
    }
}

fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// Looks at one record. A file that is no record is none of ours.
pub(crate) fn find(path: &Path) -> io::Result<Option<Found>> {
    let name = name_of(path);
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let mut file = fs::File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let free = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
    let mut text = String::new();
    Read::by_ref(&mut file).take(64 * 1024).read_to_string(&mut text)?;
    let facts = Facts::from_text(&text);
    // The run may have ended, and its record gone, between the look and the lock.
    let still_there = fs::symlink_metadata(path)
        .is_ok_and(|there| Some(there.ino()) == file.metadata().ok().map(|m| m.ino()));
    if !is_run(name) || facts.run != name || !still_there {
        return Ok(None);
    }
    Ok(Some(if free { Found::Abandoned(facts, file) } else { Found::Held(facts) }))
}

/// Whether a text has the shape of a run's identity.
pub(crate) fn is_run(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase())
}

/// The directory of the records, made private when it is made.
pub(crate) fn directory() -> io::Result<PathBuf> {
    let base = std::path::absolute(base_directory())?;
    let runs = base.join("runs");
    for path in [&base, &runs] {
        // Each is looked at before anything is made below it: it may be a link that somebody else has placed.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let there = fs::symlink_metadata(path)?;
        let ours = there.uid() == rustix::process::geteuid().as_raw() && there.is_dir();
        if !ours || there.mode() & 0o022 != 0 {
            let why = format!(
                "{} must be a directory of this user that nobody else can write to: remove it, or name another with \
                 SIDEWINDER_RUNTIME_DIR",
                path.display()
            );
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
    }
    Ok(runs)
}

fn base_directory() -> PathBuf {
    let named = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user = rustix::process::geteuid();
    named("SIDEWINDER_RUNTIME_DIR")
        .or_else(|| Some(named("XDG_RUNTIME_DIR")?.join("sidewinder")))
        .unwrap_or_else(|| {
            if user.is_root() {
                PathBuf::from("/run/sidewinder")
            } else {
                PathBuf::from(format!("/tmp/sidewinder-{}", user.as_raw()))
            }
        })
}

pub(crate) fn new_run() -> io::Result<String> {
    let mut bytes = [0u8; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_survive_being_written() {
        let owner = "12 34 56".parse().ok();
        let cgroup = Some("/sys/fs/cgroup/a b=c".to_owned());
        let facts = Facts {
            run: new_run().expect("random"),
            boot: "b".into(),
            namespace: 7,
            owner,
            keeper: None,
            cgroup,
            instance: "/run/a b.sock".to_owned(),
        };
        assert_eq!(Facts::from_text(&facts.to_text()), facts);
        assert!(is_run(&facts.run));
        assert!(
            !is_run("../../../../../../../../../etc/pw") && !is_run("") && !is_run("A".repeat(32).as_str())
        );
    }
}
