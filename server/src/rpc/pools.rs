//! The service that looks.

use super::logs::{self, Lines};
use super::watch::{self, Watching};
use super::{find_named, said};
use crate::lifecycle::Decided;
use crate::pool::{self, Handle, Look, Pools};
use crate::presence::Register;
use crate::telemetry::{Events, Log};
use serde::Deserialize;
use sidewinder_core::{Phase, Size, State};
use sidewinder_proto::v1;
use sidewinder_proto::v1::pools_server::Pools as PoolsService;
use std::collections::BTreeMap;
use std::time::{Instant, SystemTime};
use tonic::{Request, Response, Status};

/// What does not change while the daemon lives.
#[derive(Clone, Debug)]
pub(crate) struct Daemon {
    pub(crate) run: String,
    pub(crate) tier: String,
    pub(crate) started: SystemTime,
    pub(crate) decided: Decided,
    pub(crate) register: Register,
}

/// Answers questions about pools.
#[derive(Clone, Debug)]
pub(crate) struct PoolsDoor {
    pools: Pools,
    daemon: Daemon,
    events: Events,
    log: Log,
}

/// What a worker offers, as it says it.
#[derive(Debug, Default, Deserialize)]
struct Offer {
    #[serde(default)]
    tools: Vec<Tool>,
}

#[derive(Debug, Deserialize)]
struct Tool {
    name: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    doc: String,
    #[serde(default)]
    parameters: Vec<Parameter>,
    #[serde(default)]
    returns: String,
}

#[derive(Debug, Deserialize)]
struct Parameter {
    name: String,
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    default: Option<serde_json::Value>,
}

impl PoolsDoor {
    pub(crate) fn new(pools: Pools, daemon: Daemon, events: Events, log: Log) -> Self {
        Self { pools, daemon, events, log }
    }

    /// The pools that are asked for, by name, each with a look at it. A pool that has ended is not there any more.
    async fn look(&self, names: &[String]) -> Result<BTreeMap<String, Look>, Status> {
        let wanted: BTreeMap<String, Handle> = if names.is_empty() {
            self.pools.all()
        } else {
            let find = |name: &String| find_named(&self.pools, name).map_err(said);
            names.iter().map(find).collect::<Result<_, Status>>()?
        };
        Ok(Pools::look_at(wanted).await)
    }
}

#[tonic::async_trait]
impl PoolsService for PoolsDoor {
    type WatchStream = Watching;
    type LogsStream = Lines;

    async fn describe(
        &self,
        _: Request<v1::DescribeRequest>,
    ) -> Result<Response<v1::DescribeResponse>, Status> {
        Ok(Response::new(v1::DescribeResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            run: self.daemon.run.clone(),
            pid: std::process::id(),
            started: Some(self.daemon.started.into()),
            tier: self.daemon.tier.clone(),
            mode: self.daemon.decided.mode.to_string(),
            mode_reason: self.daemon.decided.why.clone(),
            clients: u32::try_from(self.daemon.register.look().1.len()).unwrap_or(u32::MAX),
        }))
    }

    async fn list_pools(
        &self,
        request: Request<v1::ListPoolsRequest>,
    ) -> Result<Response<v1::ListPoolsResponse>, Status> {
        let looks = self.look(&request.into_inner().pools).await?;
        let pools = looks.iter().map(|(name, look)| show(name, look, &self.daemon.tier)).collect();
        Ok(Response::new(v1::ListPoolsResponse { pools }))
    }

    async fn list_workers(
        &self,
        request: Request<v1::ListWorkersRequest>,
    ) -> Result<Response<v1::ListWorkersResponse>, Status> {
        let looks = self.look(&request.into_inner().pools).await?;
        let workers = looks
            .iter()
            .flat_map(|(name, look)| look.snapshot.slots.iter().map(move |slot| worker(name, slot, look)));
        Ok(Response::new(v1::ListWorkersResponse { workers: workers.collect() }))
    }

    async fn list_tools(
        &self,
        request: Request<v1::ListToolsRequest>,
    ) -> Result<Response<v1::ListToolsResponse>, Status> {
        let looks = self.look(&request.into_inner().pools).await?;
        let mut tools = Vec::new();
        for (name, look) in &looks {
            let offer = look.offer.as_ref().and_then(|offer| serde_json::from_slice::<Offer>(offer).ok());
            tools.extend(offer.unwrap_or_default().tools.into_iter().map(|offered| tool(name, offered)));
        }
        Ok(Response::new(v1::ListToolsResponse { tools }))
    }

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let pools = request.into_inner().pools.into_iter().collect();
        Ok(Response::new(watch::stream(&self.events, pools)))
    }

    async fn logs(&self, request: Request<v1::LogsRequest>) -> Result<Response<Self::LogsStream>, Status> {
        logs::stream(&self.log, request.into_inner()).map(Response::new).map_err(said)
    }
}

