//! Workers that break the protocol are ended, and said what for; the daemon goes on.

use sidewinder_tests::arena::Arena;
use sidewinder_tests::daemon::{Daemon, hostile};

fn meet(how: &str, call: bool, words: &str) {
    let arena = Arena::prepare(&format!("hostile-{how}")).unwrap();
    let worker = hostile(&arena, how).unwrap();
    let python = worker.display().to_string();
    let arguments = ["--tools", "plain", "--workers", "1", "--python", &python];
    let mut daemon = Daemon::start(&arena, &arguments).unwrap();
    if call {
        // Whether a first answer got through before the fault is the worker's luck.
        daemon.ask("call", &["anything"]).unwrap();
    }
    let line = daemon.log_until("was ended: ").unwrap();
    assert!(line.contains(words), "{how}: {line}");
    assert_eq!(daemon.status().unwrap()["pools"][0]["name"], "default", "the daemon goes on");
}

#[test]
fn before_a_call() {
    let cases = [
        ("newer", "versions 2 to 9"),
        ("ready-first", "before it said hello"),
        ("hello-twice", "hello twice"),
        ("truncated", "ends too early"),
        ("version", "version 9"),
        ("unknown-kind", "no frame of kind 200"),
        ("oversized", "larger than"),
        ("ready-twice", "ready twice"),
        ("wrong-socket", "no frame of kind 65"),
        ("number", "field 0x0015"),
        ("meta", "ends too early"),
    ];
    cases.iter().for_each(|(how, words)| meet(how, false, words));
}

#[test]
fn in_a_call() {
    let cases = [
        ("wrong-call", "does not have"),
        ("answers-twice", "does not have"),
        ("out-of-order", "does not follow"),
        ("after-the-end", "does not have"),
        ("endless", "larger than max_message"),
        ("speaks-of-itself", "no frame of kind 97"),
        ("critical", "must be understood"),
        ("flood", "more items"),
        ("plays-dead", "did not leave"),
    ];
    cases.iter().for_each(|(how, words)| meet(how, true, words));
}

#[test]
fn a_worker_that_babbles_stops_nobody() {
    let arena = Arena::prepare("hostile-babbles").unwrap();
    let python = hostile(&arena, "babbles").unwrap().display().to_string();
    let daemon = Daemon::start(&arena, &["--tools", "plain", "--workers", "1", "--python", &python]).unwrap();
    // Nobody reads the log of this daemon, which is full at once.
    for _ in 0..20 {
        assert_eq!(daemon.status().unwrap()["pools"][0]["name"], "default");
    }
    let peak = sidewinder_tests::procfs::peak_resident(daemon.pid()).unwrap();
    assert!(peak < 64 << 20, "what it says is kept: {peak} bytes");
}

#[test]
fn a_reason_that_nobody_knows_is_told_as_it_is() {
    let arena = Arena::prepare("hostile-reason").unwrap();
    let python = hostile(&arena, "unknown-reason").unwrap().display().to_string();
    let daemon = Daemon::start(&arena, &["--tools", "plain", "--workers", "1", "--python", &python]).unwrap();
    let said = daemon.ask("call", &["anything"]).unwrap();
    assert!(said.stderr.contains("BROKEN") && said.stderr.contains("for a reason nobody knows"), "{said:?}");
}
