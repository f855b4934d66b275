//! `sidewinder wait`: until a daemon is there and takes calls.

use super::client::{Failed, Where, ask};
use crate::config::time::duration;
use sidewinder_proto::v1::{ListPoolsRequest, Phase};
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};
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
    /// Until the pool is ready to take calls; what else could be waited for may come later
    #[arg(long, required = true)]
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
            for pool in pools(arguments).await? {
                ready(channel.clone(), pool).await?;
            }
            Ok(())
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
