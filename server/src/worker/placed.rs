//! The worker's runtime on disk, where Python imports it from and keeps its bytecode.
//!
//! It is a directory whose name is its content, so it is written once: beside its place, and moved there when it is
//! whole. What is found there is believed only after every file of it was compared, because whoever wrote it may have
//! been interrupted, and a module that stands there too many would come before everybody else's. What belongs to somebody
//! else is not touched and not used. Bytecode cannot be compared; it is as good as the user to whom it belongs.

use crate::own::record;
use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Files by their names.
type Files = &'static [(&'static str, &'static [u8])];

/// The worker's runtime, made by the build.
const RUNTIME: Files = include!(concat!(env!("OUT_DIR"), "/runtime.rs"));
/// Where Python keeps bytecode.
const BYTECODE: &str = "__pycache__";
/// Others may be at the same work.
const TRIES: u32 = 8;
/// What is written beside its place is moved there within milliseconds.
const DRAFT_AGE: Duration = Duration::from_mins(1);
const DRAFT: &str = ".runtime-";

/// Writes the runtime, if it is not there, and says where it is.
pub(crate) fn place() -> io::Result<PathBuf> {
    let runs = record::directory()?;
    let base = runs.parent().unwrap_or(&runs);
    remove_old_drafts(base);
    place_in(base, RUNTIME).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("cannot place the worker's runtime in {}: {error}", base.display()),
        )
    })
}

fn place_in(base: &Path, files: Files) -> io::Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    files.hash(&mut hasher);
    let path = base.join(format!("runtime-{:016x}", hasher.finish()));
    for _ in 0..TRIES {
        match is_whole(&path, files) {
            Ok(true) => return Ok(path),
            Ok(false) => {
                let aside = draft(base)?;
                // Somebody else may have moved it in the meantime.
                let _ = fs::rename(&path, &aside);
                remove(&aside);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let draft = draft(base)?;
        match write(&draft, files).and_then(|()| fs::rename(&draft, &path)) {
            Ok(()) => return Ok(path),
            Err(error) => {
                remove(&draft);
                let sooner = [
                    io::ErrorKind::DirectoryNotEmpty,
                    io::ErrorKind::AlreadyExists,
                    io::ErrorKind::NotADirectory,
                ];
                if !sooner.contains(&error.kind()) {
                    return Err(error);
                }
            }
        }
    }
    Err(io::Error::other(format!("somebody else keeps changing {}", path.display())))
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
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    const FILES: Files = &[("room/__init__.py", b"1"), ("room/inner/two.py", b"22")];

    /// A folder that is removed with the test.
    struct Place(PathBuf);

    impl Place {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("placed-{}", record::new_run().expect("random")));
            fs::DirBuilder::new().mode(0o700).create(&path).expect("a folder");
            Self(path)
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            remove(&self.0);
        }
    }

    fn is_good(place: &Place, path: &Path) {
        assert_eq!(fs::read(path.join("room/inner/two.py")).expect("a file"), b"22");
        assert_eq!(fs::symlink_metadata(path).expect("there").mode() & 0o777, 0o700);
        let names = fs::read_dir(&place.0).expect("a folder").count();
        assert_eq!(names, 1, "drafts are left");
    }

    #[test]
    fn what_is_whole_stays_with_its_bytecode() {
        let place = Place::new();
        let path = place_in(&place.0, FILES).expect("placed");
        is_good(&place, &path);
        let cache = path.join("room").join(BYTECODE);
        fs::create_dir(&cache).expect("a folder");
        let inode = fs::metadata(&path).expect("there").ino();
        assert_eq!(place_in(&place.0, FILES).expect("placed"), path);
        assert_eq!(fs::metadata(&path).expect("there").ino(), inode);
        assert!(cache.exists());
    }

    #[test]
    fn what_is_not_as_it_should_be_is_made_anew() {
        let spoil: [fn(&Path); 7] = [
            |path| fs::write(path.join("room/__init__.py"), "").expect("written"),
            |path| fs::remove_file(path.join("room/inner/two.py")).expect("removed"),
            |path| fs::write(path.join("json.py"), "planted").expect("written"),
            |path| fs::set_permissions(path, fs::Permissions::from_mode(0o770)).expect("opened"),
            |path| {
                let file = path.join("room/__init__.py");
                fs::rename(&file, path.join("../elsewhere")).expect("moved");
                symlink("../../elsewhere", file).expect("a link");
            },
            |path| {
                fs::rename(path, path.with_extension("moved")).expect("moved");
                symlink(path.with_extension("moved"), path).expect("a link");
            },
            |path| {
                fs::remove_dir_all(path).expect("removed");
                fs::write(path, "a file").expect("written");
            },
        ];
        for spoil in spoil {
            let place = Place::new();
            let path = place_in(&place.0, FILES).expect("placed");
            spoil(&path);
            assert_eq!(place_in(&place.0, FILES).expect("placed"), path);
            for left in ["elsewhere", "runtime.moved"] {
                remove(&place.0.join(left));
            }
            remove(&path.with_extension("moved"));
            is_good(&place, &path);
        }
    }

    /// Only root can make something somebody else's.
    #[test]
    fn what_belongs_to_somebody_else_is_neither_used_nor_touched() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let place = Place::new();
        let path = place_in(&place.0, FILES).expect("placed");
        std::os::unix::fs::chown(&path, Some(1), None).expect("given away");
        let error = place_in(&place.0, FILES).expect_err("it is not ours").to_string();
        assert!(error.contains("belongs to user 1: remove it"), "{error}");
        assert!(path.exists());
    }

    #[test]
    fn many_at_once_agree() {
        let place = Place::new();
        let paths: Vec<PathBuf> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| place_in(&place.0, FILES))).collect();
            all.into_iter().map(|one| one.join().expect("no panic").expect("placed")).collect()
        });
        assert!(paths.iter().all(|path| *path == paths[0]));
        is_good(&place, &paths[0]);
    }
}
