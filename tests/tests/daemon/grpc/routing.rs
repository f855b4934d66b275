//! Who runs where, and who goes first: affinity, priority, fairness, the length of the line, keys that kill.

use super::{lives, noted, serving, until, until_idle, why};
use sidewinder_proto::v1::{Affinity, AffinityMode, Call, CallRequest, Priority};
use sidewinder_tests::arena::Arena;
use sidewinder_tests::client::{Calls, answer, ask, call, connect, text, with};
use sidewinder_tests::daemon::Daemon;
use std::path::{Path, PathBuf};
use tokio::task::JoinHandle;
use tonic::{Code, Status};

fn bound(tool: &str, mode: AffinityMode, arguments: &str) -> CallRequest {
    let affinity = Affinity { key: "the key".to_owned(), mode: mode.into() };
    with(Call { affinity: Some(affinity), ..call(tool) }, arguments)
}

async fn value(calls: &mut Calls, request: CallRequest) -> Result<String, Status> {
    Ok(text(calls.call(request).await?.into_inner().value))
}

fn running(daemon: &Daemon<'_>) -> u64 {
    daemon.status().unwrap()["pools"][0]["running"].as_u64().unwrap()
}

fn waiting(daemon: &Daemon<'_>) -> u64 {
    daemon.status().unwrap()["pools"][0]["waiting"].as_u64().unwrap()
}

