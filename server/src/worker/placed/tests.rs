//! The runtime at its place, spoilt and used in every way.

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

/// By the name a daemon of another build finds what its predecessor's workers were started with.
#[test]
fn the_name_is_the_same_for_every_build() {
    assert_eq!(format!("{:016x}", digest(FILES)), "504fdd1655cfca75");
    assert_ne!(digest(FILES), digest(&[("room/__init__.py", b"1"), ("room/inner/two.py", b"23")]));
}

#[test]
fn what_is_whole_stays_with_its_bytecode() {
    let place = Place::new();
    let Placed { path, .. } = place_in(&place.0, FILES).expect("placed");
    is_good(&place, &path);
    let cache = path.join("room").join(BYTECODE);
    fs::create_dir(&cache).expect("a folder");
    let inode = fs::metadata(&path).expect("there").ino();
    assert_eq!(place_in(&place.0, FILES).expect("placed").path, path);
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
        let Placed { path, .. } = place_in(&place.0, FILES).expect("placed");
        spoil(&path);
        assert_eq!(place_in(&place.0, FILES).expect("placed").path, path);
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
    let Placed { path, .. } = place_in(&place.0, FILES).expect("placed");
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
        all.into_iter().map(|one| one.join().expect("no panic").expect("placed").path).collect()
    });
    assert!(paths.iter().all(|path| *path == paths[0]));
    is_good(&place, &paths[0]);
}

#[test]
fn another_version_is_removed_when_nobody_uses_it_any_more() {
    let place = Place::new();
    let old = place_in(&place.0, &[("room/__init__.py", b"old")]).expect("placed");
    let new = place_in(&place.0, FILES).expect("placed");
    remove_unused(&place.0, &new.path);
    assert!(old.path.exists(), "it is used");
    let (path, keeps) = (old.path.clone(), old.clone());
    drop(old);
    remove_unused(&place.0, &new.path);
    assert!(path.exists(), "it is still used");
    drop(keeps);
    remove_unused(&place.0, &new.path);
    assert!(!path.exists(), "nobody uses it");
    is_good(&place, &new.path);
}

#[test]
fn what_is_no_runtime_of_ours_is_left_alone() {
    let place = Place::new();
    let new = place_in(&place.0, FILES).expect("placed");
    let elsewhere = Place::new();
    fs::write(elsewhere.0.join("precious"), "").expect("written");
    symlink(&elsewhere.0, place.0.join("runtime-link")).expect("a link");
    for name in ["run", "runtime-open"] {
        fs::DirBuilder::new().mode(0o755).create(place.0.join(name)).expect("a folder");
    }
    fs::write(place.0.join("runtime-file"), "").expect("written");
    remove_unused(&place.0, &new.path);
    for name in ["run", "runtime-open", "runtime-file", "runtime-link"] {
        assert!(place.0.join(name).symlink_metadata().is_ok(), "{name}");
    }
    assert!(elsewhere.0.join("precious").exists());
}

/// Versions come and go at the same time. Whoever has one finds it there for as long as it is held.
#[test]
fn many_versions_at_once_keep_what_they_use() {
    const OTHER: Files = &[("room/__init__.py", b"other")];
    let place = Place::new();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let place = &place;
            scope.spawn(move || {
                for _ in 0..50 {
                    let files = if number % 2 == 0 { FILES } else { OTHER };
                    let placed = place_in(&place.0, files).expect("placed");
                    remove_unused(&place.0, &placed.path);
                    assert!(is_whole(&placed.path, files).expect("there"));
                }
            });
        }
    });
}
