//! What one pool measures, with its attributes made once: a call costs three look-ups and no text.

use super::Instruments;
use crate::telemetry::traces::{CallSpan, OK, Origin, Traces};
use opentelemetry::KeyValue;
use serde::Deserialize;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Tools of one pool that have figures of their own; further ones share theirs.
const TOOLS_MAX: usize = 128;
/// The name under which the others are counted, and whatever nobody offers.
const OTHER: &str = "_OTHER";

/// The figures of one pool.
pub(crate) struct PoolMeter {
    instruments: Arc<Instruments>,
    traces: Traces,
    name: Arc<str>,
    pool: [KeyValue; 1],
    /// Those that workers offer. Whoever calls something else must not make figures.
    tools: RwLock<HashMap<String, Arc<Attributes>>>,
    others: Arc<Attributes>,
}

/// What a figure of one tool's calls is told with.
struct Attributes {
    ran: [KeyValue; 2],
    /// Of the calls that ended as most do.
    ok: [KeyValue; 3],
}

impl Attributes {
    fn new(pool: &KeyValue, tool: String) -> Arc<Self> {
        let tool = KeyValue::new("tool", Arc::<str>::from(tool));
        let ok = [pool.clone(), tool.clone(), KeyValue::new("outcome", OK)];
        Arc::new(Self { ran: [pool.clone(), tool], ok })
    }

    fn ended(&self, outcome: &'static str) -> [KeyValue; 3] {
        let [pool, tool] = self.ran.clone();
        [pool, tool, KeyValue::new("outcome", outcome)]
    }
}

impl fmt::Debug for PoolMeter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("PoolMeter").field("name", &self.name).finish_non_exhaustive()
    }
}

#[derive(Debug, Deserialize)]
struct Offer {
    #[serde(default)]
    tools: Vec<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

impl PoolMeter {
    pub(super) fn new(instruments: Arc<Instruments>, traces: Traces, name: &str) -> Self {
        let name: Arc<str> = Arc::from(name);
        let pool = [KeyValue::new("pool", name.clone())];
        let others = Attributes::new(&pool[0], OTHER.to_owned());
        Self { instruments, traces, name, pool, tools: RwLock::default(), others }
    }

    /// Workers offer these tools, as JSON. Names that were known stay known.
    pub(crate) fn offered(&self, offer: &[u8]) {
        let Ok(offer) = serde_json::from_slice::<Offer>(offer) else { return };
        let mut tools = self.tools.write().unwrap_or_else(PoisonError::into_inner);
        for Named { name } in offer.tools {
            if tools.len() < TOOLS_MAX && !tools.contains_key(&name) {
                let attributes = Attributes::new(&self.pool[0], name.clone());
                tools.insert(name, attributes);
            }
        }
    }

    fn tool(&self, name: &str) -> Arc<Attributes> {
        let tools = self.tools.read().unwrap_or_else(PoisonError::into_inner);
        tools.get(name).unwrap_or(&self.others).clone()
    }

    /// Begins to measure a call, which belongs to the trace of its caller.
    pub(crate) fn call(
        self: &Arc<Self>,
        tool: &str,
        deadline: Option<Instant>,
        origin: &Origin,
    ) -> CallMeter {
        let tool: Arc<str> = Arc::from(tool);
        CallMeter {
            meter: self.clone(),
            span: self.traces.call(origin, &self.name, &tool),
            tool,
            deadline,
            asked: Instant::now(),
            began: None,
            ended: false,
        }
    }

    /// A worker has answered for the first time, so long after it was wished for.
    pub(crate) fn started(&self, after: Duration) {
        self.instruments.startup.record(after.as_secs_f64(), &self.pool);
    }

    /// A worker is gone.
    pub(crate) fn gone(&self, cause: &'static str) {
        self.instruments.exits.add(1, &self.with("cause", cause));
    }

    /// A worker is started in the place of one that is gone.
    pub(crate) fn restarted(&self, cause: &'static str) {
        self.instruments.restarts.add(1, &self.with("cause", cause));
    }

    /// A worker has said too much.
    pub(crate) fn output_dropped(&self, lines: u64) {
        self.instruments.output_dropped.add(lines, &self.pool);
    }

    fn with(&self, name: &'static str, value: &'static str) -> [KeyValue; 2] {
        [self.pool[0].clone(), KeyValue::new(name, value)]
    }
}

/// Measures one call. Dropping it before the ending counts a call for which nobody waits any more.
#[derive(Debug)]
pub(crate) struct CallMeter {
    meter: Arc<PoolMeter>,
    tool: Arc<str>,
    span: CallSpan,
    deadline: Option<Instant>,
    asked: Instant,
    began: Option<Instant>,
    ended: bool,
}

impl CallMeter {
    /// What stands above whatever the tool does, when spans are sent.
    pub(crate) fn traceparent(&self) -> Option<String> {
        self.span.traceparent()
    }

    /// A worker has it.
    pub(crate) fn began(&mut self, worker: &str) {
        self.span.began(worker);
        let now = Instant::now();
        let waited = now.saturating_duration_since(self.asked);
        self.began = Some(now);
        self.meter.instruments.wait.record(waited.as_secs_f64(), &self.meter.pool);
    }

    /// From the arrival to the worker.
    pub(crate) fn waited(&self) -> Duration {
        self.began.unwrap_or_else(Instant::now).saturating_duration_since(self.asked)
    }

    /// Since a worker has it.
    pub(crate) fn took(&self) -> Duration {
        self.began.map(|began| began.elapsed()).unwrap_or_default()
    }

    /// It has its ending. Only the first one counts.
    pub(crate) fn end(&mut self, outcome: &'static str) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.span.end(outcome);
        let attributes = self.meter.tool(&self.tool);
        if self.began.is_some() {
            self.meter.instruments.duration.record(self.took().as_secs_f64(), &attributes.ran);
        }
        let calls = &self.meter.instruments.calls;
        if outcome == OK {
            calls.add(1, &attributes.ok);
        } else {
            calls.add(1, &attributes.ended(outcome));
        }
    }
}

impl Drop for CallMeter {
    fn drop(&mut self) {
        let late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let outcome = match (late, self.began) {
            (true, Some(_)) => "DEADLINE_EXCEEDED",
            (true, None) => "DEADLINE_PASSED",
            (false, _) => "CANCELLED",
        };
        self.end(outcome);
    }
}
