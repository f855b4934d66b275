//! The verbs that show what comes, until the daemon stops or nobody looks any more.

pub(super) mod attach;
pub(super) mod events;
pub(super) mod logs;

use super::client::{Failed, Where};
use super::style::show_more;
use sidewinder_proto::v1::ListPoolsRequest;
use sidewinder_proto::v1::error::Reason;
use tonic::{Status, Streaming};
use tonic_types::StatusExt;

/// Refuses names that no pool has: their wait would have no end.
async fn known(place: &Where, pools: &[String]) -> Result<(), Failed> {
    if !pools.is_empty() {
        let request = ListPoolsRequest { pools: pools.to_vec() };
        place.pools().await?.list_pools(request).await?;
    }
    Ok(())
}

/// Shows what a stream brings, each as a text, until it ends, the daemon stops, or nobody looks any more.
async fn follow<T>(mut stream: Streaming<T>, mut text: impl FnMut(T) -> String) -> Result<(), Failed> {
    loop {
        let next = match stream.message().await {
            Ok(Some(next)) => next,
            Ok(None) => return Ok(()),
            Err(status) if is_stopping(&status) => return Ok(()),
            Err(status) => return Err(status.into()),
        };
        if !show_more(&text(next)).map_err(|error| Failed::Here(error.to_string()))? {
            return Ok(());
        }
    }
}

fn is_stopping(status: &Status) -> bool {
    let stopping = Reason::Stopping.as_str_name();
    status.get_error_details().error_info().is_some_and(|info| info.reason == stopping)
}
