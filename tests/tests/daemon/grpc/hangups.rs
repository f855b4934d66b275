//! Clients that go away while much is going on: they lose their own calls, and nobody else loses any.

use super::{lives, noted, serving, until, until_idle};
use crate::presence::GENEROUS;
use sidewinder_proto::v1::{Call, CallRequest, OnAbandon};
use sidewinder_tests::arena::Arena;
use sidewinder_tests::client::{RAW, answer, ask, call, connect, connect_to_hang_up, payload, text, with};
use sidewinder_tests::daemon::{Daemon, tools};
use sidewinder_tests::seed::{Dice, seed_from};
use std::net::Shutdown;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

#[tokio::test]
async fn of_200_calls_100_hang_up_and_no_other_is_lost() {
    let arena = Arena::prepare("hangups").unwrap();
    let daemon = serving(&arena, "orders", 4);
    let seed = seed_from("SEED");
    println!("SEED={seed}");
    let mut dice = Dice::new(seed, "hangups");
    let mut staying = Vec::new();
    let mut leaving = Vec::new();
    for number in 0..200 {
        let (mut calls, connection) = connect_to_hang_up(&daemon).await.unwrap();
        let name = format!("call {number}");
        let seconds = dice.below(40);
        let request = ask("nap", &format!(r#"{{"seconds": 0.0{seconds:02}, "name": "{name}"}}"#));
        let run = tokio::spawn(async move { calls.call(request).await });
        if number % 2 == 0 {
            staying.push((name, run));
        } else {
            // At any moment: before the call is there, in the line, between line and worker, in the tool, after it.
            let moment = Duration::from_micros(u64::try_from(dice.below(700_000)).unwrap());
            let by_reset = number % 4 == 1;
            leaving.push(tokio::spawn(async move {
                tokio::time::sleep(moment).await;
                if by_reset {
                    run.abort();
                } else {
                    connection.shutdown(Shutdown::Both).unwrap();
                }
                run.await.is_ok_and(|answer| answer.is_ok())
            }));
        }
    }
    for (name, run) in staying {
        let said = run.await.unwrap().unwrap_or_else(|status| panic!("{name} was lost: {status:?}"));
        assert_eq!(text(said.into_inner().value), format!("\"{name}\""));
    }
    let mut in_time = 0;
    for run in leaving {
        in_time += u32::from(run.await.unwrap());
    }
    println!("of 100 that hung up, {in_time} had their answer before");
    until_idle(&daemon).await;
    let status = daemon.status().unwrap();
    assert_eq!(lives(&daemon), ["0.1", "1.1", "2.1", "3.1"], "no worker was lost: {status}");
    all_run_at_once(&daemon, &arena.file("gate")).await;
}

/// With a grace that leaves nothing to the signal that comes later.
#[tokio::test]
async fn a_worker_that_waits_in_the_kernel_is_free_soon_after_a_hang_up() {
    let arena = Arena::prepare("freed").unwrap();
    let config = arena.file("sidewinder.toml");
    let pool = "workers = 1\ngrace.interrupt = \"10m\"";
    let text =
        format!("[pools.default]\ntools = [\"orders\"]\ndirectory = \"{}\"\n{pool}\n", tools().display());
    std::fs::write(&config, text).unwrap();
    let daemon = Daemon::start(&arena, &["--config", &config.display().to_string()]).unwrap();
    let mut calls = connect(&daemon).await.unwrap();
    let mut times = Vec::new();
    for _ in 0..10 {
        let (mut leaving, connection) = connect_to_hang_up(&daemon).await.unwrap();
        let request = ask("nap", r#"{"seconds": 600, "name": "abandoned"}"#);
        let run = tokio::spawn(async move { leaving.call(request).await });
        until("it runs", || daemon.status().unwrap()["pools"][0]["running"] == 1).await;
        let begun = Instant::now();
        connection.shutdown(Shutdown::Both).unwrap();
        assert_eq!(answer(&mut calls, "nap", r#"{"seconds": 0, "name": "next"}"#).await.unwrap(), "\"next\"");
        times.push(begun.elapsed());
        run.await.unwrap().unwrap_err();
    }
    times.sort_unstable();
    println!(
        "the next call is answered {:?} after a hang-up, at worst {:?} (promised: 100 ms)",
        times[5], times[9]
    );
    assert!(times[5] < GENEROUS * Duration::from_millis(100), "{times:?}");
    assert_eq!(lives(&daemon), ["0.1"]);
}

/// Every seat is free: as many calls as there are workers run at the same time.
async fn all_run_at_once(daemon: &Daemon<'_>, gate: &Path) {
    let mut held = JoinSet::new();
    for _ in 0..4 {
        let mut calls = connect(daemon).await.unwrap();
        let arguments = format!(r#"{{"gate": "{}"}}"#, gate.display());
        held.spawn(async move { answer(&mut calls, "hold", &arguments).await });
    }
    until("all four run at once", || daemon.status().unwrap()["pools"][0]["running"] == 4).await;
    std::fs::write(gate, "open").unwrap();
    while let Some(said) = held.join_next().await {
        assert_eq!(said.unwrap().unwrap(), "\"held\"");
    }
}

#[tokio::test]
async fn whoever_hangs_up_while_its_arguments_are_on_their_way_costs_no_worker() {
    let arena = Arena::prepare("half-said").unwrap();
    let arguments = ["--tools", "tasks", "--workers", "1", "--seats", "2"];
    let daemon = Daemon::start(&arena, &arguments).unwrap();
    let mut calls = connect(&daemon).await.unwrap();
    answer(&mut calls, "who", "{}").await.unwrap();
    let (began, gate) = (arena.file("began"), arena.file("gate"));
    let blocks = format!(r#"{{"began": "{}", "gate": "{}"}}"#, began.display(), gate.display());
    let mut blocking = calls.clone();
    let blocking = tokio::spawn(async move { answer(&mut blocking, "blocks", &blocks).await });
    until("the loop is held up", || began.exists()).await;
    // It reads nothing now, so most of these arguments wait in the daemon.
    let large = CallRequest { call: Some(call("weigh")), arguments: Some(payload(RAW, vec![1; 8 << 20])) };
    let mut leaving = calls.clone();
    let leaving = tokio::spawn(async move { leaving.call(large).await });
    until("both have a seat", || daemon.status().unwrap()["workers"][0]["busy"] == 2).await;
    leaving.abort();
    // It keeps its seat until the worker has let go, which cannot be before the gate opens.
    assert_eq!(daemon.status().unwrap()["workers"][0]["busy"], 2);
    std::fs::write(&gate, "open").unwrap();
    assert_eq!(blocking.await.unwrap().unwrap(), "\"open\"");
    until_idle(&daemon).await;
    assert_eq!(lives(&daemon), ["0.1"], "half a message was left to the worker");
    answer(&mut calls, "who", "{}").await.unwrap();
}

#[tokio::test]
async fn whoever_hangs_up_in_the_middle_of_a_large_item_costs_no_worker() {
    let arena = Arena::prepare("half-heard").unwrap();
    let daemon = serving(&arena, "orders", 1);
    for _ in 0..20 {
        let (mut calls, connection) = connect_to_hang_up(&daemon).await.unwrap();
        let mut items = calls.stream(ask("pour", r#"{"size": 4000000}"#)).await.unwrap().into_inner();
        items.message().await.unwrap().unwrap();
        connection.shutdown(Shutdown::Both).unwrap();
        until_idle(&daemon).await;
    }
    assert_eq!(lives(&daemon), ["0.1"], "an ending between two pieces was taken for a fault");
}

#[tokio::test]
async fn a_call_that_is_to_finish_goes_on_without_its_caller() {
    let arena = Arena::prepare("finishes").unwrap();
    let daemon = serving(&arena, "orders", 1);
    let (gate, signed) = (arena.file("gate"), arena.file("signed"));
    let arguments = format!(r#"{{"gate": "{}", "file": "{}"}}"#, gate.display(), signed.display());
    for (on_abandon, finishes) in [(OnAbandon::Finish, true), (OnAbandon::Cancel, false)] {
        let (mut calls, connection) = connect_to_hang_up(&daemon).await.unwrap();
        let request = with(Call { on_abandon: on_abandon.into(), ..call("sign_later") }, &arguments);
        let run = tokio::spawn(async move { calls.call(request).await });
        until("it runs", || daemon.status().unwrap()["pools"][0]["running"] == 1).await;
        connection.shutdown(Shutdown::Both).unwrap();
        run.await.unwrap().unwrap_err();
        if finishes {
            std::fs::write(&gate, "open").unwrap();
        }
        until_idle(&daemon).await;
        assert_eq!(noted(&signed).is_some(), finishes, "{on_abandon:?}");
        let _ = (std::fs::remove_file(&gate), std::fs::remove_file(&signed));
    }
    assert_eq!(lives(&daemon), ["0.1"]);
}

#[tokio::test]
async fn a_call_that_is_to_finish_leaves_the_line_without_its_caller() {
    let arena = Arena::prepare("finishes-later").unwrap();
    let daemon = serving(&arena, "orders", 1);
    let (gate, signed) = (arena.file("gate"), arena.file("signed"));
    let mut first = connect(&daemon).await.unwrap();
    let arguments = format!(r#"{{"gate": "{}"}}"#, gate.display());
    let first = tokio::spawn(async move { answer(&mut first, "hold", &arguments).await });
    until("the worker is held", || daemon.status().unwrap()["pools"][0]["running"] == 1).await;
    let (mut calls, connection) = connect_to_hang_up(&daemon).await.unwrap();
    let arguments = format!(r#"{{"name": "late", "file": "{}"}}"#, signed.display());
    let request = with(Call { on_abandon: OnAbandon::Finish.into(), ..call("sign") }, &arguments);
    let run = tokio::spawn(async move { calls.call(request).await });
    until("it waits", || daemon.status().unwrap()["pools"][0]["waiting"] == 1).await;
    connection.shutdown(Shutdown::Both).unwrap();
    run.await.unwrap().unwrap_err();
    std::fs::write(&gate, "open").unwrap();
    assert_eq!(first.await.unwrap().unwrap(), "\"held\"");
    until("it has run", || noted(&signed).is_some()).await;
    until_idle(&daemon).await;
}

#[tokio::test]
async fn a_stream_that_is_to_finish_is_not_held_up_by_a_reader_who_is_gone() {
    let arena = Arena::prepare("finishes-stream").unwrap();
    let daemon = serving(&arena, "orders", 1);
    let poured = arena.file("poured");
    let (mut calls, connection) = connect_to_hang_up(&daemon).await.unwrap();
    let arguments = format!(r#"{{"items": 100000, "file": "{}"}}"#, poured.display());
    let request = with(Call { on_abandon: OnAbandon::Finish.into(), ..call("pour_out") }, &arguments);
    let mut items = calls.stream(request).await.unwrap().into_inner();
    items.message().await.unwrap().unwrap();
    connection.shutdown(Shutdown::Both).unwrap();
    until("everything is poured", || noted(&poured).is_some()).await;
    until_idle(&daemon).await;
    assert_eq!(lives(&daemon), ["0.1"]);
}
