//! Deadlines: those that are none, those that have passed, those that pass in the line and in the tool.

use super::{lives, serving, until, until_idle, why};
use sidewinder_proto::v1::{Call, CallRequest};
use sidewinder_tests::arena::Arena;
use sidewinder_tests::client::{answer, ask, call, connect, text, with};
use sidewinder_tests::daemon::Daemon;
use std::time::{Duration, Instant};
use tonic::{Code, Request};

fn within(timeout: &str, request: CallRequest) -> Request<CallRequest> {
    let mut request = Request::new(request);
    request.metadata_mut().insert("grpc-timeout", timeout.parse().unwrap());
    request
}

#[tokio::test]
async fn a_timeout_that_is_no_time_is_refused_and_a_huge_one_is_none() {
    let arena = Arena::prepare("timeouts").unwrap();
    let daemon = serving(&arena, "endings", 1);
    let mut calls = connect(&daemon).await.unwrap();
    for garbage in ["-1S", "1", "banana", "1.5S", "123456789S", "S"] {
        let refused = why(calls.call(within(garbage, ask("who", "{}"))).await);
        assert_eq!((refused.reason(), refused.fact("ran")), ("BAD_TIMEOUT", "no"), "{garbage}");
        assert!(refused.status.message().contains(garbage), "{refused:?}");
    }
    calls.call(within("99999999H", ask("who", "{}"))).await.unwrap();
    assert_eq!(lives(&daemon), ["0.1"]);
}

#[tokio::test]
async fn a_deadline_that_has_passed_is_never_begun() {
    let arena = Arena::prepare("passed").unwrap();
    let daemon = serving(&arena, "endings", 1);
    let mut calls = connect(&daemon).await.unwrap();
    answer(&mut calls, "who", "{}").await.unwrap();
    let served = daemon.status().unwrap()["workers"][0]["served"].clone();
    for timeout in ["0S", "1n", "0n"] {
        let late = why(calls.call(within(timeout, ask("who", "{}"))).await);
        assert_eq!(late.status.code(), Code::DeadlineExceeded);
        assert_eq!((late.reason(), late.fact("ran")), ("DEADLINE_PASSED", "no"), "{timeout}: {late:?}");
    }
    assert_eq!(daemon.status().unwrap()["workers"][0]["served"], served);
}

