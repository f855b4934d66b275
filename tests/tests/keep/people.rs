//! Who is stopped instead of killed, and who runs as whom.

use super::{WAYS, assert_clean, keep, run};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use sidewinder_tests::arena::Arena;
use sidewinder_tests::procfs;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::process::Stdio;

fn open(pid: i64) -> OwnedFd {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    pidfd_open(pid, PidfdFlags::empty()).unwrap()
}

/// Starts a long command, stops its keeper, strikes the owner, and waits until the command's output is closed.
fn with_a_stopped_keeper(way: &[&str], strike: Signal) {
    let arena = Arena::prepare("stopped").unwrap();
    let report = arena.file("report");
    let option = report.display().to_string();
    let options = [way, &["--grace", "0s", "--report", &option]].concat();
    let mut owner = keep(&arena, &options, "echo; sleep 1000").stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(owner.stdout.take().unwrap());
    output.read_line(&mut String::new()).unwrap();
    let line = loop {
        // The report may come a moment after the command's first line.
        if let Some(line) = fs::read_to_string(&report).unwrap_or_default().lines().next() {
            break line.to_owned();
        }
    };
    let started: serde_json::Value = serde_json::from_str(&line).unwrap();
    let keeper = started["keeper"].as_i64().unwrap();
    pidfd_send_signal(open(keeper), Signal::STOP).unwrap();
    while procfs::entry(i32::try_from(keeper).unwrap()).unwrap().state != 'T' {
        std::thread::yield_now();
    }
    pidfd_send_signal(open(i64::from(owner.id())), strike).unwrap();
    // The kernel closes the pipe with the last process that holds it.
    output.read_to_end(&mut Vec::new()).unwrap();
    owner.wait().unwrap();
}

#[test]
fn a_stopped_keeper_wakes_for_the_end() {
    for way in WAYS {
        with_a_stopped_keeper(way, Signal::KILL);
        with_a_stopped_keeper(way, Signal::TERM);
    }
}

#[test]
fn a_user_is_become_with_its_group_and_no_other() {
    let arena = Arena::prepare("user").unwrap();
    let alone = run(arena.sidewinder("keep").args(["--uid", "1000", "--", "true"]));
    assert_eq!(alone.0, 2, "a user without its group keeps the caller's: {}", alone.2);
    let options = ["--cgroup", "off", "--uid", "12345", "--gid", "54321"];
    let (status, stdout, stderr) = run(&mut keep(&arena, &options, "id -u; id -G"));
    if rustix::process::geteuid().is_root() {
        assert_eq!((status, stdout.as_str()), (0, "12345\n54321\n"), "{stderr}");
    } else {
        assert_eq!(status, 125);
        assert!(stderr.contains("need privilege"), "{stderr}");
    }
    assert_clean(&arena);
}
