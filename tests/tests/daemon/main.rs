//! The daemon as a client meets it: a real Python, real calls, hostile workers, sudden ends.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test says what it expects")]

mod calls;
mod config;
mod deaths;
mod forks;
mod grpc;
mod hostile;
mod logs;
mod managed;
mod metrics;
mod orders;
mod presence;
mod reloads;
mod rules;
mod stops;
mod upgrades;

use sidewinder_tests::arena::Arena;
use sidewinder_tests::daemon::Daemon;

/// A daemon with one worker and the plain tools, ready for a call.
fn plain(arena: &Arena) -> Daemon<'_> {
    Daemon::start(arena, &["--tools", "plain", "--workers", "1"]).expect("a daemon")
}

/// Calls a tool that must answer, and returns what it said.
fn answer(daemon: &Daemon<'_>, tool: &str, arguments: &str) -> String {
    let said = daemon.ask("call", &[tool, arguments]).expect("asked");
    assert_eq!(said.status, 0, "{tool} {arguments}: {said:?}");
    said.stdout.trim_end().to_owned()
}

/// Calls a tool that must not answer, and returns why it did not.
fn refusal(daemon: &Daemon<'_>, arguments: &[&str]) -> String {
    let said = daemon.ask("call", arguments).expect("asked");
    assert_eq!(said.status, 1, "{arguments:?}: {said:?}");
    said.stderr
}
