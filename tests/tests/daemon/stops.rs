//! The ends of a daemon: asked for, sudden, and of its keeper.

use super::orders::{keeper_of, until};
use super::{answer, plain};
use rustix::process::Signal;
use rustix::process::pidfd_send_signal;
use sidewinder_tests::arena::Arena;
use sidewinder_tests::daemon::{Daemon, hostile};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn worker_of(daemon: &Daemon<'_>) -> u64 {
    daemon.status().unwrap()["workers"][0]["pid"].as_u64().unwrap()
}

fn is_gone_soon(pid: u64) {
    let patience = Instant::now() + Duration::from_secs(5);
    while std::fs::exists(format!("/proc/{pid}/environ")).unwrap() {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if state.contains(") Z ") || state.is_empty() {
            return;
        }
        assert!(Instant::now() < patience, "process {pid} outlived its daemon");
        std::thread::yield_now();
    }
}

#[test]
fn an_idle_daemon_stops_at_once_and_leaves_nothing() {
    let arena = Arena::prepare("idle").unwrap();
    let daemon = plain(&arena);
    answer(&daemon, "who", "{}");
    let asked = Instant::now();
    daemon.send(Signal::TERM).unwrap();
    let (status, log) = daemon.end().unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    println!("stopped after {:?}", asked.elapsed());
    assert_eq!(arena.records(), Vec::<String>::new());
    assert!(!arena.runtime().join("sidewinder.sock").exists());
}

