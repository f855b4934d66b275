//! `grpc.health.v1`: each pool tells the truth of itself, and only of itself.

use super::super::orders::{are_ready, order};
use super::super::{config, plain};
use super::until;
use sidewinder_proto::v1::Call;
use sidewinder_tests::arena::Arena;
use sidewinder_tests::client::{Wire, ask, call, connect, wire, with};
use sidewinder_tests::daemon::Daemon;
use tonic::Streaming;
use tonic_health::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

const SERVING: i32 = ServingStatus::Serving as i32;
const NOT_SERVING: i32 = ServingStatus::NotServing as i32;

#[tokio::test]
async fn health_is_the_truth_and_being_busy_changes_nothing() {
    let arena = Arena::prepare("health").unwrap();
    let daemon = plain(&arena);
    let (channel, origin) = wire(&daemon).await.unwrap();
    let mut health = HealthClient::with_origin(channel, origin);
    let service = |name: &str| HealthCheckRequest { service: name.to_owned() };
    let mut told = health.watch(service("default")).await.unwrap().into_inner();
    // Nothing is ready before a canary has come back; then it is.
    while told.message().await.unwrap().unwrap().status != SERVING {}
    let mut calls = connect(&daemon).await.unwrap();
    let busy = tokio::spawn(async move { calls.call(ask("sleep", r#"{"seconds": 60}"#)).await });
    until("the call runs", || daemon.status().unwrap()["pools"][0]["running"] == 1).await;
    for name in ["default", ""] {
        assert_eq!(health.check(service(name)).await.unwrap().into_inner().status, SERVING, "{name:?}");
    }
    busy.abort();
    order(&daemon, "drain", &["default", "--within", "0s"]);
    while told.message().await.unwrap().unwrap().status == SERVING {}
    order(&daemon, "resume", &["default"]);
    while told.message().await.unwrap().unwrap().status != SERVING {}
    let unknown = health.check(service("no-such-pool")).await.unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::NotFound);
}

/// Its only worker has the last of its calls, and nobody can come in its place yet.
#[tokio::test]
async fn the_last_call_of_a_worker_does_not_change_health() {
    let arena = Arena::prepare("last-call").unwrap();
    let pool = |name: &str| format!("[pools.{name}]\nexpose = [\"time:sleep\"]\nworkers = 1\nheadroom = 0\n");
    let rules = "recycle.calls = 1\nrecycle.spread_percent = 0\n";
    let daemon = config::start(&arena, &(pool("last") + rules + &pool("other")));
    order(&daemon, "wait", &["--ready"]);
    let (channel, origin) = wire(&daemon).await.unwrap();
    let mut health = HealthClient::with_origin(channel, origin);
    let service = |name: &str| HealthCheckRequest { service: name.to_owned() };
    let mut last = health.watch(service("last")).await.unwrap().into_inner();
    let mut other = health.watch(service("other")).await.unwrap().into_inner();
    for told in [&mut last, &mut other] {
        while told.message().await.unwrap().unwrap().status != SERVING {}
    }
    let mut calls = connect(&daemon).await.unwrap();
    let request = with(Call { pool: "last".to_owned(), ..call("sleep") }, "[60]");
    let busy = tokio::spawn(async move { calls.call(request).await });
    until("the call runs", || daemon.status().unwrap()["pools"][0]["running"] == 1).await;
    // One look sees to both pools, the other pool last.
    order(&daemon, "drain", &["other", "--within", "0s"]);
    while other.message().await.unwrap().unwrap().status == SERVING {}
    assert_eq!(health.check(service("last")).await.unwrap().into_inner().status, SERVING);
    busy.abort();
}

async fn watching(daemon: &Daemon<'_>, pool: &str) -> (HealthClient<Wire>, Streaming<HealthCheckResponse>) {
    let (channel, origin) = wire(daemon).await.unwrap();
    let mut health = HealthClient::with_origin(channel, origin);
    let request = HealthCheckRequest { service: pool.to_owned() };
    let told = health.watch(request).await.unwrap().into_inner();
    (health, told)
}

/// Its only worker is replaced, with room for another beside it and without. What is told between the readiness of the
/// first and the drain is all there is.
#[tokio::test]
async fn a_replacement_changes_health_only_when_nobody_serves_meanwhile() {
    for (headroom, expected) in [(1, vec![NOT_SERVING]), (0, vec![NOT_SERVING, SERVING, NOT_SERVING])] {
        let arena = Arena::prepare(&format!("replaced-{headroom}")).unwrap();
        let pool = format!("[pools.only]\nexpose = [\"time:sleep\"]\nworkers = 1\nheadroom = {headroom}\n");
        let daemon = config::start(&arena, &pool);
        let (_health, mut told) = watching(&daemon, "only").await;
        while told.message().await.unwrap().unwrap().status != SERVING {}
        let first = pid(&daemon);
        order(&daemon, "restart", &["only"]);
        until("it is replaced", || pid(&daemon).is_some_and(|now| Some(now) != first)).await;
        are_ready(&daemon, 1);
        // What is told last is a look at a pool whose replacement is ready.
        let asked = HealthCheckRequest { service: "only".to_owned() };
        let (mut health, _) = watching(&daemon, "only").await;
        let patience = tokio::time::Instant::now() + super::PATIENCE;
        while health.check(asked.clone()).await.unwrap().into_inner().status != SERVING {
            assert!(tokio::time::Instant::now() < patience, "it serves, and health does not say so");
        }
        order(&daemon, "drain", &["only", "--within", "0s"]);
        let mut statuses = Vec::new();
        while statuses.len() < expected.len() {
            statuses.push(told.message().await.unwrap().unwrap().status);
        }
        assert_eq!(statuses, expected, "with room for {headroom}");
    }
}

/// The process of the only worker that serves; none while there is no such worker.
fn pid(daemon: &Daemon<'_>) -> Option<u64> {
    let status = daemon.status().unwrap();
    let workers = status["workers"].as_array().unwrap();
    let [only] = workers.iter().filter(|worker| worker["state"] == "RUNNING").collect::<Vec<_>>()[..] else {
        return None;
    };
    only["pid"].as_u64()
}
