//! `sidewinder events`: what happens in a daemon, as it happens.

use super::{follow, known};
use crate::cli::client::{Failed, Where, ask};
use crate::cli::style::Style;
use crate::telemetry::log::At;
use serde_json::json;
use sidewinder_keeper_kernel::complain;
use sidewinder_proto::v1::{Event, Happening, WatchRequest};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::SystemTime;

/// What the verb takes
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// Only events of this pool and of the daemon; more of them with commas between
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pool: Vec<String>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

pub(in crate::cli) fn run(arguments: &Arguments) -> ExitCode {
    ask(async {
        known(&arguments.place, &arguments.pool).await?;
        let request = WatchRequest { pools: arguments.pool.clone() };
        let events = arguments.place.pools().await?.watch(request).await.map_err(Failed::from)?.into_inner();
        let style = Style::of_stdout();
        let show = |event: Event| {
            if event.lost > 0 {
                complain!("{} events were lost here: they came faster than they were shown", event.lost);
            }
            if arguments.json { format!("{}\n", as_json(&event)) } else { for_people(&event, style) }
        };
        follow(events, show).await
    })
}

fn what(event: &Event) -> &'static str {
    let name = Happening::try_from(event.what).unwrap_or_default().as_str_name();
    name.strip_prefix("HAPPENING_").unwrap_or(name)
}

fn at(event: &Event) -> At {
    At(event.at.and_then(|at| SystemTime::try_from(at).ok()).unwrap_or(SystemTime::UNIX_EPOCH))
}

fn as_json(event: &Event) -> serde_json::Value {
    json!({
        "sequence": event.sequence, "at": at(event).to_string(), "what": what(event), "pool": event.pool,
        "worker": event.worker, "text": event.text, "facts": event.facts.iter().collect::<BTreeMap<_, _>>(),
        "lost": event.lost,
    })
}

fn for_people(event: &Event, style: Style) -> String {
    let place = match (event.pool.as_str(), event.worker.as_str()) {
        ("", _) => "the daemon".to_owned(),
        (pool, "") => pool.to_owned(),
        (pool, worker) => format!("{pool}/{worker}"),
    };
    let name = style.strong(&format!("{:<18}", what(event)));
    // A text may quote a worker: nothing in it drives the terminal.
    let text: String =
        event.text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect();
    format!("{} {name} {place}: {text}\n", at(event))
}
