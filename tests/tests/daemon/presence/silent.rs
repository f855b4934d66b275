//! Clients of whom nothing is heard: by default, by other defaults, and where the kernel tells nobody's death.

use super::peers::reachable;
use super::{Attached, Events, GENEROUS, Process, hello, list};
use crate::orders::until;
use sidewinder_proto::v1::Happening;
use sidewinder_tests::arena::{Arena, tests};
use sidewinder_tests::client::{Why, wire_by_tcp};
use sidewinder_tests::daemon::Daemon;
use std::process::Command;
use std::time::{Duration, Instant};

/// Nobody has wished for anything: ten seconds on this machine, fifteen by a network.
#[tokio::test]
async fn silent_clients_expire_after_the_usual_time_wherever_they_are() {
    let arena = Arena::prepare("usual-silence").unwrap();
    let (daemon, address) = reachable(&arena, "250");
    let mut events = Events::of(&daemon).await;
    let (wire, origin) = wire_by_tcp(address).await.unwrap();
    let mut far = super::ClientsClient::with_origin(wire, origin);
    let begun = Instant::now();
    let mut remote = Attached::by(&mut far, hello("remote", "1")).await.unwrap();
    let mut local = Attached::to(&daemon, hello("local", "1")).await.unwrap();
    let heard = Instant::now();
    // A lease is longer by what the daemon itself did not run, as it does on a crowded machine: it says so.
    let mut stood = Duration::ZERO;
    for (name, ttl) in [("local", 10), ("remote", 15)] {
        let (event, at) = loop {
            let wanted = [Happening::ClientExpired, Happening::ClientDied, Happening::Stalled];
            match events.next(&wanted).await {
                (event, _) if event.what() == Happening::Stalled => {
                    stood += Duration::from_millis(event.facts["stood_ms"].parse().unwrap());
                }
                other => break other,
            }
        };
        println!("{name}: silent for {:?}, promised {ttl} s + 250 ms, and {stood:?} stood still", at - begun);
        assert_eq!((event.what(), event.facts["client"].as_str()), (Happening::ClientExpired, name));
        let ttl = Duration::from_secs(ttl);
        assert!(at - begun >= ttl, "early: {:?}", at - begun);
        // Of pauses that follow each other at once only the first is told.
        let late = 2 * stood + GENEROUS * Duration::from_millis(250);
        assert!(at - heard <= ttl + late, "late: {:?}, of which it stood {stood:?}", at - heard);
    }
    for client in [&mut local, &mut remote] {
        assert_eq!(Why::of(client.end().await.unwrap_err()).reason(), "LEASE_EXPIRED");
    }
}

/// Where clients are on other machines a lease holds longer.
#[tokio::test]
async fn leases_are_longer_in_a_cluster() {
    let arena = Arena::prepare("cluster").unwrap();
    let daemon =
        Daemon::start(&arena, &["--tools", "plain", "--workers", "1", "--mode", "distributed"]).unwrap();
    let client = Attached::to(&daemon, hello("app", "1")).await.unwrap();
    assert_eq!(client.granted.mode, "distributed");
    assert_eq!(Duration::try_from(client.granted.ttl.unwrap()).unwrap(), Duration::from_secs(30));
}

/// What a client gets without a wish is a setting; and how long nothing was heard can be seen.
#[tokio::test]
async fn what_is_usual_can_be_set_and_silence_is_seen() {
    let arena = Arena::prepare("other-usage").unwrap();
    let daemon = Daemon::start_with(&arena, &["--tools", "plain", "--workers", "1"], |command| {
        command.env("SIDEWINDER_CLIENTS_TTL", "5s").env("SIDEWINDER_CLIENTS_INTERVAL", "200ms");
        command.env("SIDEWINDER_CLIENTS_TTL_MAX", "6s");
    })
    .unwrap();
    let span = |span: Option<prost_types::Duration>| Duration::try_from(span.unwrap()).unwrap();
    let usual = Attached::to(&daemon, hello("usual", "1")).await.unwrap();
    assert_eq!(
        (span(usual.granted.ttl), span(usual.granted.interval)),
        (Duration::from_secs(5), Duration::from_millis(200))
    );
    let greedy = Attached::to(&daemon, super::brief("greedy", "1", 60_000)).await.unwrap();
    assert_eq!(span(greedy.granted.ttl), Duration::from_secs(6));
    super::soon("three beats were missed", || {
        let all = list(&daemon);
        let seen = all["clients"].as_array().unwrap().iter().find(|seen| seen["name"] == "usual").unwrap();
        let silent = seen["heard_ago_ms"].as_f64().unwrap();
        seen["missed"].as_u64() >= Some(3) && silent >= 800.0
    })
    .await;
    let _still_there = (usual, greedy);
}

/// This command, where the kernel does not tell the process behind a socket.
fn without_witness(arena: &Arena, command: &Command) -> Command {
    let mut other = Command::new(arena.python());
    other
        .arg(tests().join("hostile/without_peer_pidfd.py"))
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    if let Some(place) = command.get_current_dir() {
        other.current_dir(place);
    }
    other
}

/// There the end of the connection is the end of whoever was behind it.
#[tokio::test]
async fn a_killed_client_is_noticed_by_the_end_of_its_connection_where_the_kernel_does_not_tell() {
    let arena = Arena::prepare("no-witness").unwrap();
    let doctor = arena.sidewinder("doctor");
    let mut doctor = without_witness(&arena, &doctor);
    let said = doctor.arg("--json").output().unwrap();
    let facts: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    let checks = facts["checks"].as_array().unwrap();
    let told = checks.iter().find(|check| check["name"] == "death of a client by pidfd").unwrap();
    assert_eq!(told["yes"], false, "{told}");
    let daemon = Daemon::start_with(&arena, &["--tools", "plain", "--workers", "1"], |command| {
        *command = without_witness(&arena, command);
    })
    .unwrap();
    let mut events = Events::of(&daemon).await;
    let mut seen = Vec::new();
    for _ in 0..5 {
        let mut client = Process::attach(&daemon, &["--name", "victim", "--ttl", "5m"]);
        let killed = Instant::now();
        client.kill();
        let (event, at) = events.next(&[Happening::ClientDied, Happening::ClientExpired]).await;
        assert_eq!(event.what(), Happening::ClientDied);
        seen.push(at - killed);
    }
    println!("without SO_PEERPIDFD kill -9 of a client was noticed after {seen:?}");
    assert!(seen.iter().all(|took| *took < GENEROUS * Duration::from_millis(10)), "{seen:?}");
    until("nobody is there", || list(&daemon)["clients"].as_array().unwrap().is_empty());
}
