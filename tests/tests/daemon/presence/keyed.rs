//! Calls with a key: run once, joined, and found again by a client that comes back.

use super::{Attached, Events, Process, brief, hello, list, soon};
use sidewinder_proto::v1::{Call, CallRequest, CallResponse, Happening, OnAbandon, ResultRequest};
use sidewinder_tests::arena::Arena;
use sidewinder_tests::client::{Why, call, connect, connect_to_hang_up, text, with};
use sidewinder_tests::daemon::Daemon;
use std::net::Shutdown;
use std::path::Path;
use std::time::{Duration, Instant};

fn keyed(call: Call, key: &str) -> Call {
    Call { idempotency_key: key.to_owned(), ..call }
}

/// A call that waits for the gate, signs, and tells how often somebody has signed.
fn signing(call: Call, arena: &Arena) -> CallRequest {
    let (gate, file) = (arena.file("gate"), arena.file("signed"));
    with(call, &format!(r#"{{"gate": "{}", "file": "{}"}}"#, gate.display(), file.display()))
}

fn open(gate: &Path) {
    std::fs::write(gate, "").expect("a gate");
}

fn signatures(arena: &Arena) -> usize {
    std::fs::read_to_string(arena.file("signed")).unwrap_or_default().lines().count()
}

fn ask(name: &str, key: &str) -> ResultRequest {
    ResultRequest { idempotency_key: key.to_owned(), name: name.to_owned(), ..ResultRequest::default() }
}

async fn runs(daemon: &Daemon<'_>) {
    soon("the call runs", || daemon.status().unwrap()["pools"][0]["running"] == 1).await;
}

#[tokio::test]
async fn a_key_that_runs_is_joined_and_its_answer_is_given_again() {
    let arena = Arena::prepare("joined").unwrap();
    let daemon = Daemon::start(&arena, &["--tools", "orders", "--workers", "2"]).unwrap();
    let request = || signing(keyed(call("once"), "k"), &arena);
    let mut calls = connect(&daemon).await.unwrap();
    let mut other = connect(&daemon).await.unwrap();
    let first = tokio::spawn({
        let request = request();
        async move { calls.call(request).await }
    });
    runs(&daemon).await;
    let second = tokio::spawn({
        let request = request();
        async move { other.call(request).await }
    });
    let mut third = connect(&daemon).await.unwrap();
    // A stream cannot join, and while the call runs it does not run beside it.
    let why = Why::of(third.stream(request()).await.expect_err("it is refused"));
    assert_eq!((why.reason(), why.fact("ran")), ("KEY_RUNNING", "no"));
    let why = Why::of(third.call(with(keyed(call("who"), "k"), "{}")).await.unwrap_err());
    assert_eq!((why.reason(), why.fact("field")), ("BAD_REQUEST", "call.idempotency_key"));
    open(&arena.file("gate"));
    for answer in [first.await.unwrap(), second.await.unwrap(), third.call(request()).await] {
        assert_eq!(text(answer.unwrap().into_inner().value), "1");
    }
    let kept = third.result(ask("", "k")).await.unwrap().into_inner();
    assert_eq!(text(kept.value), "1");
    assert_eq!(signatures(&arena), 1, "it ran once");
    assert_eq!(Why::of(third.result(ask("", "other")).await.unwrap_err()).reason(), "UNKNOWN_KEY");
    assert_eq!(Why::of(third.result(ask("somebody", "k")).await.unwrap_err()).reason(), "UNKNOWN_KEY");
}

/// The client is killed in mid-call. The call was told to finish, does, and the next run of the client finds it.
#[tokio::test]
async fn a_client_that_was_killed_finds_the_ending_when_it_comes_back() {
    let arena = Arena::prepare("found").unwrap();
    let daemon = Daemon::start(&arena, &["--tools", "orders", "--workers", "1"]).unwrap();
    let mut events = Events::of(&daemon).await;
    let client = Attached::to(&daemon, hello("app", "run-1")).await.unwrap();
    let (mut calls, connection) = connect_to_hang_up(&daemon).await.unwrap();
    // Nothing is said of abandonment: in this mode the calls of a client that is lost go on.
    let request = signing(keyed(client.call("once"), "train"), &arena);
    let run = tokio::spawn(async move { calls.call(request).await });
    runs(&daemon).await;
    connection.shutdown(Shutdown::Both).unwrap();
    run.await.unwrap().unwrap_err();
    client.detach().await;
    events.next(&[Happening::ClientDetached]).await;

    let again = Attached::to(&daemon, hello("app", "run-2")).await.unwrap();
    let mut calls = connect(&daemon).await.unwrap();
    let (lease, epoch) = (again.granted.lease.clone(), again.granted.epoch);
    let asked = ResultRequest { lease, epoch, ..ask("", "train") };
    let asking = tokio::spawn(async move { calls.result(asked).await });
    open(&arena.file("gate"));
    assert_eq!(text(asking.await.unwrap().unwrap().into_inner().value), "1");
    let mut calls = connect(&daemon).await.unwrap();
    let answer = calls.call(signing(keyed(again.call("once"), "train"), &arena)).await.unwrap();
    assert_eq!(text(answer.into_inner().value), "1");
    assert_eq!(signatures(&arena), 1, "it ran once");
}

/// A client hangs up on one call, and lives: it does not want that any more, whatever the mode says of lost clients.
#[tokio::test]
async fn a_call_that_its_living_client_hangs_up_on_is_given_up() {
    let arena = Arena::prepare("hung-up").unwrap();
    let daemon = Daemon::start(&arena, &["--tools", "orders", "--workers", "1"]).unwrap();
    let client = Attached::to(&daemon, hello("app", "1")).await.unwrap();
    for call in [client.call("once"), keyed(client.call("once"), "k")] {
        let calls = connect(&daemon).await.unwrap();
        let request = signing(call, &arena);
        // Its connection lives on.
        let mut same = calls.clone();
        let run = tokio::spawn(async move { same.call(request).await });
        runs(&daemon).await;
        run.abort();
        soon("the worker is free", || daemon.status().unwrap()["pools"][0]["running"] == 0).await;
        drop(calls);
    }
    let mut calls = connect(&daemon).await.unwrap();
    assert_eq!(Why::of(calls.result(ask("app", "k")).await.unwrap_err()).reason(), "UNKNOWN_KEY");
    assert_eq!(signatures(&arena), 0);
}

/// Its tool does not give up at once, and until it has nobody runs the same beside it.
#[tokio::test]
async fn a_key_that_is_given_up_is_taken_until_its_tool_has_ended() {
    let arena = Arena::prepare("clings").unwrap();
    let daemon = Daemon::start(&arena, &["--tools", "orders", "--workers", "2"]).unwrap();
    super::super::orders::are_ready(&daemon, 2);
    let clinging = || {
        let (gate, file) = (arena.file("gate"), arena.file("signed"));
        let arguments = format!(r#"{{"gate": "{}", "file": "{}"}}"#, gate.display(), file.display());
        with(keyed(call("cling"), "k"), &arguments)
    };
    let calls = connect(&daemon).await.unwrap();
    let mut same = calls.clone();
    let request = clinging();
    let run = tokio::spawn(async move { same.call(request).await });
    soon("it has signed", || signatures(&arena) == 1).await;
    run.abort();
    let _ = run.await;
    let mut other = connect(&daemon).await.unwrap();
    soon("it was given up", || daemon.status().unwrap()["pools"][0]["running"] == 0).await;
    for _ in 0..3 {
        let refused = Why::of(other.call(clinging()).await.unwrap_err());
        assert_eq!((refused.reason(), refused.fact("ran")), ("KEY_RUNNING", "no"));
    }
    assert_eq!(signatures(&arena), 1, "nothing ran beside it");
    open(&arena.file("gate"));
    let mut again = connect(&daemon).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(refused) = again.call(clinging()).await {
        assert_eq!(Why::of(refused).reason(), "KEY_RUNNING");
        assert!(Instant::now() < deadline, "the key is never free");
    }
    let signed = std::fs::read_to_string(arena.file("signed")).unwrap();
    assert_eq!(signed.lines().collect::<Vec<_>>(), ["in", "out", "in", "out"]);
}

/// Each waits for as long as it wants to, and the call runs for as long as anybody does.
#[tokio::test]
async fn whoever_joins_has_a_deadline_of_its_own() {
    let arena = Arena::prepare("own-deadline").unwrap();
    let daemon = Daemon::start(&arena, &["--tools", "orders", "--workers", "1"]).unwrap();
    #[expect(clippy::async_yields_async, reason = "the call is waited for later")]
    let wait = |key: &'static str, within: Option<u64>| {
        let (daemon, arena) = (&daemon, &arena);
        async move {
            let mut calls = connect(daemon).await.unwrap();
            let cancel = Call { on_abandon: OnAbandon::Cancel.into(), ..keyed(call("once"), key) };
            let mut request = tonic::Request::new(signing(cancel, arena));
            within.into_iter().for_each(|within| request.set_timeout(Duration::from_millis(within)));
            tokio::spawn(async move { calls.call(request).await })
        }
    };
    let late = async |waiting: tokio::task::JoinHandle<Result<_, tonic::Status>>| {
        let why = Why::of(waiting.await.unwrap().map(|_: tonic::Response<CallResponse>| ()).unwrap_err());
        assert_eq!((why.reason(), why.fact("ran")), ("DEADLINE_EXCEEDED", "maybe"));
    };
    // The first one is impatient, or the second one is: the other one has the answer.
    for (key, first, second) in [("a", Some(3_000), None), ("b", None, Some(3_000))] {
        let first = (first.is_some(), wait(key, first).await);
        runs(&daemon).await;
        let second = (second.is_some(), wait(key, second).await);
        let (impatient, patient) = if first.0 { (first.1, second.1) } else { (second.1, first.1) };
        late(impatient).await;
        assert_eq!(daemon.status().unwrap()["pools"][0]["running"], 1, "somebody waits");
        open(&arena.file("gate"));
        let answer = text(patient.await.unwrap().unwrap().into_inner().value);
        assert_eq!(answer, signatures(&arena).to_string());
        std::fs::remove_file(arena.file("gate")).unwrap();
    }
    assert_eq!(signatures(&arena), 2, "each ran once");
    // Nobody waits any more: it was to be cancelled then.
    let first = wait("c", Some(3_000)).await;
    runs(&daemon).await;
    let second = wait("c", Some(5_000)).await;
    late(first).await;
    assert_eq!(daemon.status().unwrap()["pools"][0]["running"], 1, "somebody waits");
    late(second).await;
    soon("its worker is free", || daemon.status().unwrap()["pools"][0]["running"] == 0).await;
    assert_eq!(signatures(&arena), 2);
}

#[tokio::test]
async fn what_a_tool_raised_is_its_answer_and_a_death_is_told_and_run_again() {
    let arena = Arena::prepare("raised").unwrap();
    let daemon = Daemon::start(&arena, &["--tools", "orders", "--workers", "1"]).unwrap();
    let mut calls = connect(&daemon).await.unwrap();
    let missing = || with(keyed(call("sign"), "raised"), r#"{"name": "x", "file": "/no/such/place"}"#);
    for _ in 0..2 {
        assert_eq!(Why::of(calls.call(missing()).await.unwrap_err()).reason(), "RAISED");
    }
    assert_eq!(Why::of(calls.result(ask("", "raised")).await.unwrap_err()).reason(), "RAISED");
    open(&arena.file("gate"));
    let deadly = || {
        let gate = arena.file("gate");
        with(keyed(call("die"), "deadly"), &format!(r#"{{"gate": "{}"}}"#, gate.display()))
    };
    assert_eq!(Why::of(calls.call(deadly()).await.unwrap_err()).reason(), "WORKER_DIED");
    assert_eq!(Why::of(calls.result(ask("", "deadly")).await.unwrap_err()).reason(), "WORKER_DIED");
    assert_eq!(Why::of(calls.call(deadly()).await.unwrap_err()).reason(), "WORKER_DIED");
    assert_eq!(
        Why::of(calls.call(deadly()).await.unwrap_err()).reason(),
        "QUARANTINED",
        "it ran twice, and no more"
    );
}

/// The lease of a killed client ends, and with it its calls: by default they go on here, and not where that was said.
#[tokio::test]
async fn the_end_of_a_lease_is_the_end_of_calls_that_were_to_be_cancelled() {
    let arena = Arena::prepare("lease-calls").unwrap();
    let daemon = Daemon::start(&arena, &["--tools", "orders", "--workers", "2"]).unwrap();
    super::super::orders::are_ready(&daemon, 2);
    let mut process = Process::attach(&daemon, &["--name", "app", "--ttl", "5m"]);
    let lease = list(&daemon)["clients"][0]["lease"].as_str().unwrap().to_owned();
    let epoch = list(&daemon)["clients"][0]["epoch"].as_u64().unwrap();
    let mut runs = Vec::new();
    for on_abandon in [OnAbandon::Unspecified, OnAbandon::Cancel] {
        let call = Call { lease: lease.clone(), epoch, on_abandon: on_abandon.into(), ..call("once") };
        let request = signing(call, &arena);
        let mut calls = connect(&daemon).await.unwrap();
        runs.push(tokio::spawn(async move { calls.call(request).await }));
    }
    soon("both run", || daemon.status().unwrap()["pools"][0]["running"] == 2).await;
    assert_eq!(list(&daemon)["clients"][0]["calls"], 2);
    process.kill();
    for run in runs {
        let why = Why::of(run.await.unwrap().unwrap_err());
        assert_eq!((why.reason(), why.fact("ran")), ("LEASE_EXPIRED", "maybe"));
    }
    soon("one was given up", || daemon.status().unwrap()["pools"][0]["running"] == 1).await;
    open(&arena.file("gate"));
    soon("the other one has signed", || signatures(&arena) == 1).await;
    soon("and ended", || daemon.status().unwrap()["pools"][0]["running"] == 0).await;
    assert_eq!(signatures(&arena), 1);
}

/// A stream that goes on without its client keeps its key: nobody runs it a second time beside it.
#[tokio::test]
async fn a_stream_that_outlives_its_client_keeps_its_key() {
    let arena = Arena::prepare("keyed-stream").unwrap();
    let daemon = Daemon::start(&arena, &["--tools", "orders", "--workers", "2"]).unwrap();
    super::super::orders::are_ready(&daemon, 2);
    let (mut calls, connection) = connect_to_hang_up(&daemon).await.unwrap();
    let finishing = |call: Call| Call { on_abandon: OnAbandon::Finish.into(), ..keyed(call, "k") };
    let request = signing(finishing(call("once")), &arena);
    let run = tokio::spawn(async move { calls.stream(request).await.map(|_| ()) });
    runs(&daemon).await;
    connection.shutdown(Shutdown::Both).unwrap();
    let _ = run.await.unwrap();
    let mut again = connect(&daemon).await.unwrap();
    for _ in 0..3 {
        let refused = again.call(signing(finishing(call("once")), &arena)).await.unwrap_err();
        assert_eq!(Why::of(refused).reason(), "KEY_RUNNING");
    }
    open(&arena.file("gate"));
    soon("it has ended", || daemon.status().unwrap()["pools"][0]["running"] == 0).await;
    assert_eq!(signatures(&arena), 1);
    let mut free = connect(&daemon).await.unwrap();
    free.call(signing(keyed(call("once"), "k"), &arena)).await.unwrap();
    // An answer that is kept is not lost to a stream.
    let refused = free.stream(signing(keyed(call("once"), "k"), &arena)).await.unwrap_err();
    assert_eq!(Why::of(refused).fact("field"), "call.idempotency_key");
}

/// While it drains nobody can beat, and no call is lost for that.
#[tokio::test]
async fn a_drain_longer_than_a_lease_loses_no_call() {
    let arena = Arena::prepare("drain-lease").unwrap();
    let daemon = Daemon::start(&arena, &["--tools", "orders", "--workers", "1"]).unwrap();
    let client = Attached::to(&daemon, brief("app", "1", 3_000)).await.unwrap();
    let mut calls = connect(&daemon).await.unwrap();
    let request = with(client.call("nap"), r#"{"seconds": 6.5, "name": "whole"}"#);
    let run = tokio::spawn(async move { calls.call(request).await });
    runs(&daemon).await;
    client.beat(1).await;
    daemon.send(rustix::process::Signal::TERM).unwrap();
    assert_eq!(text(run.await.unwrap().unwrap().into_inner().value), "\"whole\"");
    assert!(daemon.end().unwrap().0.success());
}

/// A call that waited when its lease ended may run all the same, so nobody is told that it is safe to try again.
#[tokio::test]
async fn the_end_of_a_lease_is_no_promise_that_a_waiting_call_never_runs() {
    let arena = Arena::prepare("lease-waiting").unwrap();
    let daemon = Daemon::start(&arena, &["--tools", "orders", "--workers", "1"]).unwrap();
    let holds = with(call("hold"), &format!(r#"{{"gate": "{}"}}"#, arena.file("gate").display()));
    let mut other = connect(&daemon).await.unwrap();
    let held = tokio::spawn(async move { other.call(holds).await });
    runs(&daemon).await;
    let client = Attached::to(&daemon, brief("app", "1", 500)).await.unwrap();
    let mut calls = connect(&daemon).await.unwrap();
    let call = Call { on_abandon: OnAbandon::Finish.into(), ..client.call("once") };
    let why = Why::of(calls.call(signing(call, &arena)).await.unwrap_err());
    assert_eq!((why.reason(), why.fact("ran")), ("LEASE_EXPIRED", "maybe"));
    open(&arena.file("gate"));
    held.await.unwrap().unwrap();
    soon("it ran", || signatures(&arena) == 1).await;
}

/// A stream whose reader takes nothing is asked for nothing, and its call ends with the lease all the same.
#[tokio::test]
async fn a_stream_that_nobody_reads_ends_with_its_lease() {
    let arena = Arena::prepare("unread").unwrap();
    let daemon = Daemon::start(&arena, &["--tools", "orders", "--workers", "1"]).unwrap();
    let client = Attached::to(&daemon, hello("app", "1")).await.unwrap();
    let mut calls = connect(&daemon).await.unwrap();
    let cancel = Call { on_abandon: OnAbandon::Cancel.into(), ..client.call("pour") };
    let unread = calls.stream(with(cancel, r#"{"size": 100000}"#)).await.unwrap();
    runs(&daemon).await;
    client.detach().await;
    soon("its worker is free", || daemon.status().unwrap()["pools"][0]["running"] == 0).await;
    drop(unread);
}

/// What is kept is kept for as long as the settings say, and no more of it than they say.
#[tokio::test]
async fn endings_are_kept_within_bounds_of_time_and_size() {
    for (variable, bound, newest) in
        [("SIDEWINDER_ENDINGS_KEEP", "2s", false), ("SIDEWINDER_ENDINGS_BYTES", "64KiB", true)]
    {
        let arena = Arena::prepare("bounded-endings").unwrap();
        let daemon = Daemon::start_with(&arena, &["--tools", "values", "--workers", "1"], |command| {
            command.env(variable, bound);
        })
        .unwrap();
        let mut calls = connect(&daemon).await.unwrap();
        let client = Attached::to(&daemon, brief("app", "1", 300_000)).await.unwrap();
        let say = |key: &str, text: &str| {
            with(keyed(client.call("same"), key), &format!(r#"{{"value": "{text}"}}"#))
        };
        calls.call(say("first", "small")).await.unwrap();
        assert!(calls.result(ask("app", "first")).await.is_ok(), "{variable}");
        // Larger than all of them may be together, where that is what bounds them.
        for number in 0..3 {
            calls.call(say(&format!("large-{number}"), &"x".repeat(30_000))).await.unwrap();
        }
        let patience = Instant::now() + Duration::from_secs(20);
        let mut found = async |key: &str| match calls.result(ask("app", key)).await {
            Ok(_) => true,
            Err(status) => {
                assert_eq!(Why::of(status).reason(), "UNKNOWN_KEY");
                false
            }
        };
        while found("first").await || (!newest && found("large-2").await) {
            assert!(Instant::now() < patience, "kept for ever in spite of {variable}={bound}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(found("large-2").await, newest, "the oldest go first");
    }
}