#[tokio::test]
async fn a_deadline_that_passes_in_the_line_is_told_and_never_begun() {
    let arena = Arena::prepare("in-line").unwrap();
    let daemon = serving(&arena, "endings", 1);
    let mut calls = connect(&daemon).await.unwrap();
    let mut busy = connect(&daemon).await.unwrap();
    let busy = tokio::spawn(async move { answer(&mut busy, "rests", r#"{"seconds": 1000}"#).await });
    until("it runs", || daemon.status().unwrap()["pools"][0]["running"] == 1).await;
    let late = why(calls.call(within("100m", ask("leaves", "{}"))).await);
    assert_eq!((late.reason(), late.fact("ran")), ("DEADLINE_PASSED", "no"), "{late:?}");
    assert!(!late.may_retry());
    busy.abort();
    until_idle(&daemon).await;
    assert_eq!(lives(&daemon), ["0.1"], "the late call would have killed the worker");
}

#[tokio::test]
async fn a_deadline_that_passes_in_the_tool_is_told_with_its_traceback() {
    let arena = Arena::prepare("in-tool").unwrap();
    let daemon = serving(&arena, "endings", 1);
    let mut calls = connect(&daemon).await.unwrap();
    let pid = answer(&mut calls, "who", "{}").await.unwrap();
    let late = why(calls.call(within("100m", ask("computes", "{}"))).await);
    assert_eq!(late.status.code(), Code::DeadlineExceeded);
    assert_eq!((late.reason(), late.fact("ran")), ("DEADLINE_EXCEEDED", "maybe"), "{late:?}");
    assert!(late.evidence().contains("in deep_down"), "{late:?}");
    assert_eq!(answer(&mut calls, "who", "{}").await.unwrap(), pid, "the worker gave up the call and lives");
}

/// Neither waits for its own words: one waits in the kernel, the others hold the interpreter.
#[tokio::test]
async fn a_tool_that_does_not_give_up_is_told_with_its_traceback_too() {
    let arena = Arena::prepare("lost-in-c").unwrap();
    let daemon = serving(&arena, "endings", 1);
    let mut calls = connect(&daemon).await.unwrap();
    let stuck = [
        ("rests", r#"{"seconds": 1000}"#, "in rests"),
        ("holds", "{}", "in holds"),
        ("holds", r#"{"depth": 400}"#, "in holds"),
        ("backtracks", "{}", "in backtracks"),
    ];
    for (tool, arguments, evidence) in stuck {
        answer(&mut calls, "who", "{}").await.unwrap();
        let late = why(calls.call(within("100m", ask(tool, arguments))).await);
        assert_eq!((late.reason(), late.fact("ran")), ("DEADLINE_EXCEEDED", "maybe"), "{late:?}");
        assert!(late.evidence().contains(evidence), "{tool} {arguments}: {late:?}");
        assert!(late.evidence().len() < 3_000, "{} bytes", late.evidence().len());
    }
}

#[tokio::test]
async fn the_deadline_and_the_trace_reach_the_tool() {
    let arena = Arena::prepare("context").unwrap();
    let daemon = serving(&arena, "values", 1);
    let mut calls = connect(&daemon).await.unwrap();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut request = within("60S", ask("context", "{}"));
    request.metadata_mut().insert("traceparent", trace.parse().unwrap());
    let said = text(calls.call(request).await.unwrap().into_inner().value);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let remaining = said["remaining"].as_f64().unwrap();
    assert!((30.0..=60.0).contains(&remaining), "{said}");
    assert_eq!((&said["traceparent"], &said["attempt"]), (&trace.into(), &1.into()));
    let said = answer(&mut calls, "context", "{}").await.unwrap();
    assert!(said.contains(r#""remaining":null"#), "without a timeout there is no deadline: {said}");
}

/// A call may have waited for its worker: its tool is told what is left, and not what there was.
#[tokio::test]
async fn what_is_left_of_a_deadline_is_what_the_line_has_left_of_it() {
    let arena = Arena::prepare("left").unwrap();
    let daemon = serving(&arena, "orders", 1);
    let gate = arena.file("gate");
    let mut first = connect(&daemon).await.unwrap();
    let arguments = format!(r#"{{"gate": "{}"}}"#, gate.display());
    let first = tokio::spawn(async move { answer(&mut first, "hold", &arguments).await });
    until("the worker is held", || daemon.status().unwrap()["pools"][0]["running"] == 1).await;
    let mut calls = connect(&daemon).await.unwrap();
    let asked = Instant::now();
    let waits = tokio::spawn(async move { calls.call(within("60S", ask("left", "{}"))).await });
    until("it has waited", || asked.elapsed() > Duration::from_millis(500)).await;
    std::fs::write(&gate, "open").unwrap();
    first.await.unwrap().unwrap();
    let answer = waits.await.unwrap().unwrap().into_inner();
    let waited = Duration::try_from(answer.ran.unwrap().waited.unwrap()).unwrap().as_secs_f64();
    let left: f64 = text(answer.value).parse().unwrap();
    assert!(waited > 0.3 && left < 60.0 - waited / 2.0, "waited {waited}, left {left}");
}

#[tokio::test]
async fn with_spans_the_tool_stands_below_that_of_its_call() {
    let arena = Arena::prepare("spans").unwrap();
    let arguments = ["--tools", "values", "--workers", "1", "--otlp", "http://127.0.0.1:1"];
    let daemon = Daemon::start(&arena, &arguments).unwrap();
    let mut calls = connect(&daemon).await.unwrap();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for key in ["", "a key"] {
        let call = Call { idempotency_key: key.to_owned(), ..call("context") };
        let mut request = Request::new(with(call, "{}"));
        request.metadata_mut().insert("traceparent", trace.parse().unwrap());
        let said = text(calls.call(request).await.unwrap().into_inner().value);
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        let told = said["traceparent"].as_str().unwrap();
        assert_eq!((&told[..36], &told[52..]), (&trace[..36], "-01"), "{told}: of the same trace");
        assert_ne!(&told[36..52], &trace[36..52], "{told}: with the daemon's span between");
    }
    let said = answer(&mut calls, "context", "{}").await.unwrap();
    assert!(said.contains(r#""traceparent":"00-"#), "a trace begins here: {said}");
}
