//! From a question of gRPC to a request for the core and an ask for the worker. Bad input ends here.

use super::find_named;
use crate::endings::Key;
use crate::pool::{Handle, Pools};
use crate::telemetry::Origin;
use crate::worker::words::Ask;
use sidewinder_core::{Affinity, AffinityKey, AffinityMode, CallKey, ClientId, OnAbandon, Priority, Request};
use sidewinder_edge::call::Deadline;
use sidewinder_edge::outcome::{Invalid, Outcome};
use sidewinder_edge::peer::{Identity, Peer, Pulse};
use sidewinder_edge::status::Whose;
use sidewinder_proto::v1;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;
use tonic::{Extensions, metadata::MetadataMap};

/// Bytes of a tool's name, and of a content type.
const NAME_MAX: usize = 1024;
/// Bytes of all metadata of a call together: it has to fit into the first frame to the worker.
const METADATA_MAX: usize = 64 * 1024;
/// What an entry costs beside its name and value.
const ENTRY: usize = 16;

/// A call that makes sense.
pub(super) struct Parsed {
    pub(super) pool: Handle,
    pub(super) whose: Whose,
    pub(super) request: Request,
    pub(super) ask: Box<Ask>,
    pub(super) origin: Origin,
}

/// What came beside the message.
pub(super) struct Beside {
    pub(super) deadline: Option<Instant>,
    client: u64,
    /// Who asks.
    pub(super) who: Identity,
    name: Option<Arc<str>>,
    trace: Origin,
    /// How the connection of the caller does.
    pub(super) pulse: Arc<Pulse>,
}

impl Beside {
    pub(super) fn of(metadata: &MetadataMap, extensions: &Extensions) -> Self {
        let peer = extensions.get::<Peer>();
        let word = |name| metadata.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Self {
            deadline: extensions.get::<Deadline>().map(|deadline| deadline.0),
            client: peer.map_or(0, |peer| peer.connection),
            who: peer.map(Peer::identity).unwrap_or_default(),
            name: peer.map(|peer| peer.name.clone()),
            trace: Origin { traceparent: word("traceparent"), tracestate: word("tracestate") },
            pulse: peer.map(|peer| peer.pulse.clone()).unwrap_or_default(),
        }
    }
}

/// Reads a call. `credit` says how many items its reader takes at first; none asks for one answer.
pub(super) fn call(
    pools: &Pools,
    call: v1::Call,
    arguments: Option<v1::Payload>,
    beside: &Beside,
    credit: u32,
    usual: OnAbandon,
) -> Result<Parsed, Outcome> {
    if call.tool.is_empty() {
        return Err(bad("call.tool", "name a tool: Pools.ListTools lists them"));
    }
    if call.tool.len() > NAME_MAX {
        return Err(bad("call.tool", "be at most 1,024 bytes"));
    }
    check_metadata(&call.metadata)?;
    let (name, pool) = find_named(pools, &call.pool)?;
    let whose = Whose { pool: name, tool: call.tool.clone(), worker: String::new() };
    let mut request = Request::new(pool.next_call(), ClientId(beside.client));
    request.deadline = beside.deadline;
    request.priority = priority(call.priority)?;
    request.on_abandon = on_abandon(call.on_abandon, usual)?;
    request.affinity = call.affinity.as_ref().map(affinity).transpose()?;
    let arguments = arguments.unwrap_or_default();
    if arguments.content_type.len() > NAME_MAX {
        return Err(bad("arguments.content_type", "be at most 1,024 bytes"));
    }
    let ask = Box::new(Ask {
        tool: call.tool,
        content_type: arguments.content_type,
        deadline: None,
        metadata: call.metadata.into_iter().collect(),
        traceparent: beside.trace.traceparent.clone(),
        client: beside.name.clone(),
        credit,
        input: false,
        attempt: 1,
        memo: None,
        body: arguments.data,
    });
    Ok(Parsed { pool, whose, request, ask, origin: beside.trace.clone() })
}

fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), Outcome> {
    let size: usize = metadata.iter().map(|(name, value)| name.len() + value.len() + ENTRY).sum();
    match () {
        () if size > METADATA_MAX => Err(bad("call.metadata", "have at most 64 KiB")),
        () if metadata.keys().any(|name| name.contains('=')) => {
            Err(bad("call.metadata", "have no `=` in its names"))
        }
        () => Ok(()),
    }
}

fn priority(number: i32) -> Result<Priority, Outcome> {
    use v1::Priority as Said;
    match Said::try_from(number) {
        Ok(Said::Unspecified | Said::Normal) => Ok(Priority::Normal),
        Ok(Said::Low) => Ok(Priority::Low),
        Ok(Said::High) => Ok(Priority::High),
        Err(_) => Err(bad("call.priority", "be one of the priorities")),
    }
}

fn on_abandon(number: i32, usual: OnAbandon) -> Result<OnAbandon, Outcome> {
    use v1::OnAbandon as Said;
    match Said::try_from(number) {
        Ok(Said::Unspecified) => Ok(usual),
        Ok(Said::Cancel) => Ok(OnAbandon::Cancel),
        Ok(Said::Finish) => Ok(OnAbandon::Finish),
        Err(_) => Err(bad("call.on_abandon", "be cancel or finish")),
    }
}

fn affinity(affinity: &v1::Affinity) -> Result<Affinity, Outcome> {
    use v1::AffinityMode as Said;
    if affinity.key.is_empty() {
        return Err(bad("call.affinity.key", "relate calls by not being empty"));
    }
    let mode = match Said::try_from(affinity.mode) {
        Ok(Said::Unspecified | Said::Hint) => AffinityMode::Hint,
        Ok(Said::StrictQueue) => AffinityMode::StrictQueue,
        Ok(Said::StrictFailFast) => AffinityMode::StrictFailFast,
        Err(_) => return Err(bad("call.affinity.mode", "be one of the modes")),
    };
    Ok(Affinity { key: AffinityKey(hash(&affinity.key)), mode })
}

/// The key of a call, as pools know it.
pub(super) fn call_key(key: &Key) -> CallKey {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    CallKey(hasher.finish())
}

/// Keys are told apart by 64 bits. The hash is the same for the whole life of the daemon.
fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

pub(super) fn bad(field: &str, problem: &str) -> Outcome {
    Outcome::Invalid(Invalid::BadField { field: field.to_owned(), problem: problem.to_owned() })
}
