//! The log: what is in it, who can follow it, and that nobody has to read it.

use super::orders::are_ready;
use super::{answer, plain, refusal};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use sidewinder_tests::arena::Arena;
use sidewinder_tests::client::{ask, connect};
use sidewinder_tests::daemon::{Daemon, tools};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

fn loud(arena: &Arena) -> Daemon<'_> {
    Daemon::start(arena, &["--tools", "loud", "--workers", "1"]).unwrap()
}

fn parse(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// What `logs --json` shows.
fn logs(daemon: &Daemon<'_>, arguments: &[&str]) -> Vec<Value> {
    let said = daemon.ask("logs", &[&["--json"], arguments].concat()).unwrap();
    assert_eq!(said.status, 0, "{said:?}");
    said.stdout.lines().map(parse).collect()
}

#[test]
fn a_line_says_who_spoke_and_how() {
    let arena = Arena::prepare("lines").unwrap();
    let mut daemon = loud(&arena);
    answer(&daemon, "note", "{}");
    let mut found = Vec::new();
    while found.len() < 4 {
        let line = parse(&daemon.log_until("\"stream\"").unwrap());
        assert_eq!((&line["pool"], &line["worker"]), (&"default".into(), &"0.1".into()));
        assert!(line["call"].as_u64().is_some(), "{line}");
        found
            .push(["stream", "level", "text"].map(|name| line[name].as_str().unwrap_or_default().to_owned()));
    }
    found.sort();
    let expected = [
        ["log", "INFO", "a note"],
        ["log", "WARN", "a warning"],
        ["stderr", "WARN", "a complaint"],
        ["stdout", "INFO", "a line"],
    ];
    assert_eq!(found, expected.map(|line| line.map(str::to_owned)));
}

/// What is printed comes on a way of its own, and one call follows the other at once.
#[tokio::test]
async fn a_printed_line_belongs_to_the_call_in_which_it_was_printed() {
    const CALLS: usize = 300;
    let arena = Arena::prepare("signed").unwrap();
    let mut daemon = loud(&arena);
    let mut calls = connect(&daemon).await.unwrap();
    for _ in 0..CALLS {
        calls.call(ask("sign", "{}")).await.unwrap();
    }
    for _ in 0..2 * CALLS {
        let line = parse(&daemon.log_until("signed").unwrap());
        assert_eq!(line["text"], format!("signed {}", line["call"]), "{line}");
    }
}

#[test]
fn people_and_debuggers_have_a_log_of_their_own() {
    let arena = Arena::prepare("human").unwrap();
    let arguments = ["--tools", "loud", "--workers", "1", "--log-format", "human", "--log", "debug"];
    let mut daemon = Daemon::start(&arena, &arguments).unwrap();
    answer(&daemon, "note", "{}");
    let line = daemon.log_until("a whisper").unwrap();
    assert!(line.contains("DEBUG default/0.1 call ") && line.ends_with(" log: a whisper\n"), "{line}");
    let wrong = arena.sidewinder("run").args(["--tools", "plain", "--log", "loud"]).output().unwrap();
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("name a level"), "{wrong:?}");
    assert_eq!(wrong.status.code(), Some(125));
}

