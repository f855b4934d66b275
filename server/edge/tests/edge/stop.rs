//! A stop comes to an end, whatever is connected.

use crate::client::{CALL, Client, STREAM, WATCH, call, end_of};
use crate::world::{World, fact, reaches};
use sidewinder_edge::limits::Limits;
use sidewinder_edge::server::{Stopped, Wish};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tonic::Code;
use tonic_types::StatusExt;

/// A drain that nobody should have to wait for.
const LONG: Duration = Duration::from_mins(1);
const QUICK: Duration = Duration::from_secs(3);
/// Less than what a client without a call is given.
const AT_ONCE: Duration = Duration::from_millis(400);

fn reason(status: &tonic::Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

#[tokio::test]
async fn nobody_is_connected() {
    let (stopped, took) = World::new(Limits::default()).stop(LONG).await;
    assert_eq!(stopped, Stopped::Whole);
    assert!(took < AT_ONCE, "{took:?}");
}

/// Somebody thinks of leaving: who has no call is told to come again, who has said nothing is left alone, who calls is
/// served, and who comes waits.
#[tokio::test]
async fn while_it_closes_nobody_is_let_in_and_everybody_who_is_in_is_served() {
    let world = World::new(Limits::default());
    let mut idle = world.client().await;
    idle.call("echo", b"").await.unwrap();
    let silent = world.dial().await;
    let mut calling = world.client().await;
    let open = calling.ask(CALL, &[], &call("wait", b"late")).await;
    fact(|| world.facts.running() == 1).await;
    let mut crowd = world.crowd.look();
    crowd.wait_for(|seen| (seen.connections, seen.silent) == (3, 1)).await.unwrap();

    world.wish(Wish::CloseUp);
    crowd.wait_for(|seen| seen.doors == 0).await.unwrap();
    crowd.wait_for(|seen| seen.connections == 2).await.unwrap();
    assert!(idle.driver.await.unwrap().is_ok(), "it was told, and not cut off");
    // Nobody is let in, and nobody is refused.
    let waiting = world.dial().await;
    let mut late = Client::over(silent).await;
    assert_eq!(late.call("echo", b"served").await.unwrap(), "served");
    assert_eq!(crowd.borrow().silent, 0);

    world.wish(Wish::Serve);
    crowd.wait_for(|seen| seen.doors == 1).await.unwrap();
    assert_eq!(Client::over(waiting).await.call("echo", b"in").await.unwrap(), "in");
    world.facts.0.release.notify_one();
    open.ended().await.unwrap();
    // One that spoke while it closed is told the next time.
    world.wish(Wish::CloseUp);
    crowd.wait_for(|seen| seen.connections == 0).await.unwrap();
    let (stopped, _) = world.stop(LONG).await;
    assert_eq!(stopped, Stopped::Whole);
}

#[tokio::test]
async fn a_silent_connection_does_not_hold_it() {
    let world = World::new(Limits::default());
    let _silent = world.dial().await;
    reaches(&world.tally.accepted, 1).await;
    let (stopped, took) = world.stop(LONG).await;
    assert_eq!(stopped, Stopped::Whole);
    assert!(took < AT_ONCE, "{took:?}");
}

#[tokio::test]
async fn half_a_preface_does_not_hold_it() {
    let world = World::new(Limits::default());
    let mut slow = world.dial().await;
    slow.write_all(b"PRI * HTTP/2").await.unwrap();
    reaches(&world.tally.accepted, 1).await;
    let (stopped, took) = world.stop(LONG).await;
    assert_eq!(stopped, Stopped::Whole);
    assert!(took < AT_ONCE, "{took:?}");
}

#[tokio::test]
async fn a_watch_of_health_is_ended_with_a_reason() {
    let world = World::new(Limits::default());
    let mut client = world.client().await;
    let request = tonic_health::pb::HealthCheckRequest { service: String::new() };
    let watching = client.ask(WATCH, &[], &request).await.first().await.unwrap();
    world.wish_to_stop(LONG);
    let status = end_of(watching).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "STOPPING"));
    let (stopped, took) = world.ended().await;
    assert_eq!(stopped, Stopped::Whole);
    assert!(took < QUICK, "{took:?}");
}

#[tokio::test]
async fn an_idle_client_does_not_hold_it() {
    let world = World::new(Limits::default());
    let mut client = world.client().await;
    client.call("echo", b"before").await.unwrap();
    let (stopped, took) = world.stop(LONG).await;
    assert_eq!(stopped, Stopped::Whole);
    assert!(took < AT_ONCE, "{took:?}");
}

#[tokio::test]
async fn a_stopped_client_without_a_call_does_not_hold_it() {
    let world = World::new(Limits::default());
    let mut client = world.client().await;
    client.call("echo", b"before").await.unwrap();
    client.freeze();
    let (stopped, took) = world.stop(LONG).await;
    assert_eq!(stopped, Stopped::Whole);
    assert!(took < QUICK, "{took:?}");
}

#[tokio::test]
async fn what_runs_is_waited_for() {
    let world = World::new(Limits::default());
    let mut client = world.client().await;
    let waiting = client.ask(CALL, &[], &call("wait", b"kept")).await;
    fact(|| world.facts.running() == 1).await;
    world.wish_to_stop(LONG);
    fact(|| !world.path.exists()).await;
    world.facts.0.release.notify_one();
    assert!(waiting.ended().await.unwrap().ends_with(b"kept"));
    let (stopped, took) = world.ended().await;
    assert_eq!(stopped, Stopped::Whole);
    assert!(took < QUICK, "{took:?}");
}

#[tokio::test]
async fn what_still_runs_at_the_bound_is_told_so() {
    let world = World::new(Limits::default());
    let mut client = world.client().await;
    let waiting = client.ask(CALL, &[], &call("wait", b"")).await;
    fact(|| world.facts.running() == 1).await;
    world.wish_to_stop(Duration::from_millis(100));
    let status = waiting.ended().await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Aborted, "STOPPING"));
    let facts = world.facts.clone();
    let (stopped, took) = world.ended().await;
    assert_eq!(stopped, Stopped::Cut);
    assert!(took < QUICK, "{took:?}");
    assert_eq!(facts.running(), 0, "the call was not dropped");
}

#[tokio::test]
async fn a_reader_that_reads_nothing_is_cut() {
    let world = World::new(Limits::default());
    let mut client = world.client().await;
    let item = &[7; 10_000];
    let _stream = client.ask(STREAM, &[], &call("endless", item)).await.first().await.unwrap();
    let facts = world.facts.clone();
    fact(|| facts.running() == 1).await;
    client.freeze();
    let (stopped, took) = world.stop(Duration::from_millis(100)).await;
    assert_eq!(stopped, Stopped::Cut);
    assert!(took < QUICK, "{took:?}");
    assert_eq!(facts.running(), 0, "the stream was not dropped");
}

#[tokio::test]
async fn a_second_wish_brings_the_end_forward_and_never_back() {
    let world = World::new(Limits::default());
    let mut client = world.client().await;
    let _waiting = client.ask(CALL, &[], &call("wait", b"")).await;
    fact(|| world.facts.running() == 1).await;
    world.wish_to_stop(LONG);
    fact(|| !world.path.exists()).await;
    world.wish_to_stop(Duration::ZERO);
    let (stopped, took) = world.ended().await;
    assert_eq!(stopped, Stopped::Cut);
    assert!(took < QUICK, "{took:?}");
}
