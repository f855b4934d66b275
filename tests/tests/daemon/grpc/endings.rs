//! Every way in which Python ends a call: each has one ending, and the next call is served.

use super::{lives, serving, until_idle, why};
use rustix::process::Signal;
use sidewinder_tests::arena::Arena;
use sidewinder_tests::client::{answer, ask, connect, text};
use std::time::Instant;

#[tokio::test]
async fn what_is_raised_is_an_answer_and_the_worker_lives() {
    let arena = Arena::prepare("raised").unwrap();
    let daemon = serving(&arena, "endings", 1);
    let mut calls = connect(&daemon).await.unwrap();
    let pid = answer(&mut calls, "who", "{}").await.unwrap();
    let cases = [
        ("exits", "SystemExit", "7", "sys.exit(7)"),
        ("interrupts", "KeyboardInterrupt", "KeyboardInterrupt", "raise KeyboardInterrupt"),
        ("recurses", "RecursionError", "maximum recursion depth", "recurses(depth + 1)"),
        ("unsayable", "sidewinder.UnencodableError", "type set", ""),
        ("unprintable", "endings.UnprintableError", "ValueError was raised", "in unprintable"),
        ("eats", "MemoryError", "MemoryError", "bytearray(1 << 40)"),
    ];
    for (tool, exception, message, place) in cases {
        let raised = why(answer(&mut calls, tool, "{}").await);
        assert_eq!((raised.reason(), raised.fact("ran")), ("RAISED", "maybe"), "{tool}: {raised:?}");
        assert_eq!(raised.status.code(), tonic::Code::Unknown);
        assert_eq!(raised.fact("exception"), exception);
        assert_eq!((raised.fact("pool"), raised.fact("tool")), ("default", tool));
        assert_eq!(raised.fact("worker"), "0.1");
        assert!(raised.status.message().contains(message), "{tool}: {raised:?}");
        assert!(raised.evidence().contains(place), "{tool}: {raised:?}");
        assert_eq!(answer(&mut calls, "who", "{}").await.unwrap(), pid, "{tool} has cost a worker");
    }
}

