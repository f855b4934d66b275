//! The worker's runtime on disk, where Python imports it from and keeps its bytecode.
//!
//! It is a directory whose name is its content, so it is written once: beside its place, and moved there when it is
//! whole. What is found there is believed only after every file of it was compared, because whoever wrote it may have
//! been interrupted, and a module that stands there too many would come before everybody else's. What belongs to somebody
//! else is not touched and not used. Bytecode cannot be compared; it is as good as the user to whom it belongs.
//!
//! Whoever uses one, a daemon or a worker, holds a shared lock on the directory itself, which the kernel lets go with the
//! process. Those of other versions that nobody holds are removed by the next start. It locks such a directory alone before
//! it moves it away, and whoever has just locked one looks whether that is still the one at its place.

use crate::handover::Digest;
use crate::own::record;
use rustix::fs::{FlockOperation, flock};
use std::collections::BTreeSet;
use std::fs;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

/// Files by their names.
type Files = &'static [(&'static str, &'static [u8])];

/// The worker's runtime, made by the build.
const RUNTIME: Files = include!(concat!(env!("OUT_DIR"), "/runtime.rs"));
/// Where Python keeps bytecode.
const BYTECODE: &str = "__pycache__";
/// Others may be at the same work, and are through with it within moments.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(10);
/// What is spoilt and used all the same is moved away after so many.
const USED_TRIES: u32 = 50;
const PLACED: &str = "runtime-";
/// What is written beside its place is moved there within milliseconds.
const DRAFT_AGE: Duration = Duration::from_mins(1);
const DRAFT: &str = ".runtime-";

/// The runtime at its place. It stays there for as long as this is held.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) path: PathBuf,
    _lock: Arc<File>,
}

/// Writes the runtime, if it is not there, and says where it is. Those that nobody uses any more are removed.
pub(crate) fn place() -> io::Result<Placed> {
    let runs = record::directory()?;
    let base = runs.parent().unwrap_or(&runs);
    remove_old_drafts(base);
    let placed = place_in(base, RUNTIME).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("cannot place the worker's runtime in {}: {error}", base.display()),
        )
    })?;
    remove_unused(base, &placed.path);
    Ok(placed)
}

fn place_in(base: &Path, files: Files) -> io::Result<Placed> {
    let path = base.join(format!("{PLACED}{:016x}", digest(files)));
    for attempt in 0..TRIES {
        match standing(&path, files)? {
            Standing::Whole(lock) => return Ok(Placed { path, _lock: Arc::new(lock) }),
            Standing::Spoilt(None) if attempt < USED_TRIES => sleep(PAUSE),
            Standing::Changing => sleep(PAUSE),
            // A lock of ours lasts until the end of this.
            Standing::Wrong | Standing::Spoilt(_) => {
                let aside = draft(base)?;
                // Somebody else may have moved it in the meantime.
                let _ = fs::rename(&path, &aside);
                remove(&aside);
            }
            Standing::Absent => bring(base, &path, files)?,
        }
    }
    Err(io::Error::other(format!("somebody else keeps changing {}", path.display())))
}

/// The same for every build that carries these files: workers that one has started are kept by the next.
fn digest(files: Files) -> u64 {
    let one =
        |digest: Digest, (name, content): &(&str, &[u8])| digest.of_sized(name.as_bytes()).of_sized(content);
    files.iter().fold(Digest::new(), one).number()
}

/// What there is at the place of a runtime.
enum Standing {
    Absent,
    /// Not a directory that is closed to others: no lock makes it good.
    Wrong,
    /// As it should be. The lock is held in common.
    Whole(File),
    /// Not as it should be, with the lock of whoever has it alone; none, when somebody else has one.
    Spoilt(Option<File>),
    /// Somebody is moving it.
    Changing,
}

fn standing(path: &Path, files: Files) -> io::Result<Standing> {
    let absent = |error: io::Error, instead| {
        if error.kind() == io::ErrorKind::NotFound { Ok(instead) } else { Err(error) }
    };
    match is_private(path) {
        Ok(true) => {}
        Ok(false) => return Ok(Standing::Wrong),
        Err(error) => return absent(error, Standing::Absent),
    }
    let directory = match File::open(path) {
        Ok(directory) => directory,
        Err(error) => return absent(error, Standing::Changing),
    };
    let whole = match is_whole(path, files) {
        Ok(whole) => whole,
        Err(error) => return absent(error, Standing::Changing),
    };
    let wish =
        if whole { FlockOperation::NonBlockingLockShared } else { FlockOperation::NonBlockingLockExclusive };
    let locked = flock(&directory, wish).is_ok();
    Ok(match (whole, locked) {
        // What was read was not what is locked.
        _ if !is_at(&directory, path) => Standing::Changing,
        (true, true) => Standing::Whole(directory),
        // Somebody is about to move it.
        (true, false) => Standing::Changing,
        (false, true) => Standing::Spoilt(Some(directory)),
        (false, false) => Standing::Spoilt(None),
    })
}