/// A call that holds its worker until there is a file.
fn hold(
    calls: &Calls,
    request: impl Fn(&str) -> CallRequest,
    gate: &Path,
) -> JoinHandle<Result<String, Status>> {
    let request = request(&format!(r#"{{"gate": "{}"}}"#, gate.display()));
    let mut calls = calls.clone();
    tokio::spawn(async move { value(&mut calls, request).await })
}

/// A call that writes its name at the end of a file.
fn sign(calls: &Calls, name: &str, priority: Priority, file: &Path) -> JoinHandle<Result<String, Status>> {
    let arguments = format!(r#"{{"name": "{name}", "file": "{}"}}"#, file.display());
    let request = with(Call { priority: priority.into(), ..call("sign") }, &arguments);
    let mut calls = calls.clone();
    tokio::spawn(async move { value(&mut calls, request).await })
}

#[tokio::test]
async fn related_calls_meet_on_one_worker_as_strictly_as_they_ask() {
    let arena = Arena::prepare("affinity").unwrap();
    let daemon = serving(&arena, "orders", 2);
    let mut calls = connect(&daemon).await.unwrap();
    until("both serve", || daemon.status().unwrap()["pools"][0]["ready"] == 2).await;
    let home = value(&mut calls, bound("who", AffinityMode::Hint, "{}")).await.unwrap();
    for _ in 0..10 {
        assert_eq!(value(&mut calls, bound("who", AffinityMode::Hint, "{}")).await.unwrap(), home);
    }
    let gate = arena.file("gate");
    let busy = hold(&calls, |arguments| bound("hold", AffinityMode::Hint, arguments), &gate);
    until("home is busy", || running(&daemon) == 1).await;
    let elsewhere = value(&mut calls, bound("who", AffinityMode::Hint, "{}")).await.unwrap();
    assert_ne!(elsewhere, home, "a hint runs elsewhere");
    let refused = why(value(&mut calls, bound("who", AffinityMode::StrictFailFast, "{}")).await);
    assert_eq!((refused.reason(), refused.fact("ran")), ("AFFINITY_BUSY", "no"));
    assert!(refused.may_retry());
    let mut queued = calls.clone();
    let queued =
        tokio::spawn(async move { value(&mut queued, bound("who", AffinityMode::StrictQueue, "{}")).await });
    until("it waits, with a free worker beside", || waiting(&daemon) == 1).await;
    std::fs::write(&gate, "open").unwrap();
    assert_eq!(busy.await.unwrap().unwrap(), "\"held\"");
    assert_eq!(queued.await.unwrap().unwrap(), home);
}

#[tokio::test]
async fn whoever_waits_for_a_worker_that_dies_is_told_so() {
    let arena = Arena::prepare("lost").unwrap();
    let daemon = serving(&arena, "orders", 2);
    let calls = connect(&daemon).await.unwrap();
    let gate = arena.file("gate");
    let busy = hold(&calls, |arguments| bound("die", AffinityMode::StrictQueue, arguments), &gate);
    until("home is busy", || running(&daemon) == 1).await;
    let mut queued = calls.clone();
    let queued =
        tokio::spawn(async move { value(&mut queued, bound("who", AffinityMode::StrictQueue, "{}")).await });
    until("it waits", || waiting(&daemon) == 1).await;
    std::fs::write(&gate, "open").unwrap();
    assert_eq!(why(busy.await.unwrap()).reason(), "WORKER_DIED");
    let lost = why(queued.await.unwrap());
    assert_eq!((lost.reason(), lost.fact("ran"), lost.status.code()), ("AFFINITY_LOST", "no", Code::Aborted));
    assert!(lost.may_retry());
    let mut calls = calls;
    value(&mut calls, bound("who", AffinityMode::StrictFailFast, "{}")).await.expect("bound anew");
}

#[tokio::test]
async fn the_urgent_go_first_and_the_others_do_not_starve() {
    let arena = Arena::prepare("priority").unwrap();
    let daemon = serving(&arena, "orders", 1);
    let calls = connect(&daemon).await.unwrap();
    let (gate, file) = (arena.file("gate"), arena.file("signed"));
    let busy = hold(&calls, |arguments| ask("hold", arguments), &gate);
    until("it runs", || running(&daemon) == 1).await;
    let mut all = vec![sign(&calls, "low", Priority::Low, &file)];
    until("it waits", || waiting(&daemon) == 1).await;
    all.push(sign(&calls, "normal", Priority::Unspecified, &file));
    until("both wait", || waiting(&daemon) == 2).await;
    for number in 0..60 {
        all.push(sign(&calls, &format!("high{number}"), Priority::High, &file));
    }
    until("all wait", || waiting(&daemon) == 62).await;
    std::fs::write(&gate, "open").unwrap();
    busy.await.unwrap().unwrap();
    for signed in all {
        signed.await.unwrap().unwrap();
    }
    let order = noted(&file).unwrap();
    let order: Vec<&str> = order.lines().collect();
    let at = |name| order.iter().position(|signed| *signed == name).unwrap();
    println!("of 62: normal at {}, low at {}", at("normal"), at("low"));
    let (normal, low) = (at("normal"), at("low"));
    assert!(normal.min(low) >= 5, "those who came later and are urgent went first: {order:?}");
    assert!(normal.max(low) <= 30, "some were left to the end: {order:?}");
}

#[tokio::test]
async fn a_noisy_client_delays_a_quiet_one_by_one_call() {
    let arena = Arena::prepare("fairness").unwrap();
    let daemon = serving(&arena, "orders", 1);
    let (noisy, quiet) = (connect(&daemon).await.unwrap(), connect(&daemon).await.unwrap());
    let (gate, file) = (arena.file("gate"), arena.file("signed"));
    let busy = hold(&noisy, |arguments| ask("hold", arguments), &gate);
    until("it runs", || running(&daemon) == 1).await;
    let mut all: Vec<_> = (0..100).map(|_| sign(&noisy, "noisy", Priority::Normal, &file)).collect();
    until("all wait", || waiting(&daemon) == 100).await;
    all.push(sign(&quiet, "quiet", Priority::Normal, &file));
    until("the quiet one, too", || waiting(&daemon) == 101).await;
    std::fs::write(&gate, "open").unwrap();
    busy.await.unwrap().unwrap();
    for signed in all {
        signed.await.unwrap().unwrap();
    }
    let at = noted(&file).unwrap().lines().position(|signed| signed == "quiet").unwrap();
    assert!(at <= 1, "the quiet client was served after {at} calls of the noisy one");
}

#[tokio::test]
async fn a_full_line_refuses_noise_at_once_and_makes_room_for_others() {
    let arena = Arena::prepare("full").unwrap();
    let daemon = serving(&arena, "orders", 1);
    // A connection carries 1,000 calls at a time, as many as the line holds: so the noise comes over two.
    let (one, two) = (connect(&daemon).await.unwrap(), connect(&daemon).await.unwrap());
    let gate = arena.file("gate");
    let busy = hold(&one, |arguments| ask("hold", arguments), &gate);
    until("it runs", || running(&daemon) == 1).await;
    let who = |calls: &Calls| {
        let mut calls = calls.clone();
        tokio::spawn(async move { answer(&mut calls, "who", "{}").await })
    };
    let mut waiters: Vec<_> = (0..900).map(|_| who(&one)).collect();
    until("900 wait", || waiting(&daemon) == 900).await;
    waiters.extend((0..100).map(|_| who(&two)));
    until("1,000 wait", || waiting(&daemon) == 1000).await;
    let mut one = one;
    let refused = why(answer(&mut one, "who", "{}").await);
    assert_eq!((refused.reason(), refused.fact("ran")), ("QUEUE_FULL", "no"), "{refused:?}");
    assert_eq!(refused.status.code(), Code::ResourceExhausted);
    assert!(refused.may_retry(), "overflow is refused with RetryInfo");
    // A client with fewer calls in the line gets the room of the greediest.
    waiters.push(who(&two));
    until("one of the noise was refused", || waiters.iter().filter(|call| call.is_finished()).count() == 1)
        .await;
    std::fs::write(&gate, "open").unwrap();
    busy.await.unwrap().unwrap();
    let mut refusals = 0;
    for waiter in waiters {
        match waiter.await.unwrap() {
            Ok(_) => {}
            Err(status) => {
                assert_eq!(why::<()>(Err(status)).reason(), "QUEUE_FULL");
                refusals += 1;
            }
        }
    }
    assert_eq!(refusals, 1, "everybody else was served");
    until_idle(&daemon).await;
}

#[tokio::test]
async fn a_key_that_has_killed_twice_is_quarantined_and_others_are_not() {
    let arena = Arena::prepare("poison").unwrap();
    let daemon = serving(&arena, "orders", 1);
    let mut calls = connect(&daemon).await.unwrap();
    let keyed = |key: &str, gate: PathBuf| {
        let arguments = format!(r#"{{"gate": "{}"}}"#, gate.display());
        with(Call { idempotency_key: key.to_owned(), ..call("die") }, &arguments)
    };
    let open = arena.file("open");
    std::fs::write(&open, "open").unwrap();
    for _ in 0..2 {
        assert_eq!(why(value(&mut calls, keyed("poison", open.clone())).await).reason(), "WORKER_DIED");
    }
    answer(&mut calls, "who", "{}").await.unwrap();
    let before = lives(&daemon);
    for _ in 0..3 {
        let refused = why(value(&mut calls, keyed("poison", open.clone())).await);
        assert_eq!((refused.reason(), refused.fact("ran")), ("QUARANTINED", "no"), "{refused:?}");
        assert_eq!(refused.status.code(), Code::FailedPrecondition);
        assert!(!refused.may_retry());
    }
    assert_eq!(lives(&daemon), before, "no worker has seen them");
    let innocent = with(Call { idempotency_key: "other".to_owned(), ..call("who") }, "{}");
    value(&mut calls, innocent).await.expect("another key is innocent");
}
