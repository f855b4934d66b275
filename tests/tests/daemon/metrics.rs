//! The figures: fetched as Prometheus fetches them, parsed strictly, and compared with what was done.

use super::presence::{Attached, Events, Process, brief, hello};
use super::{answer, refusal};
use rustix::process::Signal;
use sidewinder_proto::v1::Happening;
use sidewinder_tests::arena::{Arena, tests};
use sidewinder_tests::daemon::Daemon;
use sidewinder_tests::exposition::{Exposition, parse};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const ARGUMENTS: [&str; 6] = ["--tools", "plain,loud", "--workers", "1", "--prometheus", "127.0.0.1:0"];

/// A daemon, and where its figures are.
fn measured(arena: &Arena) -> (Daemon<'_>, String) {
    let mut daemon = Daemon::start(arena, &ARGUMENTS).unwrap();
    let said = daemon.ask("logs", &[]).unwrap().stdout;
    let (_, rest) = said.split_once("metrics are at http://").expect("an address");
    let address = rest.split_once("/metrics").expect("a path").0.to_owned();
    answer(&daemon, "who", "{}");
    daemon.log_until("WORKER_READY").unwrap();
    (daemon, address)
}

/// One request, as it is written; returns all that comes back.
fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn scrape(address: &str) -> Exposition {
    let text = ask(address, "GET /metrics HTTP/1.1\r\nHost: me\r\n\r\n");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.to_lowercase().contains("content-type: text/plain; version=0.0.4"), "{head}");
    parse(body).unwrap_or_else(|problem| panic!("{problem}: {body}"))
}

