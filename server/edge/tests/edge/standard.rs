//! What other people's tools ask every gRPC server for.

use crate::client::{call, framed};
use crate::world::World;
use prost::Message;
use sidewinder_edge::limits::Limits;
use sidewinder_proto::v1::{CallStructRequest, CallStructResponse};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

#[tokio::test]
async fn health_is_told() {
    let world = World::new(Limits::default());
    let request = HealthCheckRequest { service: String::new() };
    let mut client = world.client().await;
    let answer = client.ask("/grpc.health.v1.Health/Check", &[], &request).await.ended().await.unwrap();
    let answer = HealthCheckResponse::decode(answer.slice(5..)).unwrap();
    assert_eq!(answer.status(), ServingStatus::Serving);
}

#[tokio::test]
async fn services_describe_themselves() {
    let world = World::new(Limits::default());
    let mut client = world.client().await;
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        let list = MessageRequest::ListServices(String::new());
        let request = ServerReflectionRequest { host: String::new(), message_request: Some(list) };
        let answer = client.ask(&path, &[], &request).await.ended().await.unwrap();
        let answer = ServerReflectionResponse::decode(answer.slice(5..)).unwrap();
        let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
            panic!("{answer:?}")
        };
        let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
        let ours = ["Admin", "Calls", "Pools"].map(|name| format!("sidewinder.v1.{name}"));
        for name in ours.iter().map(String::as_str).chain(["grpc.health.v1.Health"]) {
            assert!(names.contains(&name), "{name} is not in {names:?}");
        }
    }
}

#[tokio::test]
async fn a_hand_can_call_with_a_struct() {
    let world = World::new(Limits::default());
    let number = prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(2.0)) };
    let arguments = prost_types::Struct { fields: [("a".to_owned(), number)].into() };
    let request = CallStructRequest { call: call("echo", b"").call, arguments: Some(arguments.clone()) };
    let mut client = world.client().await;
    let path = "/sidewinder.v1.Calls/CallStruct";
    let mut open = client.open(path, &[]).await;
    open.request.send_data(framed(&request), true).unwrap();
    let answer = CallStructResponse::decode(open.ended().await.unwrap().slice(5..)).unwrap();
    let value = answer.value.and_then(|value| value.kind);
    assert_eq!(value, Some(prost_types::value::Kind::StructValue(arguments)));
}
