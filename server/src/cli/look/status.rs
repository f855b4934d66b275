//! `sidewinder status` and `sidewinder tools`: what a daemon does and offers.

use crate::cli::client::{Failed, Where, ask};
use crate::cli::style::{Style, show};
use serde_json::json;
use sidewinder_proto::v1::{
    DescribeRequest, ListPoolsRequest, ListToolsRequest, ListWorkersRequest, Phase, Pool, State, Tool, Worker,
};
use std::process::ExitCode;

/// What both verbs take
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

/// Shows the pools and their workers.
pub(in crate::cli) fn status(arguments: &Arguments) -> ExitCode {
    ask(async {
        let mut client = arguments.place.pools().await?;
        let daemon = client.describe(DescribeRequest {}).await?.into_inner();
        let pools = client.list_pools(ListPoolsRequest::default()).await?.into_inner().pools;
        let workers = client.list_workers(ListWorkersRequest::default()).await?.into_inner().workers;
        let text = if arguments.json {
            let pools: Vec<_> = pools.iter().map(pool_json).collect();
            let workers: Vec<_> = workers.iter().map(worker_json).collect();
            let daemon = json!({
                "version": daemon.version, "pid": daemon.pid, "run": daemon.run, "tier": daemon.tier,
                "mode": daemon.mode, "mode_reason": daemon.mode_reason, "clients": daemon.clients,
            });
            format!("{}\n", json!({"daemon": daemon, "pools": pools, "workers": workers}))
        } else {
            let style = Style::of_stdout();
            let pools: String = pools.iter().map(|pool| pool_line(pool, style)).collect();
            let workers: String = workers.iter().map(|worker| worker_line(worker, style)).collect();
            format!(
                "sidewinder {}, process {}, tier {}, mode {}, {} attached\n\n{pools}\n{workers}",
                daemon.version, daemon.pid, daemon.tier, daemon.mode, daemon.clients
            )
        };
        show(&text).map_err(|error| Failed::Here(error.to_string()))
    })
}

/// Shows the tools.
pub(in crate::cli) fn tools(arguments: &Arguments) -> ExitCode {
    ask(async {
        let mut client = arguments.place.pools().await?;
        let tools = client.list_tools(ListToolsRequest::default()).await?.into_inner().tools;
        let text = if arguments.json {
            let tools: Vec<_> = tools.iter().map(tool_json).collect();
            format!("{}\n", json!({ "tools": tools }))
        } else {
            tools.iter().map(|tool| tool_line(tool, Style::of_stdout())).collect()
        };
        show(&text).map_err(|error| Failed::Here(error.to_string()))
    })
}

fn phase(pool: &Pool) -> &'static str {
    match pool.phase() {
        Phase::Unspecified => "UNKNOWN",
        Phase::Serving => "SERVING",
        Phase::Fatal => "FATAL",
        Phase::Draining => "DRAINING",
        Phase::Drained => "DRAINED",
    }
}

fn state(worker: &Worker) -> &'static str {
    match worker.state() {
        State::Unspecified => "UNKNOWN",
        State::Starting => "STARTING",
        State::Running => "RUNNING",
        State::Backoff => "BACKOFF",
        State::Stopping => "STOPPING",
        State::Fatal => "FATAL",
    }
}

fn pool_line(pool: &Pool, style: Style) -> String {
    let phase = phase(pool);
    let phase = if phase == "SERVING" { style.good(phase) } else { style.bad(phase) };
    let max = pool.size.as_ref().map_or(0, |size| size.max);
    let mut trouble: Vec<String> = pool.trouble.lines().map(|line| format!("  {line}\n")).collect();
    if pool.phase() == Phase::Fatal {
        trouble.push(format!("  once that is mended: sidewinder restart {}\n", pool.name));
    }
    let fork_server = match pool.fork_server.as_str() {
        "" => String::new(),
        known => format!(", fork server: {known}"),
    };
    format!(
        "pool {:<12} {phase}  {}/{max} ready, {} running, {} waiting{fork_server}\n{trouble}",
        pool.name,
        pool.ready,
        pool.running,
        pool.waiting,
        trouble = trouble.concat()
    )
}

fn worker_line(worker: &Worker, style: Style) -> String {
    let state = state(worker);
    let shown = format!("{state:<8}");
    let shown = if state == "RUNNING" { style.good(&shown) } else { style.bad(&shown) };
    let name = format!(
        "{}/{}",
        worker.pool,
        if worker.life.is_empty() { worker.slot.to_string() } else { worker.life.clone() }
    );
    // Of one that has just come, and of one that is not there, not all is known.
    let known = |number: u64| if number == 0 { "-".to_owned() } else { number.to_string() };
    format!(
        "{name:<16} {shown} process {:<8} {:>3} busy {:>8} served {:>6} MiB\n",
        known(worker.pid.into()),
        worker.busy,
        worker.served,
        known(worker.resident_bytes >> 20)
    )
}

fn tool_line(tool: &Tool, style: Style) -> String {
    let parameters: Vec<String> = tool
        .parameters
        .iter()
        .map(|parameter| {
            let default =
                parameter.default_json.as_ref().map(|json| format!(" = {json}")).unwrap_or_default();
            let kind = if parameter.r#type.is_empty() { "" } else { ": " };
            format!("{}{kind}{}{default}", parameter.name, parameter.r#type)
        })
        .collect();
    let returns = if tool.returns.is_empty() { String::new() } else { format!(" -> {}", tool.returns) };
    let stream = if tool.stream { "  (stream)" } else { "" };
    let doc = tool.doc.lines().next().map(|line| format!("    {line}\n")).unwrap_or_default();
    format!("{}({}){returns}{stream}\n{doc}", style.strong(&tool.name), parameters.join(", "))
}

fn pool_json(pool: &Pool) -> serde_json::Value {
    json!({
        "name": pool.name, "phase": phase(pool), "ready": pool.ready, "running": pool.running,
        "waiting": pool.waiting, "processes": pool.processes, "trouble": pool.trouble,
        "fork_server": pool.fork_server,
    })
}

fn worker_json(worker: &Worker) -> serde_json::Value {
    json!({
        "pool": worker.pool, "slot": worker.slot, "life": worker.life, "state": state(worker), "pid": worker.pid,
        "busy": worker.busy, "begun": worker.begun, "served": worker.served,
        "resident_bytes": worker.resident_bytes, "leaving": worker.leaving,
    })
}

fn tool_json(tool: &Tool) -> serde_json::Value {
    let parameters: Vec<_> = tool.parameters.iter().map(|parameter| {
        let default = parameter.default_json.as_ref().and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
        json!({"name": parameter.name, "type": parameter.r#type, "required": parameter.required, "default": default})
    }).collect();
    json!({
        "pool": tool.pool, "name": tool.name, "stream": tool.stream, "doc": tool.doc, "parameters": parameters,
        "returns": tool.returns,
    })
}
