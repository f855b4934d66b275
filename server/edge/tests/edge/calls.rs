//! What every call has, whatever the service: a deadline, a peer, sizes, a name.

use crate::client::{CALL, CONVERSE, STREAM, UPLOAD, call, framed};
use crate::world::{World, fact, reaches};
use prost::bytes::Bytes;
use sidewinder_edge::limits::Limits;
use sidewinder_edge::peer::Origin;
use sidewinder_proto::v1::{Input, input::Part};
use std::time::{Duration, Instant};
use tokio::time::sleep;
use tonic::{Code, Status};
use tonic_types::StatusExt;

fn short() -> Limits {
    let quick = Duration::from_millis(100);
    Limits { deadline_slack: quick, farewell: quick, stall: quick, message: 100_000, ..Limits::default() }
}

fn reason(status: &Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

#[tokio::test]
async fn a_call_is_answered_and_knows_who_asks() {
    let world = World::new(Limits::default());
    let mut client = world.client().await;
    assert_eq!(client.call("echo", b"hello").await.unwrap(), "hello");
    let peer = world.facts.0.peer.lock().unwrap().clone().unwrap();
    let uid = rustix::process::geteuid().as_raw();
    let pid = i32::try_from(std::process::id()).ok();
    assert_eq!((peer.connection, peer.origin), (0, Origin::Unix { uid, pid }));
    assert_eq!(*world.facts.0.deadline.lock().unwrap(), None);
}

#[tokio::test]
async fn a_deadline_reaches_the_service() {
    let world = World::new(Limits::default());
    let mut client = world.client().await;
    let before = Instant::now();
    client.ask(CALL, &[("grpc-timeout", "5S")], &call("echo", b"")).await.ended().await.unwrap();
    let deadline = world.facts.0.deadline.lock().unwrap().unwrap();
    assert!(deadline >= before + Duration::from_secs(5));
    assert!(deadline <= Instant::now() + Duration::from_secs(5));
}

#[tokio::test]
async fn a_timeout_that_is_none_is_refused() {
    let world = World::new(Limits::default());
    let mut client = world.client().await;
    for value in ["-1S", "soon", "123456789S"] {
        let open = client.ask(CALL, &[("grpc-timeout", value)], &call("echo", b"")).await;
        let status = open.ended().await.unwrap_err();
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::InvalidArgument, "BAD_TIMEOUT"),
            "{value}"
        );
    }
    let longer_than_anybody_lives = [("grpc-timeout", "99999999H")];
    client.ask(CALL, &longer_than_anybody_lives, &call("echo", b"")).await.ended().await.unwrap();
    assert_eq!(*world.facts.0.deadline.lock().unwrap(), None);
}

#[tokio::test]
async fn a_service_that_forgets_its_deadline_is_reminded() {
    let world = World::new(short());
    let mut client = world.client().await;
    for (path, tool) in [(CALL, "wait"), (STREAM, "silent")] {
        let open = client.ask(path, &[("grpc-timeout", "50m")], &call(tool, b"")).await;
        let status = open.ended().await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
        fact(|| world.facts.running() == 0).await;
    }
    assert_eq!(world.tally.cut.get(), 2);
    assert_eq!(world.tally.reset.get(), 0);
}

/// Its body is asked for nothing while the reader takes nothing, so nobody inside can look at the clock.
#[tokio::test]
async fn a_reader_that_reads_nothing_does_not_outlive_its_deadline() {
    let world = World::new(short());
    let mut client = world.client().await;
    let open = client.ask(STREAM, &[("grpc-timeout", "50m")], &call("endless", &[7; 10_000])).await;
    let unread = open.first().await.unwrap();
    reaches(&world.tally.reset, 1).await;
    fact(|| world.facts.running() == 0).await;
    drop(unread);
    client.call("echo", b"the connection lives").await.unwrap();
}

#[tokio::test]
async fn a_slow_reader_stops_the_stream() {
    let world = World::new(Limits::default());
    let mut client = world.client().await;
    let item = &[7; 10_000];
    let _unread = client.ask(STREAM, &[], &call("endless", item)).await.first().await.unwrap();
    let items = || world.facts.0.items.load(std::sync::atomic::Ordering::SeqCst);
    let mut before = usize::MAX;
    fact(|| std::mem::replace(&mut before, items()) == items()).await;
    sleep(Duration::from_millis(200)).await;
    let said = items();
    // The client's window is 64 KiB, the buffer another.
    assert!(said * item.len() < 400_000, "{said} items were taken for a reader that takes none");
}

#[tokio::test]
async fn a_client_that_hangs_up_drops_its_call() {
    let world = World::new(Limits::default());
    let mut client = world.client().await;
    let mut open = client.ask(CALL, &[], &call("wait", b"")).await;
    fact(|| world.facts.running() == 1).await;
    open.request.send_reset(h2::Reason::CANCEL);
    fact(|| world.facts.running() == 0).await;
    let _waiting = client.ask(CALL, &[], &call("wait", b"")).await;
    fact(|| world.facts.running() == 1).await;
    client.driver.abort();
    fact(|| world.facts.running() == 0).await;
}

#[tokio::test]
async fn a_message_too_large_is_refused_by_its_announcement() {
    let world = World::new(short());
    let mut client = world.client().await;
    let mut open = client.open(CALL, &[]).await;
    let prefix = [0, 0, 1, 0x86, 0xa1];
    open.request.send_data(Bytes::copy_from_slice(&prefix), false).unwrap();
    let status = open.ended().await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "TOO_LARGE"));
}

#[tokio::test]
async fn a_request_that_stalls_is_ended_and_a_silent_conversation_is_not() {
    let world = World::new(short());
    let mut client = world.client().await;
    for piece in [&b""[..], &[0, 0], &[0, 0, 0, 0, 9, 1, 2]] {
        let mut open = client.open(CALL, &[]).await;
        open.request.send_data(Bytes::copy_from_slice(piece), false).unwrap();
        let status = open.ended().await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Aborted, "STALLED"), "{piece:?}");
    }
    let mut open = client.open(UPLOAD, &[]).await;
    let input = framed(&Input { part: Some(Part::Open(call("count", b""))) });
    open.request.send_data(input.clone(), false).unwrap();
    // Longer than a stall, in which nothing happens that could be waited for.
    sleep(Duration::from_millis(300)).await;
    open.request.send_data(input, true).unwrap();
    assert!(open.ended().await.unwrap().ends_with(b"2"));
}

#[tokio::test]
async fn an_unknown_method_is_named() {
    let world = World::new(Limits::default());
    let mut client = world.client().await;
    let status = client.ask("/no.Such/Thing", &[], &call("", b"")).await.ended().await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unimplemented, "UNKNOWN_METHOD"));
    assert!(status.message().contains("/no.Such/Thing"));
}

/// The answer is stuck in the windows of a reader that takes nothing, and whoever asked is heard all the same.
#[tokio::test]
async fn who_reads_nothing_is_heard_beside_the_answer() {
    let world = World::new(Limits::default());
    let mut client = world.client().await;
    let mut open = client.open(CONVERSE, &[]).await;
    let items = || world.facts.0.items.load(std::sync::atomic::Ordering::SeqCst);
    fact(|| items() > 0).await;
    for round in 1..=50 {
        let input = Input { part: Some(Part::Item(sidewinder_proto::v1::Payload::default())) };
        open.request.send_data(framed(&input), false).unwrap();
        fact(|| world.facts.0.heard.load(std::sync::atomic::Ordering::SeqCst) == round).await;
    }
    assert!(items() < 40, "{} items of 10 kB were taken by nobody", items());
}
