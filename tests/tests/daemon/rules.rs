//! The rules of a pool, as a file sets them: recycling, growing and shrinking, limits of one client, late starts.

use super::grpc;
use super::orders::{are_ready, order, until};
use sidewinder_tests::arena::Arena;
use sidewinder_tests::client::{Why, ask, call, connect, with};
use sidewinder_tests::daemon::{Daemon, hostile};
use std::time::{Duration, Instant};

fn start<'a>(arena: &'a Arena, tools: &str, rules: &str) -> Daemon<'a> {
    let path = arena.file("sidewinder.toml");
    std::fs::write(&path, format!("[pools.default]\ntools = [\"{tools}\"]\n{rules}\n")).expect("written");
    let path = path.display().to_string();
    // Relative names start at the file; the tools are where the tests are.
    let place = sidewinder_tests::daemon::tools().display().to_string();
    Daemon::start(arena, &["--config", &path, "--directory", &place]).expect("a daemon")
}

fn lives(daemon: &Daemon<'_>) -> Vec<String> {
    let status = daemon.status().expect("a status");
    let workers = status["workers"].as_array().expect("workers").clone();
    workers.iter().map(|worker| worker["life"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn a_worker_that_has_served_enough_calls_is_replaced_and_no_call_is_lost() {
    let arena = Arena::prepare("served-enough").unwrap();
    let mut daemon = start(&arena, "plain", "workers = 1\nrecycle.calls = 3\nrecycle.spread_percent = 0");
    let mut calls = connect(&daemon).await.unwrap();
    let mut workers = std::collections::BTreeMap::<String, u32>::new();
    for _ in 0..12 {
        let answer = calls.call(ask("add", r#"{"a": 1}"#)).await.unwrap().into_inner();
        *workers.entry(answer.ran.unwrap().worker).or_default() += 1;
    }
    assert!(workers.values().all(|served| *served <= 3), "{workers:?}");
    assert!(workers.len() >= 4, "{workers:?}");
    daemon.log_until("(calls)").unwrap();
}

#[test]
fn age_idleness_and_memory_replace_a_worker() {
    let cases = [
        ("plain", "recycle.age = \"300ms\"", "(age)"),
        ("plain", "recycle.idle = \"300ms\"", "(idle)"),
        ("growing", "recycle.resident = \"60MiB\"", "(memory)"),
    ];
    for (tools, rule, words) in cases {
        let arena = Arena::prepare("replaced").unwrap();
        let mut daemon = start(&arena, tools, &format!("workers = 1\n{rule}"));
        order(&daemon, "wait", &["--ready"]);
        let (tool, arguments) =
            if tools == "plain" { ("add", r#"{"a": 1}"#) } else { ("grow", r#"{"mib": 80}"#) };
        order(&daemon, "call", &[tool, arguments]);
        let line = daemon.log_until(words).unwrap();
        assert!(line.contains("was asked to leave"), "{line}");
        until("another one is there", || lives(&daemon).iter().any(|life| life != "0.1"));
    }
}

#[tokio::test]
async fn a_pool_grows_before_it_makes_calls_wait_and_shrinks_when_they_are_done() {
    let arena = Arena::prepare("elastic").unwrap();
    let daemon = start(&arena, "plain", "min = 1\nmax = 3\nrecycle.scale_down = \"300ms\"");
    are_ready(&daemon, 1);
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let mut calls = connect(&daemon).await.unwrap();
        running.spawn(async move { calls.call(ask("sleep", r#"{"seconds": 3}"#)).await });
    }
    grpc::until("three calls run", || daemon.status().unwrap()["pools"][0]["running"] == 3).await;
    let answers = running.join_all().await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    grpc::until("one worker is left", || lives(&daemon).len() == 1).await;
}

#[tokio::test]
async fn one_client_has_only_so_many_calls_waiting() {
    let arena = Arena::prepare("one-client").unwrap();
    let daemon = start(&arena, "plain", "workers = 1\nline.client_waiting_max = 1");
    are_ready(&daemon, 1);
    let calls = connect(&daemon).await.unwrap();
    let slow = |seconds: f32| {
        let mut calls = calls.clone();
        tokio::spawn(async move { calls.call(ask("sleep", &format!(r#"{{"seconds": {seconds}}}"#))).await })
    };
    let first = slow(60.0);
    grpc::until("it runs", || daemon.status().unwrap()["pools"][0]["running"] == 1).await;
    let second = slow(0.0);
    grpc::until("it waits", || daemon.status().unwrap()["pools"][0]["waiting"] == 1).await;
    let why = Why::of(slow(0.0).await.unwrap().unwrap_err());
    assert_eq!(why.reason(), "CLIENT_LIMIT");
    assert!(why.may_retry());
    // Another client is none the worse for it.
    let mut other = connect(&daemon).await.unwrap();
    first.abort();
    assert!(other.call(ask("add", r#"{"a": 1}"#)).await.is_ok());
    assert!(second.await.unwrap().is_ok());
}

#[test]
fn who_never_says_hello_is_killed_in_time() {
    let arena = Arena::prepare("late").unwrap();
    let python = hostile(&arena, "silent").unwrap().display().to_string();
    let rules = format!("workers = 1\npython = \"{python}\"\nrestart.start_timeout = \"300ms\"");
    let mut daemon = start(&arena, "plain", &rules);
    let line = daemon.log_until("is killed").unwrap();
    assert!(line.contains("not ready in time"), "{line}");
}

#[tokio::test]
async fn a_quarantine_ends() {
    let arena = Arena::prepare("quarantine").unwrap();
    let daemon = start(&arena, "plain", "workers = 1\npoison.strikes_max = 1\npoison.quarantine = \"500ms\"");
    let mut calls = connect(&daemon).await.unwrap();
    let keyed = |tool: &str, arguments: &str| {
        let mut call = call(tool);
        call.idempotency_key = "poison".to_owned();
        with(call, arguments)
    };
    let died = Why::of(calls.call(keyed("crash", "{}")).await.unwrap_err());
    assert_eq!(died.reason(), "WORKER_DIED");
    let refused = Why::of(calls.call(keyed("add", r#"{"a": 1}"#)).await.unwrap_err());
    assert_eq!(refused.reason(), "QUARANTINED");
    let patience = Instant::now() + Duration::from_secs(20);
    while let Err(status) = calls.call(keyed("add", r#"{"a": 1}"#)).await {
        assert_eq!(Why::of(status).reason(), "QUARANTINED");
        assert!(Instant::now() < patience, "the quarantine does not end");
    }
}