#[test]
fn a_flood_is_cut_and_the_cut_is_said() {
    let arena = Arena::prepare("flood").unwrap();
    let mut daemon = loud(&arena);
    answer(&daemon, "note", "{}");
    let began = Instant::now();
    assert_eq!(answer(&daemon, "flood", r#"{"lines": 500000}"#), "500000");
    println!("50 MB were printed in {:?}", began.elapsed());
    answer(&daemon, "note", "{}");
    // The budget is a burst of 1 MiB, and 64 KiB for each second that the flood took.
    let most = ((1 << 20) + (64 << 10) * (began.elapsed().as_secs() + 2)) / 100;
    daemon.log_until("a note").unwrap();
    daemon.send(Signal::TERM).unwrap();
    let (_, log) = daemon.end().unwrap();
    let lines: Vec<_> = log.lines().map(parse).collect();
    let flood = lines.iter().filter(|line| line["text"].as_str().unwrap().starts_with("xxx")).count();
    let dropped: u64 = lines.iter().filter_map(|line| line["dropped"].as_str()?.parse::<u64>().ok()).sum();
    assert!(flood as u64 <= most, "{flood} lines of the flood were logged, not {most}");
    // What was printed after the flood may be among what was dropped.
    assert!((500_000..500_010).contains(&(flood as u64 + dropped)), "{flood} logged, {dropped} dropped");
}

#[test]
fn a_log_that_nobody_reads_stops_nobody() {
    let arena = Arena::prepare("unread").unwrap();
    let mut command = arena.sidewinder("run");
    command.args(["--tools", "loud", "--workers", "2"]).current_dir(tools());
    let mut daemon = command.env("PYTHONDONTWRITEBYTECODE", "1").stderr(Stdio::piped()).spawn().unwrap();
    let call = |tool: &str, arguments: &str| {
        arena.sidewinder("call").args([tool, arguments]).output().unwrap().status.code()
    };
    let patience = Instant::now() + Duration::from_mins(1);
    while call("note", "{}") != Some(0) {
        assert!(Instant::now() < patience, "the daemon does not come up");
    }
    // More than a pipe takes, and more than the queue for whoever writes it.
    for _ in 0..8 {
        assert_eq!(call("flood", r#"{"lines": 100000}"#), Some(0));
    }
    assert_eq!(call("note", "{}"), Some(0));
    let pid = Pid::from_raw(i32::try_from(daemon.id()).unwrap()).unwrap();
    let asked = Instant::now();
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(daemon.wait().unwrap().code(), Some(0));
    println!("stopped after {:?}", asked.elapsed());
    assert!(asked.elapsed() < Duration::from_secs(10), "the unread log held the stop: {:?}", asked.elapsed());
}

#[test]
fn the_log_is_remembered_filtered_and_followed() {
    let arena = Arena::prepare("remembered").unwrap();
    let daemon = loud(&arena);
    answer(&daemon, "note", "{}");
    let mut follower = daemon.verb("logs", &["-f", "--json", "--worker", "0"]);
    let mut follower = follower.stdout(Stdio::piped()).spawn().unwrap();
    let mut shown = BufReader::new(follower.stdout.take().unwrap()).lines().map(|line| parse(&line.unwrap()));
    let mut until = |text: &str| shown.find(|line| line["text"] == text).expect("a line");
    let first = until("a note")["sequence"].as_u64().unwrap();
    answer(&daemon, "note", "{}");
    assert!(until("a note")["sequence"].as_u64().unwrap() > first);
    assert!(logs(&daemon, &[]).iter().any(|line| line["text"].as_str().unwrap().starts_with("listens on")));
    assert_eq!(logs(&daemon, &["--tail", "2"]).len(), 2);
    assert_eq!(logs(&daemon, &["--pool", "other"]), Vec::<Value>::new());
    assert_eq!(logs(&daemon, &["--worker", "0.2"]), Vec::<Value>::new());
    assert!(logs(&daemon, &["--worker", "0.1"]).iter().all(|line| line["worker"] == "0.1"));
    assert!(refusal_of(&daemon).contains("be a slot, or a worker"));
    // A follower is no reason to wait, and the stop is no failure of its own.
    daemon.send(Signal::TERM).unwrap();
    assert_eq!(follower.wait().unwrap().code(), Some(0));
    assert_eq!(daemon.end().unwrap().0.code(), Some(0));
}

fn refusal_of(daemon: &Daemon<'_>) -> String {
    let said = daemon.ask("logs", &["--worker", "nobody"]).unwrap();
    assert_eq!(said.status, 1, "{said:?}");
    said.stderr
}

#[test]
fn events_are_shown_as_they_happen() {
    let arena = Arena::prepare("events").unwrap();
    let daemon = plain(&arena);
    answer(&daemon, "who", "{}");
    for words in [&["logs", "--follow", "--pool", "nobody"][..], &["events", "--pool", "nobody"]] {
        let said = daemon.ask(words[0], &words[1..]).unwrap();
        assert!(said.status != 0 && said.stderr.contains("no pool is called `nobody`"), "{said:?}");
    }
    let mut watcher = daemon.verb("events", &["--json", "--pool", "default"]);
    let mut watcher = watcher.stdout(Stdio::piped()).spawn().unwrap();
    let shown = BufReader::new(watcher.stdout.take().unwrap()).lines();
    let (sender, events) = channel();
    let reader =
        std::thread::spawn(move || shown.map_while(Result::ok).try_for_each(|line| sender.send(line)));
    // What happens before the watcher is there is not shown to it: deaths are caused until one is.
    let gone = loop {
        refusal(&daemon, &["leave", r#"{"status": 7}"#]);
        let mut seen = events.try_iter().map(|line| parse(&line));
        if let Some(gone) = seen.find(|event| event["what"] == "WORKER_GONE") {
            break gone;
        }
    };
    assert_eq!((&gone["pool"], &gone["facts"]["exit_status"]), (&"default".into(), &"7".into()), "{gone}");
    daemon.send(Signal::TERM).unwrap();
    assert_eq!(watcher.wait().unwrap().code(), Some(0));
    reader.join().unwrap().unwrap();
    let rest: Vec<_> = events.iter().map(|line| parse(&line)["what"].as_str().unwrap().to_owned()).collect();
    assert!(rest.contains(&"STOPPING".to_owned()), "{rest:?}");
}

#[test]
fn another_version_that_is_installed_is_said_once_for_a_pool() {
    let version = env!("CARGO_PKG_VERSION");
    for (installed, times) in [("9.9.9", 1), (version, 0)] {
        let arena = Arena::prepare("installed").unwrap();
        let site = arena.file("site");
        std::fs::create_dir_all(site.join(format!("sidewinder-{installed}.dist-info"))).unwrap();
        let arguments = ["--tools", "plain", "--workers", "2"];
        let daemon = Daemon::start_with(&arena, &arguments, |command| {
            command.env("PYTHONPATH", &site);
        })
        .unwrap();
        are_ready(&daemon, 2);
        daemon.send(Signal::TERM).unwrap();
        let log = daemon.end().unwrap().1;
        let said = format!("sidewinder {installed} is installed");
        assert_eq!(log.matches(&said).count(), times, "{log}");
        assert_eq!(log.matches(&format!("install {version}, or none")).count(), times, "{log}");
    }
}
