//! `sidewinder clients`: who is attached, and how well it is heard.

use crate::cli::client::{Failed, Where, ask};
use crate::cli::style::{Style, show};
use serde_json::json;
use sidewinder_proto::v1::{Client, ListClientsRequest, ListClientsResponse};
use std::process::ExitCode;
use std::time::Duration;

/// What the verb takes
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// Machine-readable
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

pub(in crate::cli) fn run(arguments: &Arguments) -> ExitCode {
    ask(async {
        let mut daemon = arguments.place.clients().await?;
        let answer = daemon.list_clients(ListClientsRequest {}).await.map_err(Failed::from)?.into_inner();
        let text = if arguments.json {
            format!("{}\n", as_json(&answer))
        } else {
            for_people(&answer, Style::of_stdout())
        };
        show(&text).map_err(|error| Failed::Here(error.to_string()))
    })
}

fn millis(span: Option<prost_types::Duration>) -> Option<f64> {
    let span = Duration::try_from(span?).ok()?;
    Some(span.as_secs_f64() * 1_000.0)
}

fn as_json(answer: &ListClientsResponse) -> serde_json::Value {
    let clients: Vec<_> = answer.clients.iter().map(client_json).collect();
    json!({
        "clients": clients, "passing": answer.passing, "presence": answer.presence,
        "leaves_in_ms": millis(answer.leaves_in),
    })
}

fn client_json(client: &Client) -> serde_json::Value {
    json!({
        "lease": client.lease, "epoch": client.epoch, "name": client.name, "node": client.node, "run": client.run,
        "pid": client.pid, "origin": client.origin, "labels": client.labels, "connected": client.connected,
        "heard_ago_ms": millis(client.heard_ago), "interval_ms": millis(client.interval),
        "ttl_ms": millis(client.ttl), "round_trip_p50_ms": millis(client.round_trip_p50),
        "round_trip_p99_ms": millis(client.round_trip_p99), "missed": client.missed, "beats": client.beats,
        "load": client.load, "calls": client.calls,
    })
}

fn for_people(answer: &ListClientsResponse, style: Style) -> String {
    let mut text: String = answer.clients.iter().map(|client| line(client, style)).collect();
    let presence = match (answer.presence.as_str(), millis(answer.leaves_in)) {
        ("present", _) => format!("{} attached, {} calls of others", answer.clients.len(), answer.passing),
        ("starting", _) => "nobody yet; the pools are not ready".to_owned(),
        ("counting", Some(left)) => format!("nobody is there: workers leave in {:.0} s", left / 1_000.0),
        ("counting", None) => "nobody is there: workers stay".to_owned(),
        ("released", _) => "nobody is there: workers have left".to_owned(),
        (other, _) => other.to_owned(),
    };
    text.push_str(&presence);
    text.push('\n');
    text
}

fn line(client: &Client, style: Style) -> String {
    let state = if client.connected { style.good("ATTACHED") } else { style.bad("SILENT  ") };
    let trip = millis(client.round_trip_p50).map_or_else(|| "-".to_owned(), |trip| format!("{trip:.1} ms"));
    format!(
        "{:<20} {state} {:<18} heard {:>5.1} s ago, {trip} there and back, {} missed, {} calls  {}\n",
        plain(&client.name),
        client.lease,
        millis(client.heard_ago).unwrap_or(0.0) / 1_000.0,
        client.missed,
        client.calls,
        plain(&client.origin),
    )
}

/// What a client calls itself does not drive the terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