fn show(name: &str, look: &Look, tier: &str) -> v1::Pool {
    let snapshot = &look.snapshot;
    let ready = snapshot.slots.iter().filter(|slot| slot.state == State::Running).count();
    v1::Pool {
        name: name.to_owned(),
        phase: phase(snapshot.phase).into(),
        generation: snapshot.generation.0,
        size: Some(size(look.size)),
        seats: look.seats.into(),
        waiting: snapshot.waiting as u64,
        running: snapshot.running as u64,
        processes: count(snapshot.processes),
        ready: count(ready),
        affinity_keys: snapshot.bound_keys as u64,
        struck_keys: snapshot.struck_keys as u64,
        trouble: look
            .unfit
            .as_ref()
            .map(|(message, trace)| format!("{message}\n{trace}"))
            .unwrap_or_default(),
        tier: tier.to_owned(),
        fork_server: look.fork_server.clone(),
    }
}

pub(super) fn size(size: Size) -> v1::Size {
    v1::Size {
        min: size.min().into(),
        max: size.max().into(),
        spare: size.spare().into(),
        headroom: size.headroom().into(),
    }
}

fn worker(name: &str, slot: &sidewinder_core::SlotView, look: &Look) -> v1::Worker {
    let state = match slot.state {
        State::Starting => v1::State::Starting,
        State::Running => v1::State::Running,
        State::Backoff => v1::State::Backoff,
        State::Stopping => v1::State::Stopping,
        State::Fatal => v1::State::Fatal,
    };
    v1::Worker {
        pool: name.to_owned(),
        slot: slot.slot.0.into(),
        life: slot.life.map(|life| life.to_string()).unwrap_or_default(),
        state: state.into(),
        pid: slot.life.and_then(|life| look.pids.get(&life).copied()).unwrap_or(0),
        generation: slot.generation.map_or(0, |generation| generation.0),
        busy: count(slot.busy),
        begun: slot.begun.into(),
        served: slot.served.into(),
        resident_bytes: slot.resident,
        ready_since: slot.ready_since.map(|since| wall_clock(since).into()),
        suspect_since: slot.suspect_since.map(|since| wall_clock(since).into()),
        rests_for: slot.rests_until.and_then(|until| rest(until).try_into().ok()),
        leaving: slot.leaving.map(|why| pool::leave(why).to_owned()).unwrap_or_default(),
        unkillable: slot.unkillable,
    }
}

fn tool(pool: &str, tool: Tool) -> v1::Tool {
    let parameters = tool.parameters.into_iter().map(|parameter| v1::Parameter {
        name: parameter.name,
        r#type: parameter.kind,
        required: parameter.required,
        default_json: parameter.default.map(|default| default.to_string()),
    });
    v1::Tool {
        pool: pool.to_owned(),
        name: tool.name,
        stream: tool.kind == "generator",
        doc: tool.doc,
        parameters: parameters.collect(),
        returns: tool.returns,
    }
}

fn wall_clock(then: Instant) -> SystemTime {
    let now = SystemTime::now();
    now.checked_sub(then.elapsed()).unwrap_or(now)
}

fn rest(until: Instant) -> std::time::Duration {
    until.saturating_duration_since(Instant::now())
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

pub(super) fn phase(phase: Phase) -> v1::Phase {
    match phase {
        Phase::Serving => v1::Phase::Serving,
        Phase::Fatal => v1::Phase::Fatal,
        Phase::Draining => v1::Phase::Draining,
        Phase::Drained => v1::Phase::Drained,
    }
}
