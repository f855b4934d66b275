//! Inputs and items at the same time.

use super::{lives, noted, serving, until, until_idle, why};
use sidewinder_tests::arena::Arena;
use sidewinder_tests::client::{ask, connect, connect_to_hang_up, inputs, item, opening, text};
use std::net::Shutdown;
use std::time::Duration;
use tokio_stream::iter;

#[tokio::test]
async fn question_and_answer_take_turns() {
    let arena = Arena::prepare("turns").unwrap();
    let daemon = serving(&arena, "inputs", 1);
    let mut calls = connect(&daemon).await.unwrap();
    let (sender, stream) = inputs(ask("doubled", "{}"));
    let mut items = calls.converse(stream).await.unwrap().into_inner();
    for number in 0..100 {
        sender.send(item(number.to_string())).await.unwrap();
        let said = items.message().await.unwrap().unwrap();
        assert_eq!(text(said.value), (number * 2).to_string());
    }
    drop(sender);
    assert!(items.message().await.unwrap().is_none());
    until_idle(&daemon).await;
}

#[tokio::test]
async fn a_reader_that_stops_stops_the_tool_and_the_tool_the_sender() {
    let arena = Arena::prepare("standstill").unwrap();
    let daemon = serving(&arena, "inputs", 1);
    let mut calls = connect(&daemon).await.unwrap();
    let note = arena.file("note");
    let (sender, stream) = inputs(ask("doubled", &format!(r#"{{"note": "{}"}}"#, note.display())));
    let mut items = calls.converse(stream).await.unwrap().into_inner();
    let input = item(format!("\"{}\"", "x".repeat(32 * 1024)));
    let mut sent = 0_usize;
    while tokio::time::timeout(Duration::from_millis(500), sender.send(input.clone())).await.is_ok() {
        sent += 1;
        assert!(sent < 2000, "nobody stops the sender");
    }
    let taken: usize = noted(&note).unwrap().parse().unwrap();
    println!("{sent} inputs of 32 KiB were sent, {taken} taken, none read");
    assert!(taken <= sent && sent < 300, "{taken} of {sent}");
    drop(sender);
    let mut read = 0;
    while let Some(said) = items.message().await.unwrap() {
        assert_eq!(text(said.value).len(), 2 * 32 * 1024 + 2);
        read += 1;
    }
    assert_eq!(read, sent, "nothing is lost");
}

#[tokio::test]
async fn whoever_hangs_up_in_a_conversation_frees_the_worker() {
    let arena = Arena::prepare("mid-conversation").unwrap();
    let daemon = serving(&arena, "inputs", 1);
    for _ in 0..10 {
        let (mut calls, connection) = connect_to_hang_up(&daemon).await.unwrap();
        let (sender, stream) = inputs(ask("doubled", "{}"));
        let mut items = calls.converse(stream).await.unwrap().into_inner();
        sender.send(item("1")).await.unwrap();
        items.message().await.unwrap().unwrap();
        connection.shutdown(Shutdown::Both).unwrap();
        until_idle(&daemon).await;
    }
    assert_eq!(lives(&daemon), ["0.1"], "the worker gave up each call and lives");
}

#[tokio::test]
async fn a_conversation_that_makes_no_sense_ends_with_its_reason() {
    let arena = Arena::prepare("senseless-talk").unwrap();
    let daemon = serving(&arena, "inputs", 1);
    let mut calls = connect(&daemon).await.unwrap();
    assert_eq!(why(calls.converse(iter([item("1")])).await).fact("field"), "open");
    let (sender, stream) = inputs(ask("doubled", "{}"));
    let mut items = calls.converse(stream).await.unwrap().into_inner();
    sender.send(item("1")).await.unwrap();
    items.message().await.unwrap().unwrap();
    sender.send(opening(ask("doubled", "{}"))).await.unwrap();
    assert_eq!(why(items.message().await).fact("field"), "open");
    let (_sender, stream) = inputs(ask("plain", "{}"));
    let mut refused = calls.converse(stream).await.unwrap().into_inner();
    assert_eq!(why(refused.message().await).reason(), "NOT_A_STREAM");
    until("the line is empty", || daemon.status().unwrap()["pools"][0]["running"] == 0).await;
    assert_eq!(lives(&daemon), ["0.1"]);
}
