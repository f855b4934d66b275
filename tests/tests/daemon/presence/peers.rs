//! Who somebody is, as far as it is proved: what one has left another one does not find, and one holds so many leases.

use super::{Attached, brief, call, clients, hello, list, soon};
use sidewinder_proto::v1::calls_client::CallsClient;
use sidewinder_proto::v1::clients_client::ClientsClient;
use sidewinder_proto::v1::{Call, ResultRequest};
use sidewinder_tests::arena::Arena;
use sidewinder_tests::client::{Calls, Why, Wire, connect, text, wire_by_tcp, with};
use sidewinder_tests::daemon::Daemon;
use std::net::SocketAddr;
use std::time::Duration;

/// A daemon with a TCP address, and that.
pub(super) fn reachable<'a>(arena: &'a Arena, per_peer: &str) -> (Daemon<'a>, SocketAddr) {
    let arguments = ["--tools", "plain", "--workers", "1", "--tcp", "127.0.0.1:0"];
    let mut daemon = Daemon::launch_with(arena, &arguments, |command| {
        command.env("SIDEWINDER_CLIENTS_PER_PEER", per_peer);
    })
    .unwrap();
    let line = daemon.log_until("listens on").unwrap();
    let address = line.split(" and ").nth(1).and_then(|rest| rest.split(' ').next()).expect("an address");
    let address = address.parse().expect("an address");
    super::super::orders::are_ready(&daemon, 1);
    (daemon, address)
}

async fn by_tcp(address: SocketAddr) -> (ClientsClient<Wire>, Calls) {
    let (wire, origin) = wire_by_tcp(address).await.unwrap();
    (ClientsClient::with_origin(wire.clone(), origin.clone()), CallsClient::with_origin(wire, origin))
}

const ADD: &str = r#"{"a": 1, "b": 2}"#;

