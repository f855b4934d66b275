//! Bad places: a directory of somebody else, a full one, other namespaces, records that are not what they say.

use super::{WAYS, assert_clean, keep, run};
use sidewinder_tests::arena::Arena;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Stdio;

#[test]
fn nested_runs_never_end_each_other() {
    let arena = Arena::prepare("nested").unwrap();
    for outer in WAYS {
        for inner in WAYS {
            let reap = "\"$SW\" reap; \"$SW\" reap --json";
            let within = format!("\"$SW\" keep {} -- sh -c '{reap}; echo I live'", inner.join(" "));
            let mut command = keep(&arena, outer, &within);
            let (status, stdout, stderr) = run(command.env("SW", arena.binary()));
            assert_eq!(status, 0, "{outer:?} {inner:?}: {stdout}{stderr}");
            assert!(stdout.contains("left alone") && stdout.ends_with("I live\n"), "{stdout}");
        }
    }
    assert_clean(&arena);
}

#[test]
fn a_run_is_not_reaped_from_a_namespace_inside() {
    let arena = Arena::prepare("inside").unwrap();
    let mut living = keep(&arena, WAYS[1], "echo; sleep 1000").stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = [0];
    std::io::Read::read_exact(living.stdout.as_mut().unwrap(), &mut ready).unwrap();
    let before = arena.records();
    let (status, stdout, _) = run(keep(&arena, WAYS[0], "\"$SW\" reap").env("SW", arena.binary()));
    assert_eq!(status, 0);
    assert!(!stdout.contains("killed"), "{stdout}");
    assert_eq!(arena.records(), before, "the record of a living run was removed");
    living.kill().unwrap();
    living.wait().unwrap();
}

#[test]
fn a_runtime_directory_of_somebody_else_is_refused() {
    let arena = Arena::prepare("foreign").unwrap();
    let open = arena.file("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
    let link = arena.file("link");
    symlink("/tmp", &link).unwrap();
    for place in [open, link] {
        let (status, _, stderr) = run(keep(&arena, &[], "true").env("SIDEWINDER_RUNTIME_DIR", &place));
        assert_eq!(status, 125);
        assert!(
            stderr.contains("nobody else can write to") && stderr.contains("SIDEWINDER_RUNTIME_DIR"),
            "{stderr}"
        );
    }
}

#[test]
fn a_planted_record_is_not_acted_upon() {
    let arena = Arena::prepare("planted").unwrap();
    run(&mut arena.sidewinder("reap"));
    let runs = arena.runtime().join("runs");
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let name = "0123456789abcdef0123456789abcdef";
    let keeper = format!("{} 0 1", std::process::id());
    let record =
        format!("run={name}\nboot={boot}namespace=1\nowner=1 2 3\nkeeper={keeper}\ncgroup=/sys/fs/cgroup\n");
    fs::write(runs.join(name), &record).unwrap();
    fs::write(runs.join("not-a-record"), &record).unwrap();
    fs::write(runs.join("fedcba9876543210fedcba9876543210"), record).unwrap();
    let (status, stdout, _) = run(&mut arena.sidewinder("reap"));
    assert_eq!(status, 0);
    assert!(!stdout.contains("removed") && !stdout.contains(" 1 processes"), "{stdout}");
}

#[test]
fn a_record_of_an_earlier_boot_is_forgotten_and_nobody_signalled() {
    let arena = Arena::prepare("earlier").unwrap();
    run(&mut arena.sidewinder("reap"));
    let name = "00000000000000000000000000000001";
    let own = std::process::id();
    let record = format!("run={name}\nboot=another\nnamespace=1\nowner={own} 0 1\nkeeper={own} 0 1\n");
    fs::write(arena.runtime().join("runs").join(name), record).unwrap();
    let (status, stdout, _) = run(&mut arena.sidewinder("reap"));
    assert_eq!(status, 0);
    assert!(stdout.contains("earlier boot"), "{stdout}");
    assert_clean(&arena);
}

#[test]
fn a_full_disk_is_said_before_anything_starts() {
    let arena = Arena::prepare("disk").unwrap();
    let script = "mount -t tmpfs -o size=4k,mode=700 none \"$1\" && head -c 4096 /dev/zero >\"$1/full\" \\
        && exec \"$0\" keep -- true";
    let mut command = std::process::Command::new("unshare");
    // Only root can mount a disk to fill; in a user namespace of its own, anybody is root.
    let own: &[&str] =
        if rustix::process::geteuid().is_root() { &[] } else { &["--user", "--map-root-user"] };
    command.args(own).args(["--mount", "sh", "-c", script]).arg(arena.binary()).arg(arena.runtime());
    arena.place(&mut command);
    let (status, _, stderr) = run(&mut command);
    assert_eq!(status, 125, "{stderr}");
    assert!(stderr.contains("cannot record the run"), "{stderr}");
}

#[test]
fn a_directory_that_cannot_be_entered_again_is_named() {
    let arena = Arena::prepare("unsearchable").unwrap();
    let (outer, inner) = (arena.file("outer"), arena.file("outer").join("inner"));
    fs::create_dir_all(&inner).unwrap();
    let script = "cd \"$1\" && chmod 000 .. && \"$0\" keep --namespace off --cgroup off -- true; status=$?; chmod 700 \"$2\"; exit $status";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", script]).args([arena.binary(), &inner, &outer]);
    arena.place(&mut command);
    let (status, _, stderr) = run(&mut command);
    // Root searches every directory.
    if rustix::process::geteuid().is_root() {
        assert_eq!(status, 0, "{stderr}");
    } else {
        assert_eq!(status, 125, "{stderr}");
        assert!(stderr.contains("outer/inner: Permission denied"), "{stderr}");
    }
    assert_clean(&arena);
}
