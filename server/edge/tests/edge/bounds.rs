//! Connections and what they may hold.

use crate::client::{CALL, Client, call};
use crate::world::{PATIENCE, World, fact, reaches};
use sidewinder_edge::limits::Limits;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Reads until the other side has closed.
async fn read_to_end(stream: &mut UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the connection is never closed");
    bytes
}

fn quick() -> Limits {
    Limits { handshake: Duration::from_millis(200), ..Limits::default() }
}

#[tokio::test]
async fn a_slow_preface_is_not_waited_for() {
    let world = World::new(quick());
    let begun = Instant::now();
    for said in [&b""[..], &PREFACE[..23], PREFACE, &[PREFACE, &SETTINGS[..8]].concat()] {
        let mut slow = world.dial().await;
        slow.write_all(said).await.unwrap();
        read_to_end(&mut slow).await;
    }
    reaches(&world.tally.silent, 4).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    world.client().await.call("echo", b"served").await.unwrap();
}

#[tokio::test]
async fn a_greeting_in_time_stays_connected() {
    let world = World::new(quick());
    let mut client = world.client().await;
    client.call("echo", b"").await.unwrap();
    let mut other = world.dial().await;
    read_to_end(&mut other).await;
    client.call("echo", b"still here").await.unwrap();
    assert_eq!(world.tally.silent.get(), 1);
}

#[tokio::test]
async fn another_protocol_is_closed_at_once() {
    let world = World::new(Limits::default());
    let mut browser = world.dial().await;
    browser.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    read_to_end(&mut browser).await;
    reaches(&world.tally.closed, 1).await;
    assert_eq!(world.tally.silent.get(), 0);
}

#[tokio::test]
async fn a_client_is_told_how_large_its_frames_may_be() {
    const FRAME: u8 = 5;
    for frame in [Limits::default().frame, 1 << 20] {
        let world = World::new(Limits { frame, ..Limits::default() });
        let mut client = world.dial().await;
        client.write_all(&[PREFACE, SETTINGS].concat()).await.unwrap();
        let mut head = [0; 9];
        client.read_exact(&mut head).await.unwrap();
        let mut settings = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        client.read_exact(&mut settings).await.unwrap();
        let told = settings.chunks_exact(6).find(|setting| setting[1] == FRAME).expect("it is told");
        assert_eq!(told[2..], frame.to_be_bytes());
    }
}

#[tokio::test]
async fn who_comes_after_the_last_seat_is_told() {
    let world = World::new(Limits { connections: 2, ..Limits::default() });
    let mut first = world.client().await;
    let _second = world.client().await;
    reaches(&world.tally.accepted, 2).await;
    let mut third = world.dial().await;
    let goodbye = read_to_end(&mut third).await;
    assert!(goodbye.ends_with(b"too many connections"), "{goodbye:?}");
    assert_eq!(goodbye[9 + 3], 7, "a GOAWAY frame");
    first.call("echo", b"served").await.unwrap();
    drop(first);
}

#[tokio::test]
async fn a_seat_is_free_again_when_its_connection_ends() {
    let world = World::new(Limits { connections: 1, ..Limits::default() });
    for round in 1..=20 {
        let mut client = world.client().await;
        client.call("echo", b"").await.unwrap();
        client.driver.abort();
        reaches(&world.tally.closed, round).await;
    }
    assert_eq!(world.tally.crowded.get(), 0);
}

#[tokio::test]
async fn a_client_hears_why_it_is_turned_away() {
    let world = World::new(Limits { connections: 0, ..Limits::default() });
    let client = Client::over(world.dial().await).await;
    let ended = timeout(PATIENCE, client.driver).await.expect("never told").unwrap();
    let error = ended.unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::ENHANCE_YOUR_CALM));
    assert!(error.to_string().contains("too many connections"), "{error}");
}

#[tokio::test]
async fn calls_beyond_the_bound_wait_in_the_client() {
    let world = World::new(Limits { streams: 3, ..Limits::default() });
    let mut client = world.client().await;
    client.call("echo", b"settings were heard").await.unwrap();
    let mut waiting = Vec::new();
    for _ in 0..4 {
        waiting.push(client.ask(CALL, &[], &call("wait", b"")).await);
    }
    fact(|| world.facts.running() == 3).await;
    for open in waiting {
        // The fourth runs when there is room for it.
        fact(|| world.facts.running() > 0).await;
        world.facts.0.release.notify_one();
        open.ended().await.unwrap();
    }
    assert_eq!(world.facts.0.most.load(std::sync::atomic::Ordering::SeqCst), 3);
}

/// A client that does not care for the bound it was told.
#[tokio::test]
async fn calls_beyond_the_bound_never_reach_the_service() {
    let world = World::new(Limits { streams: 3, ..Limits::default() });
    let mut rude = world.dial().await;
    rude.write_all(PREFACE).await.unwrap();
    rude.write_all(SETTINGS).await.unwrap();
    let message = crate::client::framed(&call("wait", b""));
    for stream in (1..).step_by(2).take(50) {
        let mut frames = frame(1, 4, stream, &headers(CALL));
        frames.extend(frame(0, 1, stream, &message));
        rude.write_all(&frames).await.unwrap();
    }
    fact(|| world.facts.running() == 3).await;
    // REFUSED_STREAM for each of the others.
    let mut refused = 0;
    while refused < 47 {
        let mut head = [0; 9];
        timeout(PATIENCE, rude.read_exact(&mut head)).await.expect("not refused").unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut body = vec![0; length as usize];
        rude.read_exact(&mut body).await.unwrap();
        if head[3] == 3 {
            assert_eq!(body, [0, 0, 0, 7]);
            refused += 1;
        }
    }
    assert_eq!(world.facts.0.most.load(std::sync::atomic::Ordering::SeqCst), 3);
}

fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(body.len()).unwrap().to_be_bytes();
    let mut bytes = vec![a, b, c, kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(body);
    bytes
}

/// As literals, without a table and without Huffman's code.
fn headers(path: &str) -> Vec<u8> {
    let pairs = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "sidewinder"),
        (":path", path),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    let mut block = Vec::new();
    for (name, value) in pairs {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.bytes());
        }
    }
    block
}

#[tokio::test]
async fn headers_are_bounded() {
    let world = World::new(Limits { header_list: 2_000, ..Limits::default() });
    let mut client = world.client().await;
    client.call("echo", b"").await.unwrap();
    let long = "x".repeat(5_000);
    let open = client.ask(CALL, &[("long", &long)], &call("echo", b"")).await;
    let response = timeout(PATIENCE, open.response).await.expect("no response").unwrap();
    assert_eq!(response.status(), http::StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert_eq!(world.tally.begun.get(), 1);
}

#[tokio::test]
async fn a_client_that_is_not_there_any_more_is_noticed() {
    let quick = Duration::from_millis(100);
    let limits = Limits { keepalive_every: quick, keepalive_patience: quick, ..Limits::default() };
    let world = World::new(limits);
    let mut client = world.client().await;
    let _waiting = client.ask(CALL, &[], &call("wait", b"")).await;
    fact(|| world.facts.running() == 1).await;
    client.freeze();
    fact(|| world.facts.running() == 0).await;
    reaches(&world.tally.closed, 1).await;
}
