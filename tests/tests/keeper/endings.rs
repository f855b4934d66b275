//! How workers end, alone and together, and what is said about it.

use super::{K, TEST_FACTOR, Tree, each_way, nasty, start_nasty};
use rustix::process::{Signal, pidfd_send_signal};
use sidewinder_keeper_wire::{Ending, Report, Request, SpawnRequest};
use sidewinder_tests::owner::{Owner, at_once, command};
use sidewinder_tests::procfs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

#[test]
fn a_killed_worker_takes_its_descendants_and_no_sibling() {
    each_way(|arena, namespace| {
        let owner = Owner::start(arena, namespace).unwrap();
        owner.hello(at_once(Duration::ZERO)).unwrap();
        let mut trees: Vec<_> = (1..=3).map(|worker| start_nasty(&owner, worker)).collect();
        let (mut struck, pidfd) = trees.remove(1);
        pidfd_send_signal(&pidfd, Signal::KILL).unwrap();
        struck.is_gone_within(K);
        assert_eq!(owner.gone(2).unwrap().ending, Some(Ending::Signal(libc::SIGKILL)));
        assert!(trees.iter().all(|(tree, _)| tree.is_there()), "a sibling died with it");
        drop(owner);
        trees.iter_mut().for_each(|(tree, _)| tree.is_gone_within(K));
    });
}

#[test]
fn a_worker_that_returns_takes_its_descendants_too() {
    each_way(|arena, namespace| {
        let owner = Owner::start(arena, namespace).unwrap();
        owner.hello(at_once(Duration::ZERO)).unwrap();
        let (mut tree, write) = Tree::new();
        let script = "(setsid sleep 1000 &); head -c 20000000 /dev/zero | tail -c 1 >/dev/null; exit 7";
        let request = SpawnRequest { fds: vec![3], ..command(&["sh", "-c", script]) };
        owner.spawn(1, request, &[write.as_fd()]).unwrap();
        drop(write);
        tree.is_gone_within(K);
        let gone = owner.gone(1).unwrap();
        assert_eq!(gone.ending, Some(Ending::Code(7)));
        assert!(gone.peak_rss > 500_000, "no evidence of memory: {gone:?}");
        assert!(gone.user + gone.system > Duration::ZERO, "no evidence of work: {gone:?}");
    });
}

#[test]
fn one_tree_is_killed_on_request() {
    each_way(|arena, namespace| {
        let owner = Owner::start(arena, namespace).unwrap();
        owner.hello(at_once(Duration::ZERO)).unwrap();
        let (mut tree, _) = start_nasty(&owner, 1);
        let (other, _) = start_nasty(&owner, 2);
        owner.say(&Request::Kill(1), &[]).unwrap();
        tree.is_gone_within(K);
        owner.gone(1).unwrap();
        assert!(other.is_there());
    });
}

#[test]
fn a_drain_asks_first_and_kills_after_the_grace() {
    each_way(|arena, namespace| {
        let owner = Owner::start(arena, namespace).unwrap();
        let (_, keeper) = owner.hello(at_once(Duration::ZERO)).unwrap();
        let (mut deaf, _) = start_nasty(&owner, 1);
        let (mut polite, write) = Tree::new();
        let script = "trap 'exit 3' TERM; echo >&3; while :; do sleep 0.01; done";
        let request = SpawnRequest { fds: vec![3], ..command(&["sh", "-c", script]) };
        owner.spawn(2, request, &[write.as_fd()]).unwrap();
        drop(write);
        polite.stands(1);
        let grace = Duration::from_millis(300);
        let asked = Instant::now();
        owner.say(&Request::Drain(grace), &[]).unwrap();
        polite.is_gone_within(K);
        assert_eq!(owner.gone(2).unwrap().ending, Some(Ending::Code(3)), "it was not asked first");
        deaf.is_gone_within(grace + K);
        assert!(asked.elapsed() >= grace, "killed before its grace was over");
        assert_eq!(owner.gone(1).unwrap().ending, Some(Ending::Signal(libc::SIGKILL)));
        assert_eq!(owner.hear().unwrap().0, Report::Drained);
        owner.say(&Request::Spawn(3, Box::new(nasty())), &[]).unwrap();
        assert!(matches!(owner.hear().unwrap(), (Report::Refused(..), _)), "a drained pool took a worker");
        drop(owner);
        assert_ends(&keeper);
    });
}

