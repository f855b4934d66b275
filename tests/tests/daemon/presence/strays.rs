//! What an earlier run left behind is found at the start of its own daemon, and of no other.

use crate::managed::handed::{Manager, call};
use crate::orders::until;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use sidewinder_tests::arena::Arena;
use sidewinder_tests::daemon::Daemon;
use sidewinder_tests::procfs;
use std::path::Path;

const ARGUMENTS: [&str; 8] = ["--tools", "orders", "--workers", "1", "--namespace", "off", "--cgroup", "off"];

/// Kills a daemon, its keeper and its wardens at once, so that what its worker has started is left: one process that goes
/// when it is asked to, and one that does not.
fn leave_strays(daemon: Daemon<'_>) -> [i32; 2] {
    let strays: [i32; 2] = serde_json::from_str(&crate::answer(&daemon, "leave_behind", "{}")).unwrap();
    let status = daemon.status().unwrap();
    let run_of =
        |pid: i32| procfs::marks().into_iter().find(|(marked, _)| *marked == pid).map(|(_, run)| run);
    let worker = i32::try_from(status["workers"][0]["pid"].as_u64().unwrap()).unwrap();
    let run = run_of(worker).expect("a worker carries the mark of its run");
    let daemon_pid = i32::try_from(daemon.pid()).unwrap();
    let mut guardians: Vec<i32> = procfs::pids().into_iter().filter(|pid| guards(*pid, &run)).collect();
    assert!(guardians.len() >= 2, "a keeper and a warden: {guardians:?}");
    guardians.sort_unstable();
    let handles: Vec<_> = [daemon_pid].iter().chain(&guardians).map(|pid| handle(*pid)).collect();
    // Stopped from above, so that nobody wakes another, and killed from below, so that nobody outlives its parent.
    handles.iter().for_each(|handle| pidfd_send_signal(handle, Signal::STOP).unwrap());
    handles.iter().rev().for_each(|handle| pidfd_send_signal(handle, Signal::KILL).unwrap());
    drop(daemon.end());
    strays
}

fn handle(pid: i32) -> std::os::fd::OwnedFd {
    pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap()
}

/// Keepers and wardens name the record of their run.
fn guards(pid: i32, run: &str) -> bool {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&words).into_owned();
    text.contains("keeper") && text.contains(&format!("/{run}"))
}

fn lives(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}/cmdline")).exists()
        && std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|words| !words.is_empty())
}

#[test]
fn strays_are_ended_by_the_next_run_of_their_own_daemon_and_by_no_other() {
    let arena = Arena::prepare("strays").unwrap();
    let strays = leave_strays(Daemon::start(&arena, &ARGUMENTS).unwrap());
    assert!(strays.into_iter().all(lives), "nobody is left who could have ended it");
    // Another instance of the same user, with the same records: it is none of its business.
    let elsewhere = arena.file("other.sock");
    let socket = ["--socket", elsewhere.to_str().unwrap()];
    let mut other = Daemon::start(&arena, &[&ARGUMENTS[..], &socket].concat()).unwrap();
    other.log_until("takes calls").unwrap();
    assert!(strays.into_iter().all(lives), "they are of another daemon");

    let mut again = Daemon::start(&arena, &ARGUMENTS).unwrap();
    let line = again.log_until("an earlier run of this daemon").unwrap();
    assert!(
        line.contains("nobody is left who could end it: 2 processes were ended, 1 of them by force"),
        "{line}"
    );
    until("they are gone", || !strays.into_iter().any(lives));
    other.send(Signal::TERM).unwrap();
    let (status, rest) = other.end().unwrap();
    assert!(status.success() && !rest.contains("an earlier run of this daemon"), "{rest}");
}

/// A daemon that was started while the one before it is still there, both with sockets of a service manager.
#[test]
fn an_earlier_run_that_lives_is_left_to_its_owner_and_that_is_told() {
    let arena = Arena::prepare("earlier-lives").unwrap();
    let begin = |name: &str| {
        let socket = arena.file(name);
        let mut manager = Manager::open(&arena, &[&format!("grpc=unix:{}", socket.display())], false);
        manager.start();
        (manager, socket)
    };
    let serves = |socket: &Path| call(&arena, socket).output().unwrap();
    let (mut first, earlier) = begin("earlier.sock");
    first.log_until("listens on");
    assert!(serves(&earlier).status.success());
    let (mut second, later) = begin("later.sock");
    let log = second.log_until("an earlier run of this daemon");
    let told = "its owner or its keeper is there: left to them";
    assert!(log.lines().last().is_some_and(|line| line.contains(told)), "{log}");
    for socket in [earlier, later] {
        let said = serves(&socket);
        assert!(said.status.success(), "{}: {said:?}", socket.display());
    }
}