#[tokio::test]
async fn what_a_user_of_the_socket_left_is_not_found_by_the_network() {
    let arena = Arena::prepare("not-found").unwrap();
    let (daemon, address) = reachable(&arena, "250");
    let owner = Attached::to(&daemon, hello("app", "run-1")).await.unwrap();
    let mut calls = connect(&daemon).await.unwrap();
    let keyed = |call: Call| Call { idempotency_key: "k".to_owned(), ..call };
    calls.call(with(keyed(owner.call("add")), ADD)).await.unwrap();

    let (mut stranger, mut theirs) = by_tcp(address).await;
    let ask = ResultRequest { idempotency_key: "k".to_owned(), name: "app".to_owned(), ..Default::default() };
    assert_eq!(Why::of(theirs.result(ask.clone()).await.unwrap_err()).reason(), "UNKNOWN_KEY");
    // Its lease is of no use to them either, though they know its name, its epoch and its run.
    let (lease, epoch) = (owner.granted.lease.clone(), owner.granted.epoch);
    let forged = ResultRequest { lease, epoch, ..ask.clone() };
    assert_eq!(Why::of(theirs.result(forged).await.unwrap_err()).reason(), "LEASE_EXPIRED");
    let refused = Why::of(theirs.call(with(owner.call("add"), ADD)).await.unwrap_err());
    assert_eq!((refused.reason(), refused.fact("ran")), ("LEASE_EXPIRED", "no"));
    let same = Attached::by(&mut stranger, hello("app", "run-1")).await.unwrap();
    assert!(!same.granted.resumed && same.granted.lease != owner.granted.lease);
    // The same key is another one there.
    let other = with(keyed(same.call("add")), r#"{"a": 3, "b": 4}"#);
    assert_eq!(text(theirs.call(other).await.unwrap().into_inner().value), "7");
    // Whoever is the same user and says the same name finds it, also without a lease.
    assert_eq!(text(calls.result(ask.clone()).await.unwrap().into_inner().value), "3");
    assert_eq!(text(theirs.result(ask).await.unwrap().into_inner().value), "7");
}

/// Again and again somebody attaches for a long time and goes away without a word.
#[tokio::test]
async fn dead_leases_of_one_peer_leave_room_for_others() {
    let arena = Arena::prepare("dead-leases").unwrap();
    let (daemon, address) = reachable(&arena, "3");
    for number in 0..3 {
        let (mut clients, _) = by_tcp(address).await;
        Attached::by(&mut clients, brief("dead", &format!("run-{number}"), 3_600_000)).await.unwrap();
    }
    let connected =
        || list(&daemon)["clients"].as_array().unwrap().iter().any(|seen| seen["connected"] == true);
    soon("nobody of them is there", || !connected()).await;
    let (mut clients, _) = by_tcp(address).await;
    let refused = Attached::by(&mut clients, hello("dead", "run-3")).await.err().expect("refused");
    let why = Why::of(refused);
    assert_eq!(
        (why.reason(), why.fact("ran"), why.status.code()),
        ("TOO_MANY_LEASES", "no", tonic::Code::ResourceExhausted)
    );
    // It may come back to one of them, and others have room of their own.
    let back = Attached::by(&mut clients, brief("dead", "run-0", 500)).await.unwrap();
    assert!(back.granted.resumed);
    let local = Attached::to(&daemon, hello("local", "1")).await.unwrap();
    // The one that came back with a brief lease expires, and makes room.
    drop(back);
    soon("one has expired", || list(&daemon)["clients"].as_array().unwrap().len() == 3).await;
    Attached::by(&mut clients, hello("dead", "run-3")).await.unwrap();
    drop(local);
}

/// By a network a lease holds for longer, if nobody says otherwise, and its end is told like any other.
#[tokio::test]
async fn a_lease_by_a_network_holds_longer_and_ends_like_any_other() {
    let arena = Arena::prepare("remote-lease").unwrap();
    let (daemon, address) = reachable(&arena, "250");
    let (mut remote, mut calls) = by_tcp(address).await;
    let span = |span: Option<prost_types::Duration>| Duration::try_from(span.unwrap()).unwrap();
    let usual = Attached::by(&mut remote, hello("usual", "1")).await.unwrap();
    assert_eq!(
        (span(usual.granted.interval), span(usual.granted.ttl)),
        (Duration::from_secs(2), Duration::from_secs(15))
    );
    let here = Attached::by(&mut clients(&daemon).await, hello("here", "1")).await.unwrap();
    assert_eq!(span(here.granted.ttl), Duration::from_secs(10));
    // A tenth of that: what ends it is the same.
    let begun = std::time::Instant::now();
    let mut brief = Attached::by(&mut remote, brief("brief", "1", 1_500)).await.unwrap();
    let end = Why::of(brief.end().await.unwrap_err());
    let took = begun.elapsed();
    println!("a lease of 1.5 s by a network ended after {took:?}");
    assert_eq!(end.reason(), "LEASE_EXPIRED");
    assert!(took >= Duration::from_millis(1_490), "early: {took:?}");
    assert!(
        took <= Duration::from_millis(1_500) + super::GENEROUS * Duration::from_millis(250),
        "late: {took:?}"
    );
    assert_eq!(
        Why::of(calls.call(with(brief.call("add"), ADD)).await.unwrap_err()).reason(),
        "LEASE_EXPIRED"
    );
    // The end of its connection says nothing of a client by a network: its lease stays until it ends by itself.
    let (mut dropped, _) = by_tcp(address).await;
    drop(Attached::by(&mut dropped, hello("dropped", "1")).await.unwrap());
    drop(dropped);
    let seen = || {
        list(&daemon)["clients"].as_array().unwrap().iter().find(|seen| seen["name"] == "dropped").cloned()
    };
    soon("its stream is over", || seen().is_some_and(|seen| seen["connected"] == false)).await;
    assert!(calls.call(with(call("add"), ADD)).await.is_ok());
}
