//! Workers that die, and what their callers and the others learn of it.

use super::orders::{order, until};
use super::{answer, config, plain, refusal};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use sidewinder_tests::arena::Arena;
use sidewinder_tests::daemon::Daemon;
use std::process::Stdio;

#[test]
fn each_death_is_told_truthfully_and_the_next_call_is_served() {
    let arena = Arena::prepare("deaths").unwrap();
    let daemon = plain(&arena);
    let cases: [(&[&str], &str); 2] =
        [(&["leave", r#"{"status": 7}"#], "exited with status 7"), (&["crash"], "ended by signal 11")];
    for (arguments, evidence) in cases {
        let why = refusal(&daemon, arguments);
        assert!(why.contains("WORKER_DIED") && why.contains(evidence), "{why}");
        assert_eq!(answer(&daemon, "add", r#"{"a": 1}"#), "3");
    }
    assert_eq!(daemon.status().unwrap()["workers"][0]["life"], "0.3");
}

#[test]
fn a_killed_worker_costs_only_its_own_call() {
    let arena = Arena::prepare("killed").unwrap();
    let daemon = Daemon::start(&arena, &["--tools", "plain", "--workers", "2"]).unwrap();
    answer(&daemon, "who", "{}");
    let slow =
        daemon.verb("call", &["sleep", r#"{"seconds": 1000}"#]).stderr(Stdio::piped()).spawn().unwrap();
    let busy = loop {
        let status = daemon.status().unwrap();
        let workers = status["workers"].as_array().unwrap();
        if let Some(worker) = workers.iter().find(|worker| worker["busy"] == 1) {
            break i32::try_from(worker["pid"].as_i64().unwrap()).unwrap();
        }
    };
    let pidfd = pidfd_open(Pid::from_raw(busy).unwrap(), PidfdFlags::empty()).unwrap();
    pidfd_send_signal(&pidfd, Signal::KILL).unwrap();
    let said = slow.wait_with_output().unwrap();
    let why = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(why.contains("ended by signal 9"), "{why}");
    assert_eq!(answer(&daemon, "add", r#"{"a": 1}"#), "3");
}

#[test]
fn a_tool_that_holds_the_interpreter_is_killed_after_its_grace_with_its_traceback() {
    let arena = Arena::prepare("held").unwrap();
    let mut daemon = plain(&arena);
    answer(&daemon, "who", "{}");
    refusal(&daemon, &["hold", "--timeout", "100ms"]);
    daemon.log_until("in hold").expect("the traceback names the tool");
    assert_eq!(answer(&daemon, "add", r#"{"a": 1}"#), "3");
}

#[test]
fn a_client_that_hangs_up_frees_its_worker() {
    let arena = Arena::prepare("hangup").unwrap();
    let daemon = plain(&arena);
    let pid = answer(&daemon, "who", "{}");
    let mut slow = daemon.verb("call", &["sleep", r#"{"seconds": 1000}"#]).spawn().unwrap();
    while daemon.status().unwrap()["pools"][0]["running"] != 1 {
        std::thread::yield_now();
    }
    slow.kill().unwrap();
    slow.wait().unwrap();
    assert_eq!(answer(&daemon, "who", "{}"), pid, "the worker gave up the call and lives");
}

#[test]
fn a_worker_that_dies_at_every_start_is_fatal_and_said() {
    let arena = Arena::prepare("fatal").unwrap();
    let daemon = Daemon::start(&arena, &["--tools", "broken", "--workers", "1"]).unwrap();
    while daemon.status().unwrap()["pools"][0]["phase"] != "FATAL" {
        std::thread::yield_now();
    }
    let why = refusal(&daemon, &["add"]);
    assert!(why.contains("no_such_module_anywhere"), "{why}");
}

/// It dies as soon as it is there, until somebody repairs it. Its neighbour is who it was all the time.
#[test]
fn a_crash_loop_ends_with_a_restart_and_is_nothing_to_other_pools() {
    let arena = Arena::prepare("crash-loop").unwrap();
    let folder = arena.file("modules");
    std::fs::create_dir(&folder).unwrap();
    let write = |first: &str| {
        let tool = "import os\nimport sidewinder\n@sidewinder.tool\ndef word() -> str:\n    return 'well'\n";
        std::fs::write(folder.join("looping.py"), format!("{tool}{first}\n")).unwrap();
    };
    write("os.abort()");
    let text = "[pools.looping]\ntools = [\"looping\"]\ndirectory = \"modules\"\nworkers = 1\n\
                restart.delay_max = \"200ms\"\n[pools.other]\nexpose = [\"os:getpid\"]\nworkers = 1\n";
    let daemon = config::start(&arena, text);
    let other = config::answer(&daemon, "other", "getpid", "[]");
    let pool = || {
        let pools = daemon.status().unwrap()["pools"].as_array().unwrap().clone();
        pools.into_iter().find(|pool| pool["name"] == "looping").unwrap()
    };
    until("it has given up", || {
        assert_eq!(config::answer(&daemon, "other", "getpid", "[]"), other);
        pool()["phase"] == "FATAL"
    });
    assert_eq!(config::pids(&daemon, "other").len(), 1);
    let status = daemon.ask("status", &[]).unwrap().stdout;
    assert!(status.contains("once that is mended: sidewinder restart looping\n"), "{status}");
    assert!(!status.contains("sidewinder restart other"), "{status}");
    let told = daemon.ask("logs", &["--pool", "looping"]).unwrap().stdout;
    assert_eq!(told.matches("is starting").count(), 5, "five early deaths are enough: {told}");
    write("");
    order(&daemon, "restart", &["looping"]);
    assert_eq!(config::answer(&daemon, "looping", "word", "{}"), "\"well\"");
    assert_eq!(config::answer(&daemon, "other", "getpid", "[]"), other);
}

#[test]
fn whoever_waits_for_a_daemon_that_is_killed_is_told_what_that_means() {
    let arena = Arena::prepare("went-away").unwrap();
    let daemon = plain(&arena);
    let mut slow = daemon.verb("call", &["sleep", r#"{"seconds": 1000}"#]);
    let slow = slow.stderr(Stdio::piped()).spawn().unwrap();
    until("it runs", || daemon.status().unwrap()["workers"][0]["busy"] == 1);
    daemon.send(Signal::KILL).unwrap();
    let said = slow.wait_with_output().unwrap();
    let why = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(why.contains("went away") && why.contains("may be done, or not"), "{why}");
    assert_eq!(said.status.code(), Some(124), "as when there is none");
}
