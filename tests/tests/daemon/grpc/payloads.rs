//! Values on their way: every content type, every size, and bytes that are none.

use super::{lives, serving, why};
use crate::orders::until;
use sidewinder_proto::v1::{Call, CallRequest, Payload};
use sidewinder_tests::arena::Arena;
use sidewinder_tests::client::{Calls, JSON, MSGPACK, RAW, answer, call, connect, payload, text, with};
use sidewinder_tests::procfs::anonymous;
use std::time::Instant;
use tonic::Status;

async fn give(calls: &mut Calls, tool: &str, arguments: Option<Payload>) -> Result<Payload, Status> {
    let request = CallRequest { call: Some(call(tool)), arguments };
    Ok(calls.call(request).await?.into_inner().value.unwrap())
}

/// A map of one entry, called `value`.
fn value(packed: &[u8]) -> Vec<u8> {
    [b"\x81\xa5value".as_slice(), packed].concat()
}

#[tokio::test]
async fn message_pack_goes_through_as_it_is_bytes_included() {
    let arena = Arena::prepare("msgpack").unwrap();
    let daemon = serving(&arena, "values", 1);
    let mut calls = connect(&daemon).await.unwrap();
    let every_byte = [[0xc5, 1, 0].as_slice(), &(0..=255).collect::<Vec<u8>>()].concat();
    let packed: [&[u8]; 7] = [
        &every_byte,
        b"\xc4\x00",
        b"\xa3\x00\xc3\xbc",
        b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xd6\xff\x65\x00\x00\x00",
        b"\x93\xc0\xc3\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
        b"\x81\x01\x90",
    ];
    for packed in packed {
        let said = give(&mut calls, "same", Some(payload(MSGPACK, value(packed)))).await.unwrap();
        assert_eq!((&*said.data, &*said.content_type), (packed, MSGPACK));
    }
    let kind = give(&mut calls, "kind", Some(payload(MSGPACK, value(&every_byte)))).await.unwrap();
    assert_eq!(&*kind.data, b"\xa5bytes");
    let refused = why(give(&mut calls, "same", Some(payload(JSON, r#"{"value": {"a": NaN}}"#))).await);
    assert_eq!(refused.reason(), "BAD_PAYLOAD", "what JSON cannot say is not guessed");
}

#[tokio::test]
async fn raw_bytes_are_bytes_and_nothing_at_all_is_json() {
    let arena = Arena::prepare("raw").unwrap();
    let daemon = serving(&arena, "values", 1);
    let mut calls = connect(&daemon).await.unwrap();
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let said = give(&mut calls, "size", Some(payload(RAW, bytes.clone()))).await.unwrap();
    assert_eq!((&*said.data, &*said.content_type), (b"100000".as_slice(), RAW));
    let same = give(&mut calls, "same", Some(payload(RAW, bytes.clone()))).await.unwrap();
    assert_eq!(same.data, bytes);
    // Without a word about it, bytes are JSON; no bytes at all are no arguments.
    for arguments in [None, Some(payload("", "")), Some(payload("", "{}")), Some(payload(JSON, ""))] {
        let said = give(&mut calls, "nothing", arguments).await.unwrap();
        assert_eq!((text(Some(said.clone())), &*said.content_type), ("null".to_owned(), JSON));
    }
    let said = give(&mut calls, "same", Some(payload("application/json; charset=utf-8", r#"{"value": 1}"#)));
    assert_eq!(text(Some(said.await.unwrap())), "1");
    assert_eq!(
        give(&mut calls, "nothing", Some(payload(MSGPACK, ""))).await.unwrap().data,
        b"\xc0".as_slice()
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_and_costs_nothing() {
    let arena = Arena::prepare("unreadable").unwrap();
    let daemon = serving(&arena, "values", 1);
    let mut calls = connect(&daemon).await.unwrap();
    let long = "x".repeat(5000);
    let deep = vec![b'['; 100_000];
    let cases: [(&str, &[u8], &str); 13] = [
        ("text/plain", b"x", "BAD_CONTENT_TYPE"),
        ("application/json\0", b"{}", "BAD_CONTENT_TYPE"),
        ("\u{1f40d}", b"{}", "BAD_CONTENT_TYPE"),
        (&long, b"{}", "BAD_REQUEST"),
        (JSON, b"{", "BAD_PAYLOAD"),
        (JSON, b"\xff\xfe", "BAD_PAYLOAD"),
        (JSON, b"{} {}", "BAD_PAYLOAD"),
        (JSON, &deep, "BAD_PAYLOAD"),
        (JSON, b"3", "BAD_ARGUMENTS"),
        (MSGPACK, b"\x81\xa5val", "BAD_PAYLOAD"),
        (MSGPACK, b"\xc1", "BAD_PAYLOAD"),
        (MSGPACK, b"\xdf\xff\xff\xff\xff", "BAD_PAYLOAD"),
        (MSGPACK, b"\x80\x80", "BAD_PAYLOAD"),
    ];
    for (content_type, data, reason) in cases {
        let refused = why(give(&mut calls, "same", Some(payload(content_type, data.to_vec()))).await);
        assert_eq!((refused.reason(), refused.fact("ran")), (reason, "no"), "{content_type:?} {refused:?}");
        assert_eq!(refused.status.code(), tonic::Code::InvalidArgument);
        assert!(!refused.status.message().is_empty());
    }
    assert_eq!(answer(&mut calls, "same", r#"{"value": 1}"#).await.unwrap(), "1");
    assert_eq!(lives(&daemon), ["0.1"]);
}

#[tokio::test]
async fn large_values_pass_and_too_large_ones_are_refused_in_both_directions() {
    const LIMIT: usize = 64 << 20;
    let arena = Arena::prepare("large").unwrap();
    let daemon = serving(&arena, "values", 1);
    let mut calls = connect(&daemon).await.unwrap();
    let large = vec![1; LIMIT - 1024];
    let said = give(&mut calls, "size", Some(payload(RAW, large))).await.unwrap();
    assert_eq!(said.data, (LIMIT - 1024).to_string());
    let refused = why(give(&mut calls, "size", Some(payload(RAW, vec![1; LIMIT]))).await);
    assert_eq!(refused.reason(), "TOO_LARGE", "{refused:?}");
    assert!(refused.status.message().contains(&LIMIT.to_string()), "{refused:?}");
    let made = answer(&mut calls, "make", &format!(r#"{{"size": {}}}"#, LIMIT - 2)).await.unwrap();
    assert_eq!(made.len(), LIMIT);
    let raised = why(answer(&mut calls, "make", &format!(r#"{{"size": {}}}"#, LIMIT - 1)).await);
    assert_eq!((raised.reason(), raised.fact("exception")), ("RAISED", "sidewinder.TooLargeError"));
    assert!(raised.status.message().contains(&LIMIT.to_string()), "{raised:?}");
    assert_eq!(lives(&daemon), ["0.1"], "nothing of this has cost a worker");
}

#[tokio::test]
async fn memory_that_large_values_have_taken_is_given_back() {
    const VALUE: usize = 16 << 20;
    /// What a daemon may keep for the next, and what it has come to know meanwhile.
    const KEPT_MAX: usize = 8 << 20;
    let arena = Arena::prepare("given-back").unwrap();
    let daemon = serving(&arena, "values", 1);
    let mut calls = connect(&daemon).await.unwrap();
    let taken = || anonymous(daemon.pid()).unwrap();
    answer(&mut calls, "same", r#"{"value": 1}"#).await.unwrap();
    let (before, mut most) = (taken(), 0);
    for _ in 0..4 {
        let same = give(&mut calls, "same", Some(payload(RAW, vec![1; VALUE]))).await.unwrap();
        assert_eq!(same.data.len(), VALUE);
        most = most.max(taken());
    }
    assert!(most > before + KEPT_MAX, "nothing is kept for the next value");
    let freed = Instant::now();
    until("it is given back", || taken() <= before + KEPT_MAX);
    let (mib, after) = (|bytes: usize| bytes >> 20, freed.elapsed());
    println!("{} MiB before, {} with large values, {} after {after:?}", mib(before), mib(most), mib(taken()));
}

#[tokio::test]
async fn metadata_reaches_the_tool_within_its_bounds() {
    let arena = Arena::prepare("metadata").unwrap();
    let daemon = serving(&arena, "values", 1);
    let mut calls = connect(&daemon).await.unwrap();
    let with_metadata = |name: &str, value: String| {
        with(Call { metadata: [(name.to_owned(), value)].into(), ..call("metadata") }, "{}")
    };
    let said = calls.call(with_metadata("tenant", "a=b, ü".into())).await.unwrap().into_inner();
    assert_eq!(text(said.value), r#"{"tenant":"a=b, ü"}"#);
    let said = calls.call(with_metadata("much", "x".repeat(65_000))).await.unwrap().into_inner();
    assert_eq!(text(said.value).len(), 65_000 + r#"{"much":""}"#.len());
    for (name, value) in [("much", "x".repeat(1 << 20)), ("a=b", String::new())] {
        let refused = why(calls.call(with_metadata(name, value)).await);
        assert_eq!((refused.reason(), refused.fact("field")), ("BAD_REQUEST", "call.metadata"));
    }
    let refused = why(answer(&mut calls, &"x".repeat(200_000), "{}").await);
    assert_eq!((refused.reason(), refused.fact("field")), ("BAD_REQUEST", "call.tool"));
    assert_eq!(answer(&mut calls, "same", r#"{"value": 1}"#).await.unwrap(), "1");
}