/// Writes it beside its place, and moves it there. Somebody else may have been faster.
fn bring(base: &Path, path: &Path, files: Files) -> io::Result<()> {
    let draft = draft(base)?;
    let Err(error) = write(&draft, files).and_then(|()| fs::rename(&draft, path)) else { return Ok(()) };
    remove(&draft);
    let sooner =
        [io::ErrorKind::DirectoryNotEmpty, io::ErrorKind::AlreadyExists, io::ErrorKind::NotADirectory];
    if sooner.contains(&error.kind()) { Ok(()) } else { Err(error) }
}

/// Whether what is at this path is what was opened.
fn is_at(directory: &File, path: &Path) -> bool {
    let (Ok(opened), Ok(there)) = (directory.metadata(), fs::symlink_metadata(path)) else { return false };
    (opened.dev(), opened.ino()) == (there.dev(), there.ino())
}

/// Removes runtimes of other versions that nobody uses. What cannot be removed is tried again by the next start.
fn remove_unused(base: &Path, own: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_other = entry.file_name().to_string_lossy().starts_with(PLACED) && path != own;
        if !is_other || !matches!(is_private(&path), Ok(true)) {
            continue;
        }
        let Ok(directory) = File::open(&path) else { continue };
        let is_unused = flock(&directory, FlockOperation::NonBlockingLockExclusive).is_ok();
        if let (true, true, Ok(aside)) = (is_unused, is_at(&directory, &path), draft(base))
            && fs::rename(&path, &aside).is_ok()
        {
            drop(directory);
            remove(&aside);
        }
    }
}

/// Whether it is what it should be, and nothing else. An error if it is not there, or not ours to say.
fn is_whole(path: &Path, files: Files) -> io::Result<bool> {
    if !is_private(path)? {
        return Ok(false);
    }
    let mut wanted: BTreeSet<PathBuf> = files.iter().map(|(name, _)| path.join(name)).collect();
    let folders: BTreeSet<PathBuf> =
        wanted.iter().flat_map(|file| file.ancestors().skip(1).map(Path::to_owned)).collect();
    let mut left = vec![path.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?.path();
            if folders.contains(&entry) && is_private(&entry)? {
                left.push(entry);
            } else if !entry.ends_with(BYTECODE) && !wanted.remove(&entry) {
                return Ok(false);
            }
        }
    }
    let same = |(name, content): &(&str, &[u8])| {
        let file = path.join(name);
        let plain = fs::symlink_metadata(&file).is_ok_and(|there| {
            there.is_file() && u64::try_from(content.len()).is_ok_and(|length| length == there.len())
        });
        plain && fs::read(&file).is_ok_and(|there| there == *content)
    };
    Ok(wanted.is_empty() && files.iter().all(same))
}

/// Whether it is a directory that is closed to others.
fn is_private(path: &Path) -> io::Result<bool> {
    let there = fs::symlink_metadata(path)?;
    if there.uid() != rustix::process::geteuid().as_raw() {
        let why = format!("{} belongs to user {}: remove it", path.display(), there.uid());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    Ok(there.is_dir() && there.mode() & 0o777 == 0o700)
}

fn write(root: &Path, files: Files) -> io::Result<()> {
    let folder = |path: &Path| fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    for (name, content) in files {
        let path = root.join(name);
        folder(path.parent().unwrap_or(root))?;
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(content)?;
    }
    Ok(())
}

fn draft(base: &Path) -> io::Result<PathBuf> {
    Ok(base.join(format!("{DRAFT}{}", record::new_run()?)))
}

fn remove(path: &Path) {
    // A link is not followed, and what is left is tried again by the next start.
    let _ = fs::remove_dir_all(path).or_else(|_| fs::remove_file(path));
}

fn remove_old_drafts(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|there| there.modified()).map(|then| then.elapsed());
        let is_draft = entry.file_name().to_string_lossy().starts_with(DRAFT);
        if is_draft && matches!(age, Ok(Ok(age)) if age > DRAFT_AGE) {
            remove(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests;