#[test]
fn a_stop_lets_a_call_end_and_a_second_one_does_not() {
    for (second, status) in [(false, 0), (true, 1)] {
        let arena = Arena::prepare("busy").unwrap();
        let mut daemon = plain(&arena);
        answer(&daemon, "who", "{}");
        let seconds = if second { 1000.0 } else { 0.5 };
        let arguments = format!(r#"{{"seconds": {seconds}}}"#);
        let call =
            daemon.verb("call", &["sleep", &arguments]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        while daemon.status().unwrap()["pools"][0]["running"] != 1 {
            std::thread::yield_now();
        }
        daemon.send(Signal::TERM).unwrap();
        daemon.log_until("stopping").unwrap();
        if second {
            daemon.send(Signal::TERM).unwrap();
        }
        let said = call.unwrap().wait_with_output().unwrap();
        assert_eq!(said.status.code(), Some(status), "{said:?}");
        assert_eq!(daemon.end().unwrap().0.code(), Some(0));
    }
}

#[test]
fn a_killed_daemon_leaves_nobody_behind() {
    for namespace in ["auto", "off"] {
        let arena = Arena::prepare("sudden").unwrap();
        let arguments = ["--tools", "plain", "--workers", "2", "--namespace", namespace];
        let daemon = Daemon::start(&arena, &arguments).unwrap();
        answer(&daemon, "who", "{}");
        let pid = worker_of(&daemon);
        daemon.send(Signal::KILL).unwrap();
        daemon.end().unwrap();
        is_gone_soon(pid);
        // The next daemon takes the place over: the stale socket is no obstacle.
        let next = plain(&arena);
        assert_eq!(answer(&next, "add", r#"{"a": 1}"#), "3");
    }
}

#[test]
fn two_daemons_do_not_share_a_socket() {
    let arena = Arena::prepare("two").unwrap();
    let daemon = plain(&arena);
    let second = Daemon::start(&arena, &["--tools", "plain"]).map(drop);
    assert!(second.is_err(), "a second daemon took the socket");
    assert_eq!(answer(&daemon, "add", r#"{"a": 1}"#), "3");
}

#[test]
fn nobody_answers_where_no_daemon_is() {
    let arena = Arena::prepare("nobody").unwrap();
    let output = arena.sidewinder("status").output().unwrap();
    assert_eq!(output.status.code(), Some(124));
    assert!(String::from_utf8_lossy(&output.stderr).contains("sidewinder run --tools"));
}

/// Its teardown takes a minute; the grace for that is as long, and nobody wants to wait for it.
#[test]
fn a_second_signal_ends_a_stop_that_waits_for_a_worker() {
    let arena = Arena::prepare("patience").unwrap();
    let config = arena.file("sidewinder.toml");
    let place = sidewinder_tests::daemon::tools();
    let text = format!(
        "[pools.default]\ntools = [\"lingering\"]\ndirectory = \"{}\"\nworkers = 1\ngrace.stop = \"5m\"\n",
        place.display()
    );
    std::fs::write(&config, text).unwrap();
    let config = config.display().to_string();
    let mut daemon = Daemon::start(&arena, &["--config", &config, "--drain-timeout", "5m"]).unwrap();
    answer(&daemon, "nothing", "{}");
    daemon.send(Signal::TERM).unwrap();
    daemon.log_until("tearing down").unwrap();
    daemon.send(Signal::TERM).unwrap();
    let asked = Instant::now();
    let (status, log) = daemon.end().unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    println!("stopped {:?} after the second signal", asked.elapsed());
}

/// It has not said hello yet, so it cannot be told to leave in words, and both graces are long.
#[test]
fn a_worker_that_never_says_hello_does_not_hold_up_a_stop() {
    let arena = Arena::prepare("mute").unwrap();
    let config = arena.file("sidewinder.toml");
    let python = hostile(&arena, "silent").unwrap();
    let text = format!(
        "[pools.default]\ntools = [\"plain\"]\npython = \"{}\"\nworkers = 2\ngrace.stop = \"5m\"\n",
        python.display()
    );
    std::fs::write(&config, text).unwrap();
    let config = config.display().to_string();
    let daemon = Daemon::start(&arena, &["--config", &config, "--drain-timeout", "5m"]).unwrap();
    daemon.send(Signal::TERM).unwrap();
    let asked = Instant::now();
    let (status, log) = daemon.end().unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}: {log}", asked.elapsed());
    assert_eq!(arena.records(), Vec::<String>::new());
}

fn ends_soon(arena: &Arena, daemon: Daemon<'_>) {
    let asked = Instant::now();
    let (status, log) = daemon.end().unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}: {log}", asked.elapsed());
    assert_eq!(arena.records(), Vec::<String>::new(), "{log}");
}

/// Its workers have left, and it hears of nothing but the end of its lifeline: that wakes nobody who is stopped.
#[test]
fn a_keeper_that_is_stopped_does_not_hold_up_a_stop() {
    let arena = Arena::prepare("stopped-keeper").unwrap();
    let daemon = plain(&arena);
    answer(&daemon, "who", "{}");
    let keeper = keeper_of(worker_of(&daemon));
    daemon.ask("drain", &["default", "--within", "0s"]).unwrap();
    until("it is drained", || daemon.status().unwrap()["pools"][0]["phase"] == "DRAINED");
    pidfd_send_signal(&keeper, Signal::STOP).unwrap();
    daemon.send(Signal::TERM).unwrap();
    ends_soon(&arena, daemon);
}

/// Somebody stops it again whenever it is woken, and it is killed in the end.
#[test]
fn a_keeper_that_is_stopped_for_ever_does_not_hold_up_a_stop_for_ever() {
    let arena = Arena::prepare("hounded-keeper").unwrap();
    let daemon = plain(&arena);
    answer(&daemon, "who", "{}");
    let keeper = keeper_of(worker_of(&daemon));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) && pidfd_send_signal(&keeper, Signal::STOP).is_ok() {
                std::thread::yield_now();
            }
        });
        daemon.send(Signal::TERM).unwrap();
        let (status, log) = daemon.end().unwrap();
        over.store(true, Ordering::Relaxed);
        assert_eq!(status.code(), Some(0), "{log}");
    });
}

/// Half of that grace is the time to SIGINT; nobody needs it any more.
#[test]
fn a_long_grace_of_a_call_that_is_over_does_not_hold_up_a_stop() {
    let arena = Arena::prepare("long-grace").unwrap();
    let config = arena.file("sidewinder.toml");
    let place = sidewinder_tests::daemon::tools();
    let text = format!(
        "[pools.default]\ntools = [\"orders\"]\ndirectory = \"{}\"\nworkers = 1\ngrace.interrupt = \"10m\"\n",
        place.display()
    );
    std::fs::write(&config, text).unwrap();
    let daemon = Daemon::start(&arena, &["--config", &config.display().to_string()]).unwrap();
    let gate = format!(r#"{{"gate": "{}"}}"#, arena.file("gate").display());
    let mut call = daemon.verb("call", &["hold", &gate]);
    let mut call = call.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("it runs", || daemon.status().unwrap()["pools"][0]["running"] == 1);
    call.kill().unwrap();
    call.wait().unwrap();
    until("it has given up", || daemon.status().unwrap()["pools"][0]["running"] == 0);
    daemon.send(Signal::TERM).unwrap();
    ends_soon(&arena, daemon);
}
