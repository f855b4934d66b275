//! Leases: how they are granted, how they go on, and each way in which they end.

use super::{Attached, Events, GENEROUS, Process, brief, clients, hello, list, soon};
use crate::orders::order;
use rustix::process::Signal;
use sidewinder_proto::v1::to_client::Part as Told;
use sidewinder_proto::v1::{Beat, Happening};
use sidewinder_proto::v1::{Hello, from_client::Part as Say};
use sidewinder_tests::arena::{Arena, tests};
use sidewinder_tests::client::{Why, answer, connect, with};
use sidewinder_tests::daemon::Daemon;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

fn serving(arena: &Arena) -> Daemon<'_> {
    Daemon::start(arena, &["--tools", "plain", "--workers", "1"]).expect("a daemon")
}

#[tokio::test]
async fn a_lease_is_granted_as_wished_within_bounds_and_beats_go_both_ways() {
    let arena = Arena::prepare("grant").unwrap();
    let daemon = serving(&arena);
    let usual = Attached::to(&daemon, hello("usual", "1")).await.unwrap();
    let span = |span: Option<prost_types::Duration>| Duration::try_from(span.unwrap()).unwrap();
    assert_eq!(span(usual.granted.interval), Duration::from_secs(2));
    assert_eq!(span(usual.granted.ttl), Duration::from_secs(10));
    assert_eq!((usual.granted.mode.as_str(), usual.granted.resumed), ("independent", false));
    let hasty = Attached::to(&daemon, brief("hasty", "1", 2)).await.unwrap();
    assert_eq!(span(hasty.granted.ttl), Duration::from_millis(500));

    let mut client = Attached::to(&daemon, brief("beating", "1", 5_000)).await.unwrap();
    let state = client.hears(|told| if let Told::State(state) = told { Some(state) } else { None }).await;
    assert_eq!((state.mode.as_str(), state.pools.len()), ("independent", 1));
    for sequence in 1..=3 {
        client.beat(sequence).await;
        let beat = client.hears(|told| if let Told::Beat(beat) = told { Some(beat) } else { None }).await;
        assert_eq!((beat.sequence, beat.answers), (sequence, sequence), "each is answered at once");
        let held = Some(Duration::ZERO.try_into().unwrap());
        let (sequence, answers) = (100 + sequence, beat.sequence);
        let answer = Beat { sequence, answers, held, load: Some(9), next: None };
        client.say(Say::Beat(answer)).await;
        client.hears(|told| if let Told::Beat(beat) = told { Some(beat) } else { None }).await;
        // The one that answered the answer is not measured here.
        if sequence == 101 {
            break;
        }
    }
    soon("its beats are measured", || {
        let all = list(&daemon);
        let seen = all["clients"].as_array().unwrap().iter().find(|seen| seen["name"] == "beating").unwrap();
        let trips = ["round_trip_p50_ms", "round_trip_p99_ms"].map(|name| seen[name].is_number());
        trips == [true; 2] && seen["load"] == 9 && seen["beats"].as_u64() >= Some(2)
    })
    .await;
}

#[tokio::test]
async fn clients_are_asked_to_beat_at_the_same_moments() {
    let arena = Arena::prepare("strokes").unwrap();
    let daemon = serving(&arena);
    // So long that whatever holds this test up is short beside it.
    let interval = Duration::from_mins(1);
    let step = interval / 8;
    let mut moments = Vec::new();
    for name in ["first", "second"] {
        let mut client = Attached::to(&daemon, brief(name, "1", 120_000)).await.unwrap();
        assert_eq!(client.granted.interval, interval.try_into().ok());
        client.beat(1).await;
        let next = client.hears(|told| if let Told::Beat(beat) = told { beat.next } else { None }).await;
        let next = Duration::try_from(next).unwrap();
        assert!(next > step * 7 && next <= interval, "{next:?}");
        moments.push(SystemTime::UNIX_EPOCH.elapsed().unwrap() + next);
    }
    let past = |moment: &Duration| moment.as_nanos() % step.as_nanos();
    assert!(moments.iter().all(|moment| past(moment) < step.as_nanos() / 2), "{moments:?}");
}

#[tokio::test]
async fn news_keep_no_client_from_beating() {
    let arena = Arena::prepare("news").unwrap();
    let daemon = serving(&arena);
    let _client = Process::attach(&daemon, &["--name", "told", "--ttl", "10s", "--interval", "500ms"]);
    let beats = || list(&daemon)["clients"][0]["beats"].as_u64();
    soon("it has beaten", || beats() > Some(0)).await;
    let (begin, before) = (Instant::now(), beats());
    // Each is news, and comes long before the next beat is due.
    while beats() < before.map(|before| before + 4) {
        assert!(begin.elapsed() < Duration::from_secs(20), "it beats no more while there is news");
        order(&daemon, "drain", &["default", "--within", "0s"]);
        order(&daemon, "resume", &["default"]);
    }
}

