//! `sidewinder keep`, `doctor` and `reap` as a shell meets them: statuses, signals, outputs, users, and bad places.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test says what it expects")]

mod outputs;
mod people;
mod places;
mod signals;
mod statuses;

use sidewinder_tests::arena::Arena;
use std::process::{Command, Output};

/// How `keep` holds in tier A, and in tier C.
const WAYS: [&[&str]; 2] = [&["--cgroup", "off"], &["--namespace", "off", "--cgroup", "off"]];

/// `sidewinder keep` with these options around a shell script. It heeds every signal, whoever started the tests.
fn keep(arena: &Arena, options: &[&str], script: &str) -> Command {
    let mut command = Command::new("env");
    arena.place(&mut command);
    command.arg("--default-signal=HUP,INT,QUIT").arg(arena.binary()).arg("keep");
    command.args(options).args(["--", "sh", "-c", script]);
    command
}

/// Runs to the end, and returns the status and what was said.
fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("started");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (status.code().expect("no signal ended it"), text(stdout), text(stderr))
}

/// Says that nothing of any run is left in this place.
fn assert_clean(arena: &Arena) {
    assert_eq!(arena.records(), Vec::<String>::new());
}
