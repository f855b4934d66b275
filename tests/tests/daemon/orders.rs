//! What operators order, and what comes of it.

use super::{answer, config, plain, refusal};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use sidewinder_proto::v1::WatchRequest;
use sidewinder_proto::v1::pools_client::PoolsClient;
use sidewinder_proto::v1::{Event, Happening};
use sidewinder_tests::arena::Arena;
use sidewinder_tests::client::wire;
use sidewinder_tests::daemon::Daemon;
use sidewinder_tests::procfs;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A verb that must succeed; returns what it said.
pub(super) fn order(daemon: &Daemon<'_>, verb: &str, arguments: &[&str]) -> String {
    let said = daemon.ask(verb, arguments).expect("asked");
    assert_eq!(said.status, 0, "{verb} {arguments:?}: {said:?}");
    said.stdout
}

/// Looks again and again until something holds.
pub(super) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < patience, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(super) fn are_ready(daemon: &Daemon<'_>, workers: u64) {
    until("all are ready", || daemon.status().unwrap()["pools"][0]["ready"] == workers);
}

fn are_replaced(daemon: &Daemon<'_>, before: &[u64]) {
    until("all are replaced", || pids(daemon).iter().all(|pid| !before.contains(pid)));
}

fn pids(daemon: &Daemon<'_>) -> Vec<u64> {
    let status = daemon.status().expect("a status");
    let workers = status["workers"].as_array().expect("workers").clone();
    workers.iter().filter_map(|worker| worker["pid"].as_u64()).filter(|pid| *pid > 0).collect()
}

#[test]
fn a_wait_ends_at_once_for_a_pool_that_has_given_up() {
    let arena = Arena::prepare("hopeless").unwrap();
    let daemon = Daemon::start(&arena, &["--tools", "broken", "--workers", "1"]).unwrap();
    let said = daemon.ask("wait", &["--ready"]).unwrap();
    assert!(said.status == 125 && said.stderr.contains("no_such_module_anywhere"), "{said:?}");
}

