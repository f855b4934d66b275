//! Questions that cannot be answered, and daemons whose workers do not come up.

use super::{lives, serving, until, why};
use sidewinder_proto::v1::{Affinity, Call, CallRequest};
use sidewinder_tests::arena::Arena;
use sidewinder_tests::client::{RAW, Why, answer, ask, call, connect, payload, with};
use sidewinder_tests::daemon::{Daemon, hostile};
use tonic::Code;

#[tokio::test]
async fn each_bad_question_is_refused_with_its_reason_and_costs_no_worker() {
    let arena = Arena::prepare("questions").unwrap();
    let daemon = serving(&arena, "plain", 1);
    let mut calls = connect(&daemon).await.unwrap();
    let elsewhere = Call { pool: "elsewhere".to_owned(), ..call("add") };
    let keyless = Call { affinity: Some(Affinity::default()), ..call("add") };
    let cases = [
        (CallRequest::default(), "BAD_REQUEST", Code::InvalidArgument, "call"),
        (ask("", "{}"), "BAD_REQUEST", Code::InvalidArgument, "ListTools"),
        (with(elsewhere, "{}"), "UNKNOWN_POOL", Code::NotFound, "there is only default"),
        (with(keyless, "{}"), "BAD_REQUEST", Code::InvalidArgument, "affinity.key"),
        (with(Call { priority: 99, ..call("add") }, "{}"), "BAD_REQUEST", Code::InvalidArgument, "priority"),
        (
            with(Call { on_abandon: 99, ..call("add") }, "{}"),
            "BAD_REQUEST",
            Code::InvalidArgument,
            "on_abandon",
        ),
        (ask("ad", "{}"), "UNKNOWN_TOOL", Code::NotFound, "did you mean add?"),
        (ask("add", r#"{"c": 1}"#), "BAD_ARGUMENTS", Code::InvalidArgument, "unexpected: c"),
        (ask("add", "{}"), "BAD_ARGUMENTS", Code::InvalidArgument, "missing: a (the tool takes a, b?)"),
        (ask("add", "[1, 2, 3]"), "BAD_ARGUMENTS", Code::InvalidArgument, "3 arguments, at most 2"),
        (ask("add", r#""text""#), "BAD_ARGUMENTS", Code::InvalidArgument, "a map or an array"),
        (
            CallRequest { call: Some(call("count")), arguments: Some(payload(RAW, vec![0xff])) },
            "RAISED",
            Code::Unknown,
            "bytes",
        ),
    ];
    for (request, reason, code, words) in cases {
        let refused = why(calls.call(request.clone()).await);
        assert_eq!((refused.reason(), refused.status.code()), (reason, code), "{request:?}: {refused:?}");
        let said = format!("{} {}", refused.status.message(), refused.fact("field"));
        assert!(said.contains(words), "{request:?}: {said}");
        assert_eq!(refused.fact("ran"), if reason == "RAISED" { "maybe" } else { "no" });
        let same = why(calls.stream(request).await.map(drop).and(Err::<(), _>(refused.status.clone())));
        assert_eq!(same.reason(), reason, "as a stream");
    }
    assert_eq!(answer(&mut calls, "add", r#"{"a": 1}"#).await.unwrap(), "3");
    assert_eq!(lives(&daemon), ["0.1"]);
}

/// What a caller learns of a daemon whose workers never come up.
async fn unfit(daemon: &Daemon<'_>) -> Why {
    let mut calls = connect(daemon).await.unwrap();
    // This one waits in the line until the pool has given up.
    let waited = why(answer(&mut calls, "add", "{}").await);
    until("the pool has given up", || daemon.status().unwrap()["pools"][0]["phase"] == "FATAL").await;
    let refused = why(answer(&mut calls, "add", "{}").await);
    for why in [&waited, &refused] {
        assert_eq!((why.reason(), why.fact("ran")), ("UNFIT", "no"), "{why:?}");
        assert_eq!(why.status.code(), Code::FailedPrecondition);
        assert!(!why.may_retry(), "an operator has to act");
    }
    refused
}

#[tokio::test]
async fn tools_that_cannot_be_served_are_what_the_caller_and_the_status_tell() {
    let cases = [
        ("broken", "ModuleNotFoundError", "import_module(\"no_such_module_anywhere\")"),
        ("no_such_module_at_all", "ModuleNotFoundError", ""),
        ("empty", "no function is decorated", ""),
        ("misspelt", "SyntaxError", "misspelt.py"),
        ("unready", "RuntimeError: the model is missing", "in load"),
        ("fatal", "signal 11", "in <module>"),
        ("stillborn", "status 9 before it was ready", "the last words of a stillborn"),
    ];
    for (tools, message, place) in cases {
        let arena = Arena::prepare(&format!("unfit-{tools}")).unwrap();
        // No tool of ours could read this one.
        std::fs::write(arena.file("misspelt.py"), "def add(:\n").unwrap();
        let unfit_tools = sidewinder_tests::daemon::tools().join("unfit");
        let path = format!("{}:{}", unfit_tools.display(), arena.file("").display());
        let python_path = |command: &mut std::process::Command| _ = command.env("PYTHONPATH", path);
        let arguments = ["--tools", tools, "--workers", "1"];
        let daemon = Daemon::start_with(&arena, &arguments, python_path).unwrap();
        let refused = unfit(&daemon).await;
        assert!(refused.status.message().contains(message), "{tools}: {refused:?}");
        assert!(refused.evidence().contains(place), "{tools}: {refused:?}");
        let trouble = daemon.status().unwrap()["pools"][0]["trouble"].as_str().unwrap().to_owned();
        assert!(trouble.contains(message) && trouble.contains(place), "{tools}: {trouble}");
    }
}

#[tokio::test]
async fn a_worker_that_never_comes_up_is_named_with_what_is_wrong_with_it() {
    let arena = Arena::prepare("unfit-program").unwrap();
    let newer = hostile(&arena, "newer").unwrap().display().to_string();
    let cases = [
        ("/no/such/python", "/no/such/python: not found: name an interpreter with --python"),
        ("/dev/null", "/dev/null: Permission denied"),
        ("/bin/false", "status 1 before it was ready"),
        (&newer, "versions 2 to 9"),
    ];
    for (python, message) in cases {
        let arena = Arena::prepare("unfit").unwrap();
        let arguments = ["--tools", "plain", "--workers", "1", "--python", python];
        let daemon = Daemon::start(&arena, &arguments).unwrap();
        let refused = unfit(&daemon).await;
        assert!(refused.status.message().contains(message), "{python}: {refused:?}");
    }
}
