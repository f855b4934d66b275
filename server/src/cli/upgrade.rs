//! `sidewinder upgrade`: another program goes on in the process of a daemon.

use super::client::{Failed, Where, ask};
use super::style::show;
use sidewinder_proto::v1::{DescribeRequest, DescribeResponse, UpgradeRequest, UpgradeResponse};
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// Between two looks for the next daemon.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// It has begun after this long, or something is wrong with it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Put the executable that the daemon was started from in its place; workers, their calls and listeners stay
///
/// The daemon was started with `daemon.upgrade`. The executable is asked first whether it takes over; one that does not
/// changes nothing. SIGUSR2 does the same without waiting. Returns when the next daemon answers.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: install -m 755 new/sidewinder /usr/bin/sidewinder && sidewinder upgrade")]
pub(super) struct Arguments {
    #[command(flatten)]
    place: Where,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    ask(async {
        let upgraded = arguments.place.admin().await?.upgrade(UpgradeRequest {}).await?.into_inner();
        let until = Instant::now() + PATIENCE;
        let next = timeout_at(until, next_after(&arguments.place, &upgraded)).await;
        let late =
            |_| Failed::Here(format!("the next daemon does not answer after {PATIENCE:?}: see its log"));
        let next = next.map_err(late)?;
        let text = format!("process {} goes on with version {}\n", next.pid, next.version);
        show(&text).map_err(|error| Failed::Here(error.to_string()))
    })
}

/// Whoever is asked while the programs change may hear nothing.
async fn next_after(place: &Where, upgraded: &UpgradeResponse) -> DescribeResponse {
    loop {
        if let Ok(daemon) = describe(place).await
            && daemon.run != upgraded.run
        {
            return daemon;
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn describe(place: &Where) -> Result<DescribeResponse, Failed> {
    Ok(place.pools().await?.describe(DescribeRequest {}).await?.into_inner())
}
