//! The tables of docs/telemetry.md. They are made from the code, so that the document names what there is.

use super::What;
use super::metrics::catalogue::{ALL, Kind, Metric};
use std::fmt::Write;
use std::path::Path;

/// The name under which Prometheus sees a metric.
fn prometheus_name(metric: &Metric) -> String {
    let mut name = metric.name.replace('.', "_");
    if metric.unit == "s" {
        name.push_str("_seconds");
    }
    if metric.kind == Kind::Counter {
        name.push_str("_total");
    }
    name
}

fn metrics() -> String {
    let mut table = "| metric | for Prometheus | kind | unit | attributes | what it says |\n".to_owned();
    table.push_str("|---|---|---|---|---|---|\n");
    for metric in ALL {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let attributes: Vec<_> = metric.attributes.iter().map(|name| format!("`{name}`")).collect();
        let (name, prometheus, unit) = (metric.name, prometheus_name(metric), metric.unit);
        let (attributes, about) = (attributes.join(", "), metric.about);
        let _ = writeln!(table, "| `{name}` | `{prometheus}` | {kind} | `{unit}` | {attributes} | {about} |");
    }
    table
}

fn events() -> String {
    let mut table = "| event | level | when |\n|---|---|---|\n".to_owned();
    for what in What::ALL {
        let level = if what.is_bad() { "WARN" } else { "INFO" };
        let _ = writeln!(table, "| `{}` | {level} | {} |", what.name(), when(what));
    }
    table
}

fn when(what: What) -> &'static str {
    match what {
        What::WorkerStarted => "a worker is being started",
        What::WorkerReady => "a worker takes calls: it has answered a canary through the way that calls take",
        What::WorkerLeaving => "a worker was asked to leave; `why` says the reason",
        What::WorkerKilled => "a worker is being killed; `why` says the reason",
        What::WorkerGone => {
            "a worker is gone, with everything it started; `exit_status`, `signal`, `out_of_memory` or `fault`"
        }
        What::WorkerUnfit => "a worker could not be started, or its tools could not be loaded; `traceback`",
        What::WorkerSuspected => "the control thread of a worker is silent",
        What::WorkerRecovered => "a silent worker has spoken again",
        What::WorkerUnkillable => "a worker was killed and is still there: the kernel holds it",
        What::WorkerAtLimit => {
            "a worker has reached one of its limits and was held back there; `limit`, `times`; once a minute at most"
        }
        What::MemoryPressure => "workers of a pool wait for memory; `percent` of the last ten seconds",
        What::MemoryRelief => "they do not any more",
        What::SlotFatal => "a slot has given up until a restart is requested; `slot`",
        What::PoolPhase => "a pool does something else than before; `phase`",
        What::PoolSaturated => "the line of a pool is full: calls are refused",
        What::PoolRecovered => "half of the line is free again",
        What::PoolRenewed => "a newer generation serves, and nothing older is left",
        What::PoolResized => "a pool has another size; `min`, `max`",
        What::KeyQuarantined => "calls of one idempotency key have killed too many workers; `key`",
        What::Reloaded => "the settings were read again; `problems` when they have flaws",
        What::Upgrade => {
            "another executable goes on in the process of the daemon; `problems` when nothing was changed"
        }
        What::Stopping => "the daemon is stopping; `within_ms`",
        What::ClientAttached => "a client has attached; `client`, `lease`, `node`, `run`",
        What::ClientResumed => "a client has come back to its lease, under a new epoch; the same",
        What::ClientDetached => "a client has left, and meant it; the same",
        What::ClientDied => "the process of a client is dead; the same",
        What::ClientExpired => "a client was not heard for as long as its lease holds; the same",
        What::Nobody => "the last client has gone: the time until workers leave is counted",
        What::Somebody => "a client is there again",
        What::Released => "nobody came: workers leave",
        What::Stalled => "the daemon itself stood still, and put everything off by that; `stood_ms`",
        What::ForkServerReady => {
            "the fork server of a pool has imported everything: workers are forked from it"
        }
        What::ForkServerDown => {
            "there is no fork server now, or a fork failed: workers start by themselves; `why`"
        }
        What::Stray => "what an earlier run of this instance left behind, and what was done about it",
    }
}

/// The document with this table in its place.
fn fill(document: &str, name: &str, table: &str) -> Option<String> {
    let begin = format!("<!-- {name}: made by `make docs` -->\n\n");
    let (before, rest) = document.split_once(&begin)?;
    let (_, after) = rest.split_once("\n<!-- end -->")?;
    Some(format!("{before}{begin}{table}\n<!-- end -->{after}"))
}

#[test]
fn the_document_names_what_there_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/telemetry.md");
    let written = std::fs::read_to_string(&path).expect("docs/telemetry.md");
    let wanted = fill(&written, "metrics", &metrics()).expect("a place for the metrics");
    let wanted = fill(&wanted, "events", &events()).expect("a place for the events");
    if std::env::var_os("WRITE_DOCS").is_some() {
        std::fs::write(&path, wanted).expect("a document that can be written");
    } else {
        assert!(written == wanted, "docs/telemetry.md is stale: `make docs` writes its tables");
    }
}
