//! A tool for calls by hand knows nothing before: it asks for the contract, and then calls with readable JSON.

use super::{serving, why};
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use sidewinder_proto::v1::CallStructRequest;
use sidewinder_tests::arena::Arena;
use sidewinder_tests::client::{call, connect, wire};
use sidewinder_tests::daemon::Daemon;
use std::collections::BTreeSet;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

async fn reflect(daemon: &Daemon<'_>, asked: MessageRequest) -> MessageResponse {
    let (wire, origin) = wire(daemon).await.unwrap();
    let mut reflection = ServerReflectionClient::with_origin(wire, origin);
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(asked) };
    let mut answers =
        reflection.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    answers.message().await.unwrap().unwrap().message_response.unwrap()
}

#[tokio::test]
async fn the_daemon_tells_its_contract() {
    let arena = Arena::prepare("reflection").unwrap();
    let daemon = serving(&arena, "plain", 1);
    let MessageResponse::ListServicesResponse(list) =
        reflect(&daemon, MessageRequest::ListServices(String::new())).await
    else {
        panic!("no list")
    };
    let names: BTreeSet<String> = list.service.into_iter().map(|service| service.name).collect();
    for name in ["Admin", "Calls", "Clients", "Pools"] {
        let name = format!("sidewinder.v1.{name}");
        assert!(names.contains(&name), "{name} is not in {names:?}");
        let found = reflect(&daemon, MessageRequest::FileContainingSymbol(name.clone())).await;
        let MessageResponse::FileDescriptorResponse(files) = found else { panic!("{name}: {found:?}") };
        assert!(files.file_descriptor_proto.iter().any(|file| !file.is_empty()), "{name}");
    }
    assert!(names.contains("grpc.health.v1.Health"), "{names:?}");
}

fn by_hand(tool: &str, fields: &[(&str, Kind)]) -> CallStructRequest {
    let field = |(name, kind): &(&str, Kind)| ((*name).to_owned(), Value { kind: Some(kind.clone()) });
    let arguments = Some(Struct { fields: fields.iter().map(field).collect() });
    CallStructRequest { call: Some(call(tool)), arguments }
}

#[tokio::test]
async fn a_hand_calls_and_streams_with_readable_values() {
    let arena = Arena::prepare("by-hand").unwrap();
    let daemon = serving(&arena, "plain", 1);
    let mut calls = connect(&daemon).await.unwrap();
    let request = by_hand("add", &[("a", Kind::NumberValue(40.0))]);
    let answer = calls.call_struct(request).await.unwrap().into_inner();
    assert_eq!(answer.value.and_then(|value| value.kind), Some(Kind::NumberValue(42.0)));
    assert_eq!(answer.ran.unwrap().worker, "0.1");
    let request = by_hand("count", &[("until", Kind::NumberValue(3.0))]);
    let mut items = calls.stream_struct(request).await.unwrap().into_inner();
    for expected in [0.0, 1.0, 2.0] {
        let item = items.message().await.unwrap().unwrap();
        assert_eq!(item.value.and_then(|value| value.kind), Some(Kind::NumberValue(expected)));
    }
    assert!(items.message().await.unwrap().is_none());
    let request = by_hand("add", &[("c", Kind::NumberValue(1.0))]);
    assert_eq!(why(calls.call_struct(request).await).reason(), "BAD_ARGUMENTS");
}