#[test]
fn a_drained_pool_has_nobody_and_comes_back() {
    let arena = Arena::prepare("drained").unwrap();
    let daemon = plain(&arena);
    order(&daemon, "wait", &["--ready"]);
    order(&daemon, "drain", &["default", "--within", "5s"]);
    assert_eq!(daemon.status().unwrap()["pools"][0]["phase"], "DRAINED");
    assert_eq!(pids(&daemon), Vec::<u64>::new());
    assert!(refusal(&daemon, &["add", r#"{"a": 1}"#]).contains("DRAINING"));
    order(&daemon, "resume", &["default"]);
    assert_eq!(answer(&daemon, "add", r#"{"a": 1}"#), "3");
}

#[test]
fn an_order_without_a_pool_is_for_the_only_one() {
    let arena = Arena::prepare("only").unwrap();
    let pool = |name| format!("[pools.{name}]\ntools = [\"plain\"]\nworkers = 1\n");
    let daemon = config::start(&arena, &pool("a"));
    order(&daemon, "wait", &["--ready"]);
    let before = pids(&daemon);
    order(&daemon, "restart", &[]);
    are_replaced(&daemon, &before);
    are_ready(&daemon, 1);
    assert!(order(&daemon, "dump", &[]).starts_with("== a/"));
    order(&daemon, "drain", &[]);
    order(&daemon, "resume", &[]);
    config::write(&arena, &[pool("a"), pool("b")].concat());
    order(&daemon, "reload", &[]);
    for verb in ["restart", "dump", "drain", "resume"] {
        let said = daemon.ask(verb, &[]).unwrap();
        assert!(said.status == 1 && said.stderr.contains("several pools are there (a, b)"), "{said:?}");
    }
}

#[test]
fn a_restart_replaces_workers_and_drops_no_call() {
    let arena = Arena::prepare("restarted").unwrap();
    let daemon = Daemon::start(&arena, &["--tools", "plain", "--workers", "2"]).unwrap();
    are_ready(&daemon, 2);
    let before = pids(&daemon);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let calls = scope.spawn(|| {
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(answer(&daemon, "add", r#"{"a": 1}"#), "3");
                count += 1;
            }
            count
        });
        order(&daemon, "restart", &["default"]);
        are_replaced(&daemon, &before);
        stop.store(true, Ordering::Relaxed);
        assert!(calls.join().unwrap() > 0);
    });
    let why = daemon.ask("restart", &["default", "--slot", "77"]).unwrap();
    assert!(why.status == 1 && why.stderr.contains("UNKNOWN_WORKER"), "{why:?}");
}

#[test]
fn a_pool_grows_and_shrinks() {
    let arena = Arena::prepare("resized").unwrap();
    let daemon = plain(&arena);
    assert_eq!(order(&daemon, "resize", &["default", "3"]), "from 1..1 to 3..3 workers\n");
    are_ready(&daemon, 3);
    order(&daemon, "resize", &["default", "1..2"]);
    until("one has left", || pids(&daemon).len() == 2);
    let why = daemon.ask("resize", &["default", "9..3"]).unwrap();
    assert!(why.status == 1 && why.stderr.contains("min <= max"), "{why:?}");
}

#[test]
fn a_dump_shows_where_a_tool_is() {
    let arena = Arena::prepare("dumped").unwrap();
    let daemon = plain(&arena);
    let mut slow = daemon.verb("call", &["sleep", r#"{"seconds": 60}"#]);
    let mut slow = slow.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut stacks = String::new();
    until("the tool is seen", || {
        stacks = order(&daemon, "dump", &["default"]);
        stacks.contains("in sleep")
    });
    assert!(stacks.starts_with("== default/0.1\n") && stacks.contains("thread MainThread:"), "{stacks}");
    slow.kill().unwrap();
    slow.wait().unwrap();
}

#[test]
fn a_reload_without_a_change_changes_nothing_and_a_renewal_is_asked_for_by_name() {
    let arena = Arena::prepare("renewed").unwrap();
    let daemon = plain(&arena);
    order(&daemon, "wait", &["--ready"]);
    let before = pids(&daemon);
    assert!(order(&daemon, "reload", &[]).starts_with("nothing has changed;"));
    assert_eq!(pids(&daemon), before);
    assert_eq!(order(&daemon, "reload", &["--renew", "default"]), "renewed: default\n");
    are_replaced(&daemon, &before);
    let why = daemon.ask("reload", &["--renew", "other"]).unwrap();
    assert!(why.status == 1 && why.stderr.contains("BAD_SETTINGS"), "{why:?}");
}

#[test]
fn who_quits_returns_when_nobody_is_left() {
    let arena = Arena::prepare("quits").unwrap();
    let daemon = plain(&arena);
    order(&daemon, "wait", &["--ready"]);
    let workers: Vec<_> = pids(&daemon)
        .into_iter()
        .map(|pid| Pid::from_raw(i32::try_from(pid).unwrap()).unwrap())
        .map(|pid| pidfd_open(pid, PidfdFlags::empty()).unwrap())
        .collect();
    assert_eq!(workers.len(), 1);
    order(&daemon, "quit", &[]);
    for worker in workers {
        assert!(pidfd_send_signal(&worker, Signal::KILL).is_err(), "a worker is left");
    }
    assert!(daemon.end().unwrap().0.success());
}

/// The keeper of this worker.
pub(super) fn keeper_of(worker: u64) -> OwnedFd {
    let warden = procfs::entry(i32::try_from(worker).unwrap()).unwrap().parent;
    let keeper = Pid::from_raw(procfs::entry(warden).unwrap().parent).unwrap();
    pidfd_open(keeper, PidfdFlags::empty()).unwrap()
}

#[test]
fn a_pool_whose_keeper_is_killed_comes_back() {
    let arena = Arena::prepare("keeperless").unwrap();
    let pool = |name: &str| format!("[pools.{name}]\nexpose = [\"math:hypot\"]\nworkers = 1\n");
    let mut daemon = config::start(&arena, &(pool("struck") + &pool("other")));
    let before = config::pids(&daemon, "struck");
    let other = config::pids(&daemon, "other");
    pidfd_send_signal(keeper_of(before[0]), Signal::KILL).unwrap();
    daemon.log_until("a new keeper stands").unwrap();
    assert_ne!(config::pids(&daemon, "struck"), before);
    for pool in ["struck", "other"] {
        assert_eq!(config::answer(&daemon, pool, "hypot", "[3, 4]"), "5.0");
    }
    // The same worker as ever: its pool has not noticed.
    assert_eq!(config::pids(&daemon, "other"), other);
}

/// A keeper that was told to end takes no further worker, and stays for as long as its owner does.
#[test]
fn a_keeper_that_a_stranger_tells_to_end_is_replaced() {
    let arena = Arena::prepare("dismissed").unwrap();
    let mut daemon = config::start(&arena, "[pools.only]\nexpose = [\"math:hypot\"]\nworkers = 2\n");
    let before = config::pids(&daemon, "only");
    let keeper = keeper_of(before[0]);
    pidfd_send_signal(&keeper, Signal::TERM).unwrap();
    daemon.log_until("a new keeper stands").unwrap();
    order(&daemon, "wait", &["--ready"]);
    assert!(config::pids(&daemon, "only").iter().all(|pid| !before.contains(pid)));
    assert_eq!(config::answer(&daemon, "only", "hypot", "[3, 4]"), "5.0");
    until("the old keeper is gone", || pidfd_send_signal(&keeper, Signal::CONT).is_err());
}

#[test]
fn nobody_is_given_up_while_a_keeper_that_was_told_to_end_waits_for_its_last_call() {
    let arena = Arena::prepare("lingers").unwrap();
    let mut daemon = Daemon::start(&arena, &["--tools", "endings", "--workers", "3"]).unwrap();
    are_ready(&daemon, 3);
    let seen = |state: &str| {
        let status = daemon.status().unwrap();
        status["workers"].as_array().unwrap().iter().filter(|worker| worker["state"] == state).count()
    };
    let first = daemon.status().unwrap()["workers"][0]["pid"].as_u64().unwrap();
    // Longer than it takes to give a slot up.
    let mut call =
        daemon.verb("call", &["rests", r#"{"seconds": 4}"#]).stdout(Stdio::piped()).spawn().unwrap();
    until("it runs", || daemon.status().unwrap()["pools"][0]["running"] == 1);
    pidfd_send_signal(keeper_of(first), Signal::TERM).unwrap();
    assert!(call.wait().unwrap().success(), "the last call has its time");
    until("everybody is back", || seen("RUNNING") == 3);
    assert_eq!(seen("FATAL"), 0);
    daemon.log_until("a new keeper stands").unwrap();
}

#[tokio::test]
async fn who_watches_is_told_what_happens() {
    let arena = Arena::prepare("watched").unwrap();
    let daemon = plain(&arena);
    order(&daemon, "wait", &["--ready"]);
    let (channel, origin) = wire(&daemon).await.unwrap();
    let mut pools = PoolsClient::with_origin(channel, origin);
    let request = WatchRequest { pools: vec!["default".to_owned()] };
    let mut events = pools.watch(request).await.unwrap().into_inner();
    refusal(&daemon, &["crash"]);
    let mut told: Vec<Event> = Vec::new();
    while told.last().is_none_or(|event| event.what() != Happening::WorkerReady) {
        told.push(events.message().await.unwrap().unwrap());
    }
    let gone = told.iter().find(|event| event.what() == Happening::WorkerGone).unwrap();
    assert_eq!((gone.pool.as_str(), gone.worker.as_str()), ("default", "0.1"));
    assert_eq!(gone.facts["signal"], "11", "{gone:?}");
    assert_eq!(told.last().unwrap().worker, "0.2");
    assert!(told.windows(2).all(|pair| pair[0].sequence + 1 == pair[1].sequence), "{told:?}");
}
