//! Who a client says that it is. Bad words end here.

use crate::presence::Client;
use crate::rpc::parse::bad;
use sidewinder_edge::outcome::Outcome;
use sidewinder_edge::peer::{Origin, Peer};
use sidewinder_proto::v1;
use std::time::Duration;

/// Bytes of a name, of a node and of a run.
const NAME_MAX: usize = 256;
/// Bytes of all labels together, and what one costs beside its words.
const LABELS_MAX: usize = 4 * 1024;
const LABEL: usize = 16;

pub(super) fn client(hello: v1::Hello, peer: Option<&Peer>) -> Result<Client, Outcome> {
    for (field, text) in [("hello.name", &hello.name), ("hello.node", &hello.node), ("hello.run", &hello.run)]
    {
        if text.len() > NAME_MAX || text.chars().any(char::is_control) {
            return Err(bad(field, "be at most 256 bytes without control characters"));
        }
    }
    if hello.name.is_empty() {
        return Err(bad("hello.name", "be there: it is the scope of idempotency keys"));
    }
    if hello.run.is_empty() {
        return Err(bad("hello.run", "be there: choose it at random when the client starts"));
    }
    let labels: usize = hello.labels.iter().map(|(name, value)| name.len() + value.len() + LABEL).sum();
    if labels > LABELS_MAX {
        return Err(bad("hello.labels", "have at most 4 KiB"));
    }
    let span = |field, span: Option<prost_types::Duration>| {
        span.map(Duration::try_from).transpose().map_err(|_| bad(field, "not be negative"))
    };
    let vouched = match peer.map(|peer| peer.origin) {
        Some(Origin::Unix { pid: Some(pid), .. }) => u32::try_from(pid).ok(),
        Some(Origin::Unix { pid: None, .. } | Origin::Tcp(_)) | None => None,
    };
    Ok(Client {
        pid: vouched.unwrap_or(hello.pid),
        origin: peer.map(|peer| peer.origin.to_string()).unwrap_or_default(),
        who: peer.map(Peer::identity).unwrap_or_default(),
        account: peer.map(Peer::account).unwrap_or_default(),
        remote: matches!(peer.map(|peer| peer.origin), Some(Origin::Tcp(_))),
        interval: span("hello.interval", hello.interval)?,
        ttl: span("hello.ttl", hello.ttl)?,
        name: hello.name,
        node: hello.node,
        run: hello.run,
        labels: hello.labels,
    })
}
