//! Messages as two languages write them. `golden/messages-1` holds one message a line, its name and its bytes: `rust.txt`
//! is written here and read by the Elixir client, `elixir.txt` the other way round.
//!
//! `WRITE_GOLDEN=1` writes `rust.txt` anew; that of Elixir is written by the client's own test in the same way.

mod hex;

use hex::{hex, unhex};
use prost::Message;
use prost_types::{Duration, Timestamp};
use sidewinder_proto::v1::{self, from_client, input, to_client};
use std::fs;
use std::path::PathBuf;

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/messages-1").join(name)
}

/// Decodes bytes as the message of this name, and encodes it again.
fn again(name: &str, bytes: &[u8]) -> Option<Result<Vec<u8>, prost::DecodeError>> {
    macro_rules! by_name {
        ($($message:ident),* $(,)?) => {
            match name {
                $(stringify!($message) => Some(v1::$message::decode(bytes).map(|message| message.encode_to_vec())),)*
                _ => None,
            }
        };
    }
    by_name!(
        Affinity,
        Beat,
        Call,
        CallRequest,
        CallResponse,
        CallStructRequest,
        CallStructResponse,
        Client,
        DescribeRequest,
        DescribeResponse,
        Detach,
        DrainRequest,
        DrainResponse,
        DumpStacksRequest,
        DumpStacksResponse,
        Error,
        Event,
        FromClient,
        Granted,
        Hello,
        Input,
        Item,
        ListClientsRequest,
        ListClientsResponse,
        ListPoolsRequest,
        ListPoolsResponse,
        ListToolsRequest,
        ListToolsResponse,
        ListWorkersRequest,
        ListWorkersResponse,
        LogLine,
        LogsRequest,
        Parameter,
        Payload,
        Pool,
        PoolStanding,
        Question,
        QuitRequest,
        QuitResponse,
        Ran,
        ReloadRequest,
        ReloadResponse,
        ResizeRequest,
        ResizeResponse,
        RestartRequest,
        RestartResponse,
        ResultRequest,
        ResumeRequest,
        ResumeResponse,
        Size,
        Stacks,
        Standing,
        StructItem,
        ToClient,
        Tool,
        WatchRequest,
        Worker
    )
}

#[test]
fn what_elixir_writes_means_the_same_here() {
    let text = fs::read_to_string(golden("elixir.txt")).unwrap();
    let mut read = 0;
    for (line, number) in text.lines().zip(1..) {
        let (name, bytes) = line.split_once(' ').unwrap();
        let bytes = unhex(bytes).unwrap();
        let short = name.strip_prefix("sidewinder.v1.").unwrap();
        let Some(written) = again(short, &bytes) else {
            panic!("{name} is new: name it in this test");
        };
        assert_eq!(hex(&written.unwrap()), hex(&bytes), "elixir.txt:{number}: {name}");
        read += 1;
    }
    assert!(read >= 100, "only {read} messages");
}

/// One message of each shape: scalars at their bounds, maps, lists, messages in messages, presence, enums, oneofs.
fn ours() -> Vec<(&'static str, Vec<u8>)> {
    let call = v1::Call {
        pool: "fast".into(),
        tool: "add".into(),
        affinity: Some(v1::Affinity { key: "user-17".into(), mode: v1::AffinityMode::StrictQueue.into() }),
        idempotency_key: "key".into(),
        priority: v1::Priority::High.into(),
        on_abandon: v1::OnAbandon::Finish.into(),
        metadata: [("a".into(), "1".into()), ("b".into(), String::new())].into(),
        lease: "lease".into(),
        epoch: u64::MAX,
    };
    let payload = v1::Payload { data: vec![0, 255].into(), content_type: "application/msgpack".into() };
    let long = Duration { seconds: 315_576_000_000, nanos: 999_999_999 };
    let before = Timestamp { seconds: -62_135_596_800, nanos: 1 };
    let request = v1::CallRequest { call: Some(call), arguments: Some(payload.clone()) };
    let ran = v1::Ran { worker: "0.1".into(), waited: Some(Duration::default()), took: Some(long) };
    let event = v1::Event {
        sequence: 1 << 63,
        at: Some(before),
        what: v1::Happening::WorkerGone.into(),
        facts: [("signal".into(), "9".into())].into(),
        ..v1::Event::default()
    };
    let beat = v1::Beat {
        sequence: 127,
        answers: 128,
        held: Some(long),
        load: Some(0),
        next: Some(Duration::default()),
    };
    let standing = v1::PoolStanding { saturated: true, ready: u32::MAX, ..v1::PoolStanding::default() };
    let hello = v1::Hello { name: "ä€😀".into(), events: true, ..v1::Hello::default() };
    let input = v1::Input { part: Some(input::Part::Open(request.clone())) };
    let asked = v1::FromClient { part: Some(from_client::Part::Hello(hello)) };
    let told = v1::ToClient { part: Some(to_client::Part::Event(event)) };
    let bare = v1::ToClient { part: Some(to_client::Part::Beat(v1::Beat::default())) };
    let parameter = v1::Parameter { default_json: Some(String::new()), ..v1::Parameter::default() };
    vec![
        ("CallRequest", request.encode_to_vec()),
        ("CallResponse", v1::CallResponse { value: Some(payload), ran: Some(ran) }.encode_to_vec()),
        ("Input", input.encode_to_vec()),
        ("Item", v1::Item { value: Some(v1::Payload::default()) }.encode_to_vec()),
        ("FromClient", asked.encode_to_vec()),
        ("ToClient", told.encode_to_vec()),
        ("ToClient", bare.encode_to_vec()),
        ("Beat", beat.encode_to_vec()),
        ("Beat", v1::Beat::default().encode_to_vec()),
        ("Standing", v1::Standing { pools: vec![standing; 3], ..v1::Standing::default() }.encode_to_vec()),
        ("Parameter", parameter.encode_to_vec()),
        ("WatchRequest", v1::WatchRequest { pools: vec!["a".into(), String::new()] }.encode_to_vec()),
    ]
}

#[test]
fn what_rust_writes_is_what_elixir_reads() {
    let lines: Vec<String> =
        ours().iter().map(|(name, bytes)| format!("sidewinder.v1.{name} {}", hex(bytes))).collect();
    let text = lines.join("\n") + "\n";
    if std::env::var_os("WRITE_GOLDEN").is_some() {
        fs::write(golden("rust.txt"), &text).unwrap();
    }
    assert_eq!(
        fs::read_to_string(golden("rust.txt")).unwrap_or_default(),
        text,
        "WRITE_GOLDEN=1 writes it anew"
    );
}
