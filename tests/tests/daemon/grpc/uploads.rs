//! Inputs that stream to a tool: all of them, in order, no faster than it takes them, and never as if they were whole
//! when they are not.

use super::{lives, noted, serving, until, until_idle, why};
use sidewinder_proto::v1::{Call, CallRequest, Input, OnAbandon, input};
use sidewinder_tests::arena::Arena;
use sidewinder_tests::client::{
    Calls, RAW, answer, ask, call, connect, inputs, item, opening, payload, text, with,
};
use sidewinder_tests::procfs;
use std::time::Duration;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio_stream::iter;
use tonic::Status;

/// Calls with these inputs, given at once.
async fn upload(calls: &mut Calls, request: CallRequest, items: &[&str]) -> Result<String, Status> {
    let items: Vec<Input> = items.iter().map(|text| item((*text).to_owned())).collect();
    let messages = [vec![opening(request)], items].concat();
    Ok(text(calls.upload(iter(messages)).await?.into_inner().value))
}

#[tokio::test]
async fn all_inputs_arrive_in_order_and_none_is_no_fault() {
    let arena = Arena::prepare("upload").unwrap();
    let daemon = serving(&arena, "inputs", 1);
    let mut calls = connect(&daemon).await.unwrap();
    assert_eq!(upload(&mut calls, ask("total", "{}"), &["1", "20", "300"]).await.unwrap(), "321");
    assert_eq!(upload(&mut calls, ask("total", "{}"), &[]).await.unwrap(), "0");
    let many: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(upload(&mut calls, ask("total", "{}"), &many).await.unwrap(), "499500");
    let taken = upload(&mut calls, ask("first", r#"{"count": 1000}"#), &many).await.unwrap();
    assert_eq!(taken, format!("[{}]", many.join(",")));
}

#[tokio::test]
async fn a_tool_may_end_before_its_inputs_do() {
    let arena = Arena::prepare("early").unwrap();
    let daemon = serving(&arena, "inputs", 1);
    let mut calls = connect(&daemon).await.unwrap();
    for (tool, arguments, expected) in
        [("first", r#"{"count": 2}"#, "[0,0]"), ("uninterested", "{}", "not interested")]
    {
        let (sender, stream) = inputs(ask(tool, arguments));
        // The client goes on for ever, until nobody takes any more.
        let zero = item("0");
        let feeding = tokio::spawn(async move { while sender.send(zero.clone()).await.is_ok() {} });
        let said = text(calls.upload(stream).await.unwrap().into_inner().value);
        assert!(said.contains(expected), "{tool}: {said}");
        feeding.await.unwrap();
    }
    until_idle(&daemon).await;
    assert_eq!(lives(&daemon), ["0.1"], "nothing of this has cost a worker");
}

/// Each in a frame of its own, which is what HTTP/2 takes for an attack when many of them wait.
#[tokio::test]
async fn many_thousands_of_tiny_inputs_arrive_however_slowly_they_are_taken() {
    // More than the window of a stream takes.
    const INPUTS: usize = 120_000;
    let arena = Arena::prepare("tiny").unwrap();
    let daemon = serving(&arena, "inputs", 1);
    let mut calls = connect(&daemon).await.unwrap();
    let gate = arena.file("gate");
    let (sender, stream) = inputs(ask("dawdle", &format!(r#"{{"gate": "{}"}}"#, gate.display())));
    let feeding = tokio::spawn(async move {
        let mut waited = 0;
        for _ in 0..INPUTS {
            match sender.send_timeout(item("1"), Duration::from_millis(500)).await {
                Ok(()) => {}
                // All that may wait does, and now the tool may go on.
                Err(SendTimeoutError::Timeout(one)) => {
                    waited += 1;
                    std::fs::write(&gate, "").unwrap();
                    sender.send(one).await.unwrap();
                }
                Err(SendTimeoutError::Closed(_)) => break,
            }
        }
        waited
    });
    let said = text(calls.upload(stream).await.unwrap().into_inner().value);
    assert_eq!(said, INPUTS.to_string());
    assert!(feeding.await.unwrap() > 0, "the tool has never stopped its client");
}

#[tokio::test]
async fn a_slow_tool_stops_a_fast_client() {
    const ITEM: usize = 64 * 1024;
    let arena = Arena::prepare("pressure").unwrap();
    let daemon = serving(&arena, "inputs", 1);
    let mut calls = connect(&daemon).await.unwrap();
    let gate = arena.file("gate");
    let (sender, stream) = inputs(ask("dawdle", &format!(r#"{{"gate": "{}"}}"#, gate.display())));
    let running = tokio::spawn(async move { calls.upload(stream).await });
    let input = item(format!("\"{}\"", "x".repeat(ITEM - 2)));
    // As fast as it goes, until it has not gone on for half a second.
    let mut sent = 0;
    while tokio::time::timeout(Duration::from_millis(500), sender.send(input.clone())).await.is_ok() {
        sent += 1;
        assert!(sent < 1000, "nobody stops the client");
    }
    // Eight are on their way to the tool; the rest lies in the windows of the connection and in its sockets.
    println!("{sent} inputs of 64 KiB were taken while the tool waited");
    assert!(sent * ITEM < 4 << 20, "{sent} inputs were taken, although the tool took one");
    std::fs::write(&gate, "open").unwrap();
    sender.send(input).await.unwrap();
    drop(sender);
    let said = text(running.await.unwrap().unwrap().into_inner().value);
    assert_eq!(said, (sent + 1).to_string(), "nothing is lost");
}

#[tokio::test]
async fn the_memory_of_the_daemon_stays_flat_while_much_flows_through() {
    const ITEM: usize = 256 * 1024;
    const ITEMS: usize = 800;
    let arena = Arena::prepare("flat").unwrap();
    let daemon = serving(&arena, "inputs", 1);
    let mut calls = connect(&daemon).await.unwrap();
    let weigh = || CallRequest { call: Some(call("weigh")), arguments: Some(payload(RAW, "")) };
    let input = item(vec![7; ITEM]);
    // A first one, so that everything that is kept for the next is there.
    for items in [20, ITEMS] {
        let before = procfs::peak_resident(daemon.pid()).unwrap();
        let messages = std::iter::once(opening(weigh())).chain(std::iter::repeat_n(input.clone(), items));
        let said = calls.upload(iter(messages)).await.unwrap().into_inner();
        assert_eq!(text(said.value), (items * ITEM).to_string());
        let grown = procfs::peak_resident(daemon.pid()).unwrap() - before;
        println!("{} MiB flowed through, the daemon grew by {} KiB", (items * ITEM) >> 20, grown >> 10);
        assert!(items < ITEMS || grown < 16 << 20, "it grew by {grown} bytes");
    }
}

#[tokio::test]
async fn whoever_breaks_off_frees_the_worker_and_is_not_taken_for_whole() {
    let arena = Arena::prepare("break-off").unwrap();
    let daemon = serving(&arena, "inputs", 1);
    let mut calls = connect(&daemon).await.unwrap();
    answer(&mut calls, "plain", "{}").await.unwrap();
    let pid = daemon.status().unwrap()["workers"][0]["pid"].clone();
    let done = arena.file("done");
    for _ in 0..10 {
        let (sender, stream) = inputs(ask("total", &format!(r#"{{"done": "{}"}}"#, done.display())));
        let mut alone = connect(&daemon).await.unwrap();
        let running = tokio::spawn(async move { alone.upload(stream).await });
        sender.send(item("1")).await.unwrap();
        until("it runs", || daemon.status().unwrap()["pools"][0]["running"] == 1).await;
        running.abort();
        until_idle(&daemon).await;
    }
    assert_eq!(noted(&done), None, "the tool was told that the inputs had ended");
    assert_eq!(answer(&mut calls, "plain", r#"{"number": 4}"#).await.unwrap(), "4");
    assert_eq!(daemon.status().unwrap()["workers"][0]["pid"], pid, "the worker gave up the call and lives");
}

#[tokio::test]
async fn inputs_that_make_no_sense_end_the_call_and_are_not_taken_for_whole() {
    let arena = Arena::prepare("senseless").unwrap();
    let daemon = serving(&arena, "inputs", 1);
    let mut calls = connect(&daemon).await.unwrap();
    let done = arena.file("done");
    let total = || ask("total", &format!(r#"{{"done": "{}"}}"#, done.display()));
    let foreign = Input { part: Some(input::Part::Item(payload(RAW, "1"))) };
    let cases = [
        (vec![], "BAD_REQUEST", "open"),
        (vec![item("1")], "BAD_REQUEST", "open"),
        (vec![Input { part: None }], "BAD_REQUEST", "open"),
        (vec![opening(total()), item("1"), opening(total())], "BAD_REQUEST", "open"),
        (vec![opening(total()), item("1"), Input { part: None }], "BAD_REQUEST", "part"),
        (vec![opening(total()), item("1"), foreign], "BAD_REQUEST", "item.content_type"),
        (vec![opening(total()), item("1"), item(vec![b' '; 65 << 20])], "TOO_LARGE", ""),
    ];
    for (messages, reason, field) in cases {
        let why = why(calls.upload(iter(messages)).await);
        assert_eq!((why.reason(), why.fact("field")), (reason, field), "{why:?}");
        until_idle(&daemon).await;
    }
    assert_eq!(noted(&done), None, "the tool was told that the inputs had ended");
    assert_eq!(lives(&daemon), ["0.1"], "nothing of this has cost a worker");
}

#[tokio::test]
async fn inputs_for_a_tool_that_takes_none_are_refused() {
    let arena = Arena::prepare("no-stream").unwrap();
    let daemon = serving(&arena, "inputs", 1);
    let mut calls = connect(&daemon).await.unwrap();
    let refused = why(upload(&mut calls, ask("plain", "{}"), &["1"]).await);
    assert_eq!((refused.reason(), refused.fact("ran")), ("NOT_A_STREAM", "no"), "{refused:?}");
    let finish = Call { on_abandon: OnAbandon::Finish.into(), ..call("total") };
    let refused = why(upload(&mut calls, with(finish, "{}"), &["1"]).await);
    assert_eq!((refused.reason(), refused.fact("field")), ("BAD_REQUEST", "call.on_abandon"));
    // What cannot be decoded is met by the tool, where it takes the input.
    let raised = why(upload(&mut calls, ask("total", "{}"), &["1", "{"]).await);
    assert_eq!((raised.reason(), raised.fact("exception")), ("RAISED", "sidewinder.BadPayloadError"));
}