#[tokio::test]
async fn causes_and_notes_are_told_and_all_of_it_fits_into_the_headers() {
    let arena = Arena::prepare("evidence").unwrap();
    let daemon = serving(&arena, "endings", 1);
    let mut calls = connect(&daemon).await.unwrap();
    let told = why(answer(&mut calls, "annotated", "{}").await).evidence();
    for part in ["KeyError: 'THE_KEY'", "direct cause", "RuntimeError", "the first note", "the second note"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let raised = why(answer(&mut calls, "verbose", "{}").await);
    assert_eq!((raised.reason(), raised.fact("exception")), ("RAISED", "ValueError"));
    let size = raised.evidence().len() + raised.status.message().len();
    assert!((1000..4096).contains(&size), "the evidence has {size} bytes: {raised:?}");
    assert!(raised.evidence().contains("in descend"), "the end of the traceback is kept: {raised:?}");
}

#[tokio::test]
async fn each_death_is_told_with_its_evidence_and_the_next_call_is_served() {
    let arena = Arena::prepare("evident").unwrap();
    let daemon = serving(&arena, "endings", 1);
    let mut calls = connect(&daemon).await.unwrap();
    let cases = [
        ("leaves", "exit_status", "9", ""),
        ("crashes", "signal", "11", "in crashes"),
        ("aborts", "signal", "6", "in aborts"),
        ("deafens", "exit_status", "0", ""),
    ];
    for (number, (tool, fact, value, words)) in cases.iter().enumerate() {
        let died = why(answer(&mut calls, tool, "{}").await);
        assert_eq!((died.reason(), died.fact("ran")), ("WORKER_DIED", "maybe"), "{tool}: {died:?}");
        assert_eq!(died.status.code(), tonic::Code::Internal);
        assert_eq!(died.fact(fact), *value, "{tool}: {died:?}");
        assert_eq!(died.fact("worker"), format!("0.{}", number + 1));
        assert!(died.evidence().contains(words), "{tool}: {died:?}");
        assert!(!died.may_retry(), "it may have had effects");
        answer(&mut calls, "who", "{}").await.unwrap();
    }
}

#[tokio::test]
async fn a_forked_child_does_not_speak_for_its_parent() {
    let arena = Arena::prepare("forked-child").unwrap();
    let daemon = serving(&arena, "endings", 1);
    let mut calls = connect(&daemon).await.unwrap();
    let pid = answer(&mut calls, "who", "{}").await.unwrap();
    for _ in 0..5 {
        assert_eq!(answer(&mut calls, "forks", "{}").await.unwrap(), pid);
    }
    assert_eq!(lives(&daemon), ["0.1"], "a second answer would have ended the worker");
}

#[tokio::test]
async fn threads_that_are_left_behind_hinder_neither_calls_nor_the_stop() {
    let arena = Arena::prepare("threads").unwrap();
    let daemon = serving(&arena, "endings", 1);
    let mut calls = connect(&daemon).await.unwrap();
    let pid = answer(&mut calls, "who", "{}").await.unwrap();
    answer(&mut calls, "leaves_threads", "{}").await.unwrap();
    assert_eq!(answer(&mut calls, "who", "{}").await.unwrap(), pid);
    drop(calls);
    let asked = Instant::now();
    daemon.send(Signal::TERM).unwrap();
    let (status, log) = daemon.end().unwrap();
    println!("stopped after {:?}", asked.elapsed());
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(arena.records(), Vec::<String>::new());
}

#[tokio::test]
async fn a_flood_of_output_breaks_nothing_even_when_nobody_reads_the_log() {
    let arena = Arena::prepare("floods").unwrap();
    let daemon = serving(&arena, "endings", 2);
    let mut calls = connect(&daemon).await.unwrap();
    let mut other = connect(&daemon).await.unwrap();
    let flood = tokio::spawn(async move { answer(&mut calls, "floods", r#"{"megabytes": 64}"#).await });
    while !flood.is_finished() {
        answer(&mut other, "who", "{}").await.unwrap();
    }
    assert_eq!(flood.await.unwrap().unwrap(), "\"dry\"");
    let peak = sidewinder_tests::procfs::peak_resident(daemon.pid()).unwrap();
    println!("64 MiB were printed, the daemon had {} MiB", peak >> 20);
    assert!(peak < 64 << 20, "the daemon keeps what is printed: {peak} bytes");
}

#[tokio::test]
async fn a_generator_that_raises_in_the_middle_gives_its_items_first() {
    let arena = Arena::prepare("middle").unwrap();
    let daemon = serving(&arena, "endings", 1);
    let mut calls = connect(&daemon).await.unwrap();
    let mut items = calls.stream(ask("breaks_off", "{}")).await.unwrap().into_inner();
    for expected in ["1", "2"] {
        assert_eq!(text(items.message().await.unwrap().unwrap().value), expected);
    }
    let raised = why(items.message().await);
    assert_eq!((raised.reason(), raised.fact("exception")), ("RAISED", "ValueError"));
    assert!(raised.evidence().contains("in breaks_off"), "{raised:?}");
    let whole = why(answer(&mut calls, "breaks_off", "{}").await);
    assert_eq!(whole.fact("exception"), "ValueError", "half a list is no answer");
    assert_eq!(lives(&daemon), ["0.1"]);
}

#[tokio::test]
async fn a_generator_that_does_not_let_itself_be_closed_frees_its_seat() {
    let arena = Arena::prepare("clings").unwrap();
    let daemon = serving(&arena, "endings", 1);
    let mut calls = connect(&daemon).await.unwrap();
    let mut items = calls.stream(ask("clings", "{}")).await.unwrap().into_inner();
    for _ in 0..100 {
        items.message().await.unwrap().unwrap();
    }
    drop(items);
    until_idle(&daemon).await;
    assert_eq!(lives(&daemon), ["0.1"], "the worker gave up the call and lives");
    answer(&mut calls, "who", "{}").await.unwrap();
}

#[tokio::test]
async fn an_async_tool_that_never_awaits_is_interrupted_at_its_deadline() {
    let arena = Arena::prepare("spins").unwrap();
    let daemon = serving(&arena, "tasks", 1);
    let mut calls = connect(&daemon).await.unwrap();
    let pid = answer(&mut calls, "who", "{}").await.unwrap();
    let mut request = tonic::Request::new(ask("spins", "{}"));
    request.metadata_mut().insert("grpc-timeout", "200m".parse().unwrap());
    let late = why(calls.call(request).await);
    assert_eq!(late.reason(), "DEADLINE_EXCEEDED", "{late:?}");
    assert_eq!(answer(&mut calls, "who", "{}").await.unwrap(), pid, "the worker gave up the call and lives");
}
