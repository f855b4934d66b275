//! The daemon as a program meets it: every kind of call, every kind of ending.

mod by_hand;
mod conversations;
mod deadlines;
mod endings;
mod hangups;
mod health;
mod payloads;
mod refusals;
mod routing;
mod sealed;
mod uploads;

use sidewinder_tests::arena::Arena;
use sidewinder_tests::client::Why;
use sidewinder_tests::daemon::Daemon;
use std::path::Path;
use std::time::{Duration, Instant};
use tonic::Status;

/// What takes longer does not come any more.
const PATIENCE: Duration = Duration::from_secs(20);

/// A daemon with so many workers of these tools.
fn serving<'a>(arena: &'a Arena, tools: &str, workers: u16) -> Daemon<'a> {
    let workers = workers.to_string();
    Daemon::start(arena, &["--tools", tools, "--workers", &workers]).expect("a daemon")
}

/// What a program reads of the error that this must be.
fn why<T>(answer: Result<T, Status>) -> Why {
    Why::of(answer.err().expect("an error"))
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let patience = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < patience, "in vain: {what}");
        // To look again; nothing depends on how soon.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until no call is left anywhere in the daemon.
async fn until_idle(daemon: &Daemon<'_>) {
    until("no call runs or waits", || {
        let status = daemon.status().unwrap();
        let busy = status["workers"].as_array().unwrap().iter().any(|worker| worker["busy"] != 0);
        !busy && status["pools"][0]["running"] == 0 && status["pools"][0]["waiting"] == 0
    })
    .await;
}

/// The lives of the workers, as they stand in the table.
fn lives(daemon: &Daemon<'_>) -> Vec<String> {
    let status = daemon.status().unwrap();
    let workers = status["workers"].as_array().unwrap();
    workers.iter().map(|worker| worker["life"].as_str().unwrap().to_owned()).collect()
}

/// The text of a file, once there is some.
fn noted(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok().filter(|text| !text.is_empty())
}
