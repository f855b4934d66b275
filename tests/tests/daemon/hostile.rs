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
    ];
    cases.iter().for_each(|(how, words)| meet(how, false, words));
}

#[test]
fn in_a_call() {
    let cases = [
        ("wrong-call", "does not have"),
        ("answers-twice", "does not have"),
        ("out-of-order", "does not follow"),
        ("critical", "must be understood"),
        ("flood", "more items"),
        ("plays-dead", "did not leave"),
    ];
    cases.iter().for_each(|(how, words)| meet(how, true, words));
}
