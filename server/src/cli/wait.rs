//! `sidewinder wait`: until a daemon is there and takes calls.

use super::client::{Failed, Where, ask};
use crate::config::time::duration;
use sidewinder_proto::v1::{Event, ListPoolsRequest, Phase, WatchRequest};
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::Streaming;
use tonic::transport::Channel;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// Between two looks for a daemon that is not there yet.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Wait until a daemon is there and takes calls
///
/// It asks grpc.health.v1, as an orchestrator would. A pool that has given up ends the wait at once, with the reason.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Until calls are taken: what it waits for in any case
    #[arg(long)]
    ready: bool,
    /// Only this pool; by default every one
    #[arg(long, value_name = "NAME")]
    pool: Option<String>,
    /// Give up after this time
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration)]
    timeout: Duration,
    #[command(flatten)]
    place: Where,
}

pub(super) fn wait(arguments: &Arguments) -> ExitCode {
    ask(async {
        let until = Instant::now() + arguments.timeout;
        let late = || Failed::Here(format!("not ready after {:?}", arguments.timeout));
        timeout_at(until, async {
            let channel = connect(&arguments.place, until).await?;
            let events = arguments.place.pools().await?.watch(WatchRequest::default()).await?.into_inner();
            tokio::select! {
                ready = all_ready(channel, arguments) => ready,
                given_up = until_given_up(events, arguments) => given_up,
            }
        })
        .await
        .unwrap_or_else(|_| Err(late()))
    })
}

async fn connect(place: &Where, until: Instant) -> Result<Channel, Failed> {
    loop {
        match place.connect().await {
            Err(Failed::NoDaemon(why)) if Instant::now() + LOOK_EVERY >= until => {
                return Err(Failed::NoDaemon(why));
            }
            Err(Failed::NoDaemon(_)) => sleep(LOOK_EVERY).await,
            other => return other,
        }
    }
}

async fn all_ready(channel: Channel, arguments: &Arguments) -> Result<(), Failed> {
    for pool in pools(arguments).await? {
        ready(channel.clone(), pool).await?;
    }
    Ok(())
}

/// Every event may be the one after which nothing comes any more.
async fn until_given_up(mut events: Streaming<Event>, arguments: &Arguments) -> Result<(), Failed> {
    while events.message().await?.is_some() {
        pools(arguments).await?;
    }
    Err(Failed::Here("the daemon has stopped".to_owned()))
}

/// The pools to wait for; an error when one of them has given up.
async fn pools(arguments: &Arguments) -> Result<Vec<String>, Failed> {
    let pools = arguments.pool.iter().cloned().collect();
    let listed = arguments.place.pools().await?.list_pools(ListPoolsRequest { pools }).await?.into_inner();
    let fatal = listed.pools.iter().find(|pool| pool.phase() == Phase::Fatal);
    if let Some(pool) = fatal {
        return Err(Failed::Here(format!("pool {} has given up:\n{}", pool.name, pool.trouble)));
    }
    Ok(listed.pools.into_iter().map(|pool| pool.name).collect())
}

async fn ready(channel: Channel, pool: String) -> Result<(), Failed> {
    let request = HealthCheckRequest { service: pool };
    let mut health = HealthClient::new(channel).watch(request).await?.into_inner();
    while let Some(said) = health.message().await? {
        if said.status == ServingStatus::Serving as i32 {
            return Ok(());
        }
    }
    Err(Failed::Here("the daemon has stopped".to_owned()))
}