#[test]
fn a_killed_warden_is_replaced_by_the_keeper() {
    each_way(|arena, namespace| {
        let owner = Owner::start(arena, namespace).unwrap();
        owner.hello(at_once(Duration::ZERO)).unwrap();
        let (mut tree, pidfd) = start_nasty(&owner, 1);
        let (other, _) = start_nasty(&owner, 2);
        pidfd_send_signal(warden_of(&pidfd), Signal::KILL).unwrap();
        tree.is_gone_within(K);
        let gone = owner.gone(1).unwrap();
        assert!(gone.warden_lost, "{gone:?}");
        assert!(other.is_there());
    });
}

#[test]
fn a_warden_that_is_stopped_again_and_again_is_replaced() {
    each_way(|arena, namespace| {
        let owner = Owner::start(arena, namespace).unwrap();
        owner.hello(at_once(Duration::ZERO)).unwrap();
        let (mut tree, pidfd) = start_nasty(&owner, 1);
        let warden = warden_of(&pidfd);
        while tree.is_there() && pidfd_send_signal(&warden, Signal::STOP).is_ok() {
            std::thread::yield_now();
        }
        tree.is_gone_within(K);
        assert!(owner.gone(1).unwrap().warden_lost);
    });
}

#[test]
fn a_keeper_asked_to_stop_ends_its_pool_and_says_so() {
    each_way(|arena, namespace| {
        for (signal, grace) in [(Signal::TERM, 200), (Signal::ABORT, 0), (Signal::SEGV, 0)] {
            let owner = Owner::start(arena, namespace).unwrap();
            let grace = Duration::from_millis(grace);
            let graces = sidewinder_keeper_wire::Graces { stop: grace, ..at_once(Duration::ZERO) };
            let (_, keeper) = owner.hello(graces).unwrap();
            let (mut tree, _) = start_nasty(&owner, 1);
            pidfd_send_signal(&keeper, signal).unwrap();
            tree.is_gone_within(grace + K);
            owner.gone(1).unwrap();
            assert_eq!(owner.hear().unwrap().0, Report::Drained);
        }
    });
}

#[test]
fn a_thousand_lives_leave_no_descriptor_and_no_child() {
    each_way(|arena, namespace| {
        let owner = Owner::start(arena, namespace).unwrap();
        let (_, keeper) = owner.hello(at_once(Duration::ZERO)).unwrap();
        let pid = pid_of(&keeper);
        let mut before = None;
        for worker in 1..=1_000 {
            owner.spawn(worker, command(&["true"]), &[]).unwrap();
            owner.gone(worker).unwrap();
            if worker == 10 {
                before = Some(resources(pid));
            }
        }
        owner.say(&Request::List, &[]).unwrap();
        assert_eq!(owner.hear().unwrap().0, Report::Listed(0));
        // The last warden says that its tree is gone before it leaves itself.
        let patience = Instant::now() + K * TEST_FACTOR;
        while resources(pid).2 > 0 && Instant::now() < patience {
            std::thread::yield_now();
        }
        let (fds, rss, children) = resources(pid);
        let (fds_before, rss_before, _) = before.unwrap();
        assert_eq!((fds, children), (fds_before, 0));
        assert!(rss <= rss_before + 256, "the keeper grew from {rss_before} to {rss} KiB");
        println!("namespace {namespace}: {fds} descriptors, {rss} KiB resident after 1,000 lives");
    });
}

/// Descriptors, resident KiB and children of a process. An unprivileged test may not see the first.
fn resources(pid: i32) -> (usize, u64, usize) {
    let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let rss = rss.trim().trim_end_matches(" kB").parse().unwrap();
    let is_child =
        |other: &i32| procfs::entry(*other).is_some_and(|entry| entry.parent == pid && entry.state != 'Z');
    (fds, rss, procfs::pids().iter().filter(|other| is_child(other)).count())
}

fn warden_of(worker: &OwnedFd) -> OwnedFd {
    let warden = procfs::entry(pid_of(worker)).unwrap().parent;
    assert_eq!(procfs::entry(warden).unwrap().name, "sw-warden");
    let warden = rustix::process::Pid::from_raw(warden).unwrap();
    rustix::process::pidfd_open(warden, rustix::process::PidfdFlags::empty()).unwrap()
}

fn pid_of(pidfd: &OwnedFd) -> i32 {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).unwrap();
    info.lines().find_map(|line| line.strip_prefix("Pid:")).unwrap().trim().parse().unwrap()
}

pub(super) fn assert_ends(process: &OwnedFd) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let limit = Timespec { tv_sec: i64::from(TEST_FACTOR), tv_nsec: 0 };
    let ended = poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&limit)).unwrap();
    assert_eq!(ended, 1, "a process that should have ended is there after {TEST_FACTOR} s");
}