#[test]
fn what_was_done_is_what_is_counted() {
    let arena = Arena::prepare("counted").unwrap();
    let (daemon, address) = measured(&arena);
    for _ in 0..3 {
        answer(&daemon, "add", r#"{"a": 1}"#);
    }
    refusal(&daemon, &["nothing", "{}"]);
    refusal(&daemon, &["fail", r#"{"message": "no"}"#]);
    refusal(&daemon, &["sleep", r#"{"seconds": 1000}"#, "--timeout", "100ms"]);
    refusal(&daemon, &["leave", r#"{"status": 7}"#]);
    answer(&daemon, "flood", r#"{"lines": 50000}"#);
    refusal(&daemon, &["leave", r#"{"status": 7}"#]);
    answer(&daemon, "add", r#"{"a": 1}"#);
    let found = scrape(&address);
    let calls = |tool, outcome| {
        let labels = [("pool", "default"), ("tool", tool), ("outcome", outcome)];
        found.value("sidewinder_calls_total", &labels)
    };
    assert_eq!(calls("add", "OK"), Some(4.0));
    assert_eq!(calls("_OTHER", "UNKNOWN_TOOL"), Some(1.0));
    assert_eq!(calls("fail", "RAISED"), Some(1.0));
    assert_eq!(calls("leave", "WORKER_DIED"), Some(2.0));
    // The client gives up at its deadline, too: whoever is first says how it ended.
    let late = ["DEADLINE_EXCEEDED", "CANCELLED"].map(|outcome| calls("sleep", outcome).unwrap_or_default());
    assert!((late[0] + late[1] - 1.0).abs() < f64::EPSILON, "{late:?}");
    let ran = [("pool", "default"), ("tool", "add")];
    assert_eq!(found.value("sidewinder_call_duration_seconds_count", &ran), Some(4.0));
    assert_eq!(
        found.value("sidewinder_worker_exits_total", &[("pool", "default"), ("cause", "exit")]),
        Some(2.0)
    );
    let restarts = found.value("sidewinder_worker_restarts_total", &[("pool", "default"), ("cause", "exit")]);
    assert_eq!(restarts, Some(2.0));
    let started = found.value("sidewinder_worker_startup_duration_seconds_count", &[("pool", "default")]);
    assert_eq!(started, Some(3.0));
    let state = |state| found.value("sidewinder_workers", &[("pool", "default"), ("state", state)]);
    assert_eq!((state("RUNNING"), state("FATAL")), (Some(1.0), Some(0.0)));
    assert_eq!(found.value("sidewinder_events_total", &[("what", "WORKER_GONE")]), Some(2.0));
    assert!(found.value("sidewinder_connection_accepted_total", &[]).unwrap() >= 10.0);
    assert_eq!(found.families(), documented());
}

/// Who holds a lease, and how leases have ended.
#[tokio::test]
async fn clients_are_counted_by_how_they_came_and_went() {
    let arena = Arena::prepare("counted-clients").unwrap();
    let (daemon, address) = measured(&arena);
    let mut events = Events::of(&daemon).await;
    let of = |name: &str, label: &str, value: &str| scrape(&address).value(name, &[(label, value)]);
    let clients = || scrape(&address).value("sidewinder_clients", &[]);
    let ended = |cause: &str| of("sidewinder_leases_ended_total", "cause", cause);
    assert_eq!(
        (clients(), ended("left"), ended("dead"), ended("silent")),
        (Some(0.0), Some(0.0), Some(0.0), Some(0.0))
    );
    let first = Attached::to(&daemon, hello("app", "1")).await.unwrap();
    let again = Attached::to(&daemon, hello("app", "1")).await.unwrap();
    let mut process = Process::attach(&daemon, &["--name", "victim", "--ttl", "5m"]);
    process.kill();
    events.next(&[Happening::ClientDied]).await;
    let _silent = Attached::to(&daemon, brief("silent", "1", 500)).await.unwrap();
    events.next(&[Happening::ClientExpired]).await;
    assert_eq!(clients(), Some(1.0));
    drop(first);
    again.detach().await;
    assert_eq!(
        (clients(), ended("left"), ended("dead"), ended("silent")),
        (Some(0.0), Some(1.0), Some(1.0), Some(1.0))
    );
    let granted = |how: &str| of("sidewinder_leases_granted_total", "how", how);
    assert_eq!((granted("new"), granted("back")), (Some(3.0), Some(1.0)));
}

/// The metrics that docs/telemetry.md names, as Prometheus sees them.
fn documented() -> BTreeSet<String> {
    let text = std::fs::read_to_string(tests().join("../docs/telemetry.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `sidewinder."));
    rows.map(|row| row.split('`').nth(3).expect("a second column").to_owned()).collect()
}

#[test]
fn only_the_figures_are_served_and_nobody_holds_them_up() {
    let arena = Arena::prepare("endpoint").unwrap();
    let (daemon, address) = measured(&arena);
    let cases = [
        ("GET / HTTP/1.1\r\nHost: me\r\n\r\n", "HTTP/1.1 404"),
        ("POST /metrics HTTP/1.1\r\nHost: me\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 405"),
        ("HEAD /metrics HTTP/1.1\r\nHost: me\r\n\r\n", "HTTP/1.1 200"),
        ("nonsense\r\n\r\n", "HTTP/1.1 400"),
    ];
    for (request, expected) in cases {
        let said = ask(&address, request);
        assert!(said.starts_with(expected), "{request}: {said}");
    }
    let head = format!("GET /metrics HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(64 << 10));
    let mut stream = TcpStream::connect(&address).unwrap();
    let _ = stream.write_all(head.as_bytes());
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    assert!(!said.starts_with(b"HTTP/1.1 200"), "a head of 64 KiB was read");
    // As many silent clients as there is room for are hung up on, and then others get their turn.
    let _silent: Vec<_> = (0..8).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let asked = Instant::now();
    scrape(&address);
    assert!(asked.elapsed() < Duration::from_secs(30), "{:?}", asked.elapsed());
    daemon.send(Signal::TERM).unwrap();
    assert_eq!(daemon.end().unwrap().0.code(), Some(0));
}

#[test]
fn a_public_address_has_to_be_asked_for() {
    let arena = Arena::prepare("public").unwrap();
    let refused = Daemon::start(&arena, &["--tools", "plain", "--prometheus", "0.0.0.0:0"]).map(drop);
    assert!(refused.unwrap_err().to_string().contains("other machines can reach 0.0.0.0:0"));
}

#[test]
fn a_receiver_that_is_away_costs_one_line_for_metrics_and_one_for_spans() {
    let arena = Arena::prepare("away").unwrap();
    let arguments =
        ["--tools", "plain", "--workers", "1", "--otlp", "http://127.0.0.1:1", "--otlp-interval", "50ms"];
    let mut daemon = Daemon::start(&arena, &arguments).unwrap();
    daemon.log_until("metrics cannot be sent to http://127.0.0.1:1").unwrap();
    for _ in 0..5 {
        answer(&daemon, "add", r#"{"a": 1}"#);
    }
    daemon.log_until("spans cannot be sent to http://127.0.0.1:1").unwrap();
    answer(&daemon, "add", r#"{"a": 1}"#);
    let asked = Instant::now();
    daemon.send(Signal::TERM).unwrap();
    let (status, log) = daemon.end().unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("cannot be sent"), "it was said twice: {log}");
    assert!(asked.elapsed() < Duration::from_secs(10), "the receiver held the stop: {:?}", asked.elapsed());
}
