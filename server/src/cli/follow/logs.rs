//! `sidewinder logs`: what a daemon has logged, and what it logs.

use super::{follow, known};
use crate::cli::client::{Failed, Where, ask};
use crate::cli::style::Style;
use crate::telemetry::log::{At, Line};
use sidewinder_keeper_kernel::complain;
use sidewinder_proto::v1::{Level, LogLine, LogsRequest};
use std::process::ExitCode;
use std::time::SystemTime;

/// What the verb takes
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// Go on with lines that come
    #[arg(short, long)]
    follow: bool,
    /// Show so many of the newest lines at first; all that are remembered by default
    #[arg(long, value_name = "N")]
    tail: Option<u32>,
    /// Only lines of this pool; more of them with commas between
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pool: Vec<String>,
    /// Only lines of this slot, or of this worker
    #[arg(long, value_name = "SLOT[.NUMBER]", default_value = "", hide_default_value = true)]
    worker: String,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

pub(in crate::cli) fn run(arguments: &Arguments) -> ExitCode {
    ask(async {
        if arguments.follow {
            known(&arguments.place, &arguments.pool).await?;
        }
        let request = LogsRequest {
            pools: arguments.pool.clone(),
            worker: arguments.worker.clone(),
            tail: arguments.tail,
            follow: arguments.follow,
        };
        let lines = arguments.place.pools().await?.logs(request).await.map_err(Failed::from)?.into_inner();
        let coloured = Style::of_stdout().is_coloured();
        let show = |said: LogLine| {
            if said.lost > 0 {
                complain!("{} lines were lost here: they came faster than they were shown", said.lost);
            }
            let line = line(said);
            let text = if arguments.json { line.json() } else { line.human(coloured) };
            format!("{text}\n")
        };
        follow(lines, show).await
    })
}

fn line(said: LogLine) -> Line {
    let level = match said.level() {
        Level::Trace => tracing::Level::TRACE,
        Level::Debug => tracing::Level::DEBUG,
        Level::Unspecified | Level::Info => tracing::Level::INFO,
        Level::Warn => tracing::Level::WARN,
        Level::Error => tracing::Level::ERROR,
    };
    let at = said.at.and_then(|at| SystemTime::try_from(at).ok()).unwrap_or(SystemTime::UNIX_EPOCH);
    Line {
        sequence: said.sequence,
        at: At(at),
        level,
        text: said.text,
        pool: said.pool,
        worker: said.worker,
        call: said.call,
        stream: said.stream,
        what: said.what,
        fields: said.fields.into_iter().collect(),
    }
}