#[tokio::test]
async fn a_silent_client_expires_at_its_time_and_is_told() {
    let arena = Arena::prepare("expires").unwrap();
    let daemon = serving(&arena);
    let mut events = Events::of(&daemon).await;
    let mut client = Attached::to(&daemon, brief("silent", "1", 1_000)).await.unwrap();
    let heard = Instant::now();
    let (event, at) = events.next(&[Happening::ClientExpired]).await;
    let took = at - heard;
    println!("a lease of 1 s ended {took:?} after its client was heard");
    assert_eq!(event.facts["client"], "silent");
    assert!(took >= Duration::from_millis(990), "early: {took:?}");
    assert!(took <= Duration::from_secs(1) + GENEROUS * Duration::from_millis(250), "late: {took:?}");
    let told = Why::of(client.end().await.unwrap_err());
    assert_eq!(told.reason(), "LEASE_EXPIRED");
    // Whoever comes back late is told so, and attaches again.
    let mut calls = connect(&daemon).await.unwrap();
    let late = calls.call(with(client.call("add"), r#"{"a": 1, "b": 2}"#)).await.unwrap_err();
    let late = Why::of(late);
    assert_eq!((late.reason(), late.fact("ran")), ("LEASE_EXPIRED", "no"));
    let again = Attached::to(&daemon, brief("silent", "1", 60_000)).await.unwrap();
    assert!(again.granted.epoch > client.granted.epoch && !again.granted.resumed);
    calls.call(with(again.call("add"), r#"{"a": 1, "b": 2}"#)).await.unwrap();
}

#[tokio::test]
async fn calls_count_as_beats() {
    let arena = Arena::prepare("traffic").unwrap();
    let daemon = serving(&arena);
    let client = Attached::to(&daemon, brief("talking", "1", 2_000)).await.unwrap();
    let mut calls = connect(&daemon).await.unwrap();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(5) {
        calls.call(with(client.call("add"), r#"{"a": 1, "b": 2}"#)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn one_that_comes_back_overtakes_itself_and_keeps_what_it_had() {
    let arena = Arena::prepare("overtaken").unwrap();
    let daemon = Daemon::start(&arena, &["--tools", "orders", "--workers", "3"]).unwrap();
    super::super::orders::are_ready(&daemon, 3);
    let mut first = Attached::to(&daemon, hello("app", "run-1")).await.unwrap();
    let related = |client: &Attached| {
        let key = "session".to_owned();
        let affinity = sidewinder_proto::v1::Affinity { key, mode: 2 };
        with(sidewinder_proto::v1::Call { affinity: Some(affinity), ..client.call("who") }, "{}")
    };
    let mut calls = connect(&daemon).await.unwrap();
    let who =
        |answer: tonic::Response<sidewinder_proto::v1::CallResponse>| answer.into_inner().ran.unwrap().worker;
    let before = who(calls.call(related(&first)).await.unwrap());

    // Half open: the old stream still stands when the same run attaches by another connection.
    let second = Attached::to(&daemon, hello("app", "run-1")).await.unwrap();
    assert!(second.granted.resumed && second.granted.lease == first.granted.lease);
    assert_eq!(Why::of(first.end().await.unwrap_err()).reason(), "STALE_EPOCH");
    let stale = Why::of(calls.call(related(&first)).await.unwrap_err());
    assert_eq!((stale.reason(), stale.fact("ran")), ("STALE_EPOCH", "no"));
    assert_eq!(who(calls.call(related(&second)).await.unwrap()), before, "its affinities are the same");
    // Another run of the same name is somebody else.
    let other = Attached::to(&daemon, hello("app", "run-2")).await.unwrap();
    assert!(!other.granted.resumed && other.granted.lease != second.granted.lease);
    assert_eq!(list(&daemon)["clients"].as_array().unwrap().len(), 2);
    // An epoch that was never granted is no better than none.
    let mut forged = with(second.call("who"), "{}");
    forged.call.as_mut().unwrap().epoch += 1_000;
    assert_eq!(Why::of(calls.call(forged).await.unwrap_err()).reason(), "LEASE_EXPIRED");
}

/// What it says of itself is what holds, and its beats begin again.
#[tokio::test]
async fn one_that_comes_back_is_seen_as_it_is_now() {
    let arena = Arena::prepare("seen-anew").unwrap();
    let daemon = serving(&arena);
    let labelled = |version: &str| {
        let labels = [("version".to_owned(), version.to_owned())].into();
        Hello { labels, pid: 7, ..brief("app", "run-1", 60_000) }
    };
    let first = Attached::to(&daemon, labelled("1")).await.unwrap();
    for sequence in 1..=3 {
        first.beat(sequence).await;
    }
    let seen = || list(&daemon)["clients"][0].clone();
    soon("its beats are counted", || seen()["beats"] == 3 && seen()["load"] == 7).await;
    let second = Attached::to(&daemon, labelled("2")).await.unwrap();
    assert_eq!(second.granted.lease, first.granted.lease);
    let after = seen();
    assert_eq!((&after["labels"]["version"], &after["beats"]), (&"2".into(), &0.into()), "{after}");
    assert!(after["load"].is_null() && after["connected"] == true, "{after}");
}

/// Who is silent is sent beats all the same, and who beats in time is sent answers and nothing else.
#[tokio::test]
async fn the_daemon_beats_by_itself_where_there_is_nothing_to_answer() {
    let arena = Arena::prepare("own-beats").unwrap();
    let daemon = serving(&arena);
    let beat = |told| if let Told::Beat(beat) = told { Some(beat) } else { None };
    let attached = Instant::now();
    let mut silent = Attached::to(&daemon, brief("silent", "1", 2_000)).await.unwrap();
    let first = silent.hears(beat).await;
    let took = attached.elapsed();
    println!("with an interval of 1 s a silent client was sent a beat after {took:?}");
    assert_eq!((first.sequence, first.answers), (1, 0));
    assert!(took >= Duration::from_millis(1_240), "early: {took:?}");
    assert!(took <= Duration::from_millis(1_250) + GENEROUS * Duration::from_millis(150), "late: {took:?}");
    let mut talking = Attached::to(&daemon, brief("talking", "1", 60_000)).await.unwrap();
    for sequence in 1..=20 {
        talking.beat(sequence).await;
        let answer = talking.hears(beat).await;
        assert_eq!((answer.sequence, answer.answers), (sequence, sequence));
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_gone_at_once() {
    let arena = Arena::prepare("detach").unwrap();
    let daemon = serving(&arena);
    let mut events = Events::of(&daemon).await;
    Attached::to(&daemon, hello("polite", "1")).await.unwrap().detach().await;
    let (event, _) = events.next(&[Happening::ClientDetached, Happening::ClientExpired]).await;
    assert_eq!(event.what(), Happening::ClientDetached);
    assert_eq!(list(&daemon)["clients"].as_array().unwrap().len(), 0);
    events.next(&[Happening::Nobody]).await;
}

#[tokio::test]
async fn a_killed_client_is_noticed_at_once_and_a_stopped_one_at_its_time() {
    let arena = Arena::prepare("killed").unwrap();
    let daemon = serving(&arena);
    let mut events = Events::of(&daemon).await;
    let mut seen = Vec::new();
    for _ in 0..5 {
        let mut client = Process::attach(&daemon, &["--name", "victim", "--ttl", "5m"]);
        let killed = Instant::now();
        client.kill();
        let (_, at) = events.next(&[Happening::ClientDied]).await;
        seen.push(at - killed);
    }
    println!("kill -9 of a client was noticed after {seen:?}, and is promised within 10 ms");
    assert!(seen.iter().all(|took| *took < GENEROUS * Duration::from_millis(10)), "{seen:?}");
    let client = Process::attach(&daemon, &["--name", "stopped", "--ttl", "1s", "--interval", "100ms"]);
    client.send(Signal::STOP);
    let (event, _) = events.next(&[Happening::ClientExpired, Happening::ClientDied]).await;
    assert_eq!(event.what(), Happening::ClientExpired, "a stopped client is not dead");
    client.send(Signal::CONT);
}

/// The socket of the dead client is still open in its child: no end-of-file will ever tell.
#[tokio::test]
async fn a_killed_client_is_noticed_although_it_leaked_its_socket() {
    let arena = Arena::prepare("leaked").unwrap();
    let daemon = serving(&arena);
    let mut events = Events::of(&daemon).await;
    let script = tests().join("hostile/leaking_client.py");
    let mut client =
        Command::new("python3").arg(script).arg(daemon.socket()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(client.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let heir: i32 = line.trim().parse().expect("the child that holds the socket");
    events.next(&[Happening::ClientAttached]).await;
    let killed = Instant::now();
    client.kill().unwrap();
    client.wait().unwrap();
    let (_, at) = events.next(&[Happening::ClientDied]).await;
    println!("kill -9 of a client that leaked its socket was noticed after {:?}", at - killed);
    assert!(at - killed < GENEROUS * Duration::from_millis(10), "{:?}", at - killed);
    let heir = rustix::process::Pid::from_raw(heir).unwrap();
    let _ = rustix::process::kill_process(heir, Signal::KILL);
}

/// Beats that arrive while the daemon is stopped wait in the socket, and nobody's lease ends for that.
#[tokio::test]
async fn a_daemon_that_stands_still_expires_nobody() {
    let arena = Arena::prepare("standstill").unwrap();
    let daemon = serving(&arena);
    let mut events = Events::of(&daemon).await;
    let _client = Process::attach(&daemon, &["--name", "patient", "--ttl", "1s", "--interval", "100ms"]);
    let mute = Attached::to(&daemon, brief("mute", "1", 2_000)).await.unwrap();
    daemon.send(Signal::STOP).unwrap();
    // Three times as long as the lease holds: that is what is tried here.
    tokio::time::sleep(Duration::from_secs(3)).await;
    daemon.send(Signal::CONT).unwrap();
    let (event, _) = events.next(&[Happening::Stalled, Happening::ClientExpired]).await;
    let stood: u64 = event.facts["stood_ms"].parse().expect("how long");
    assert!(event.what() == Happening::Stalled && stood >= 2_500, "{event:?}");
    // Who never beats still has what was left of its time, and no more.
    let (event, _) = events.next(&[Happening::ClientExpired]).await;
    assert_eq!(event.facts["client"], "mute");
    drop(mute);
    let all = list(&daemon);
    assert_eq!(all["clients"][0]["name"], "patient", "{all}");
}

#[tokio::test]
async fn bad_hellos_are_refused_and_too_many_clients_are() {
    let arena = Arena::prepare("bad-hello").unwrap();
    let daemon = Daemon::start_with(&arena, &["--tools", "plain", "--workers", "1"], |command| {
        command.env("SIDEWINDER_CLIENTS_MAX", "2");
    })
    .unwrap();
    let mut client = clients(&daemon).await;
    let long = "x".repeat(300);
    let labels = [("label".to_owned(), "x".repeat(5_000))].into();
    for (field, bad) in [
        ("hello.name", hello("", "1")),
        ("hello.name", hello(&long, "1")),
        ("hello.run", hello("app", "")),
        ("hello.node", Hello { node: "a\nb".to_owned(), ..hello("app", "1") }),
        ("hello.labels", Hello { labels, ..hello("app", "1") }),
        (
            "hello.ttl",
            Hello { ttl: Some(prost_types::Duration { seconds: -1, nanos: 0 }), ..hello("app", "1") },
        ),
    ] {
        let why = Why::of(Attached::by(&mut client, bad).await.err().expect("refused"));
        assert_eq!((why.reason(), why.fact("field")), ("BAD_REQUEST", field));
    }
    let other = Hello { mode: "coupled".to_owned(), ..hello("app", "1") };
    assert_eq!(Why::of(Attached::by(&mut client, other).await.err().unwrap()).reason(), "OTHER_MODE");
    let _one = Attached::by(&mut client, hello("a", "1")).await.unwrap();
    let _two = Attached::by(&mut client, hello("b", "1")).await.unwrap();
    let full = Why::of(Attached::by(&mut client, hello("c", "1")).await.err().unwrap());
    assert_eq!(full.reason(), "TOO_MANY_CLIENTS");
}

#[tokio::test]
async fn a_daemon_may_take_calls_of_attached_clients_only() {
    let arena = Arena::prepare("required").unwrap();
    let daemon = Daemon::start(&arena, &["--tools", "plain", "--workers", "1", "--require-lease"]).unwrap();
    let mut calls = connect(&daemon).await.unwrap();
    let why = Why::of(answer(&mut calls, "add", r#"{"a": 1, "b": 2}"#).await.unwrap_err());
    assert_eq!((why.reason(), why.fact("ran")), ("LEASE_REQUIRED", "no"));
    let client = Attached::to(&daemon, hello("app", "1")).await.unwrap();
    calls.call(with(client.call("add"), r#"{"a": 1, "b": 2}"#)).await.unwrap();
}

/// A client that does not read is heard all the same, and gets the newest state when it reads again.
#[tokio::test]
async fn a_slow_reader_gets_the_latest_state_and_no_backlog() {
    let arena = Arena::prepare("slow").unwrap();
    let daemon = serving(&arena);
    let mut client = Attached::to(&daemon, Hello { events: true, ..hello("slow", "1") }).await.unwrap();
    for round in 1..=300_u64 {
        let workers = if round % 2 == 0 { "1" } else { "2" };
        if round % 30 == 0 {
            order(&daemon, "resize", &["default", workers]);
        }
        client.beat(round).await;
    }
    client.say(Say::Question(sidewinder_proto::v1::Question {})).await;
    let mut states = 0;
    let mut last = 0;
    while last < 300 {
        let told = client.hears(Some).await;
        states += u32::from(matches!(told, Told::State(_)));
        if let Told::Beat(beat) = told {
            last = last.max(beat.answers);
        }
    }
    println!("of 300 beats and 10 changes a slow reader saw {states} states");
    assert!(states <= 30, "{states}");
    assert_eq!(list(&daemon)["clients"][0]["connected"], true);
}
