//! The verbs that act: drain, resume, restart, resize, reload, dump, quit.

use super::client::{Failed, Where, ask};
use super::style::show;
use crate::config::time::duration;
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::json;
use sidewinder_proto::v1::{
    DescribeRequest, DrainRequest, DumpStacksRequest, ListPoolsRequest, Phase, QuitRequest, ReloadRequest,
    ReloadResponse, ResizeRequest, RestartRequest, ResumeRequest, Size, WatchRequest,
};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::Duration;

/// End a pool: what waits is refused, what runs may end, then its workers leave
///
/// Returns when no worker is left.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: sidewinder drain default --within 10s, and later: sidewinder resume default"
)]
pub(super) struct Drain {
    /// The pool; by default the only one
    pool: Option<String>,
    /// Kill what still runs after this time; by default as configured
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    within: Option<Duration>,
    /// Return as soon as the order is taken
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    place: Where,
}

/// Take a drain back: the pool serves again
#[derive(Debug, clap::Args)]
pub(super) struct Resume {
    /// The pool; by default the only one
    pool: Option<String>,
    #[command(flatten)]
    place: Where,
}

/// Replace workers by fresh ones without dropping a call; also the way back from FATAL
#[derive(Debug, clap::Args)]
pub(super) struct Restart {
    /// The pool; by default the only one
    pool: Option<String>,
    /// Only the worker in this slot
    #[arg(long, value_name = "N")]
    slot: Option<u32>,
    #[command(flatten)]
    place: Where,
}

/// Give a pool another size, until the next reload
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: sidewinder resize default 4, or: sidewinder resize default 1..8 --spare 1")]
pub(super) struct Resize {
    /// The pool
    pool: String,
    /// So many workers, or from so many to so many: 4 or 1..8
    #[arg(value_name = "N|MIN..MAX", value_parser = range)]
    workers: (u32, u32),
    /// Idle workers wanted beyond the busy ones; by default as it is
    #[arg(long, value_name = "N")]
    spare: Option<u32>,
    #[command(flatten)]
    place: Where,
}

/// Read the configuration again; one with a flaw changes nothing
#[derive(Debug, clap::Args)]
pub(super) struct Reload {
    /// Pools whose workers are replaced although their configuration is the same: their code has changed
    #[arg(long, value_name = "POOL", value_delimiter = ',')]
    renew: Vec<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

/// Show where the threads of workers are
#[derive(Debug, clap::Args)]
pub(super) struct Dump {
    /// The pool; by default the only one
    pool: Option<String>,
    /// Only the worker in this slot
    #[arg(long, value_name = "N")]
    slot: Option<u32>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

/// Stop the daemon: calls may end first
///
/// Returns when the daemon and all of its workers are gone.
#[derive(Debug, clap::Args)]
pub(super) struct Quit {
    /// Kill what still runs after this time; by default as configured
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    within: Option<Duration>,
    /// Return as soon as the order is taken
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    place: Where,
}

/// Whoever has changed the code of a tool, and not the configuration, waits for it in vain.
const UNCHANGED: &str = "nothing has changed; --renew POOL replaces workers whose code has changed\n";

pub(super) fn drain(arguments: &Drain) -> ExitCode {
    ask(async {
        let pool = meant(&arguments.place, arguments.pool.as_ref()).await?;
        let mut looks = arguments.place.pools().await?;
        // Before the order: no event of it may be missed.
        let mut events = looks.watch(WatchRequest { pools: vec![pool.clone()] }).await?.into_inner();
        let within = span(arguments.within);
        arguments.place.admin().await?.drain(DrainRequest { pool: pool.clone(), within }).await?;
        if arguments.no_wait {
            return Ok(());
        }
        loop {
            let request = ListPoolsRequest { pools: vec![pool.clone()] };
            let pools = looks.list_pools(request).await?.into_inner().pools;
            if pools.first().is_none_or(|pool| pool.phase() == Phase::Drained) {
                return Ok(());
            }
            if events.message().await?.is_none() {
                return Ok(());
            }
        }
    })
}

pub(super) fn resume(arguments: &Resume) -> ExitCode {
    ask(async {
        let pool = meant(&arguments.place, arguments.pool.as_ref()).await?;
        arguments.place.admin().await?.resume(ResumeRequest { pool }).await?;
        Ok(())
    })
}

pub(super) fn restart(arguments: &Restart) -> ExitCode {
    ask(async {
        let pool = meant(&arguments.place, arguments.pool.as_ref()).await?;
        let request = RestartRequest { pool, slot: arguments.slot };
        arguments.place.admin().await?.restart(request).await?;
        Ok(())
    })
}

pub(super) fn resize(arguments: &Resize) -> ExitCode {
    ask(async {
        let pool = arguments.pool.clone();
        let request = ListPoolsRequest { pools: vec![pool.clone()] };
        let pools = arguments.place.pools().await?.list_pools(request).await?.into_inner().pools;
        let before = pools.first().and_then(|pool| pool.size).unwrap_or_default();
        let (min, max) = arguments.workers;
        let spare = arguments.spare.unwrap_or(before.spare.min(max));
        let size = Size { min, max, spare, headroom: before.headroom };
        arguments.place.admin().await?.resize(ResizeRequest { pool, size: Some(size) }).await?;
        print(&format!("from {}..{} to {min}..{max} workers\n", before.min, before.max))
    })
}

pub(super) fn reload(arguments: &Reload) -> ExitCode {
    ask(async {
        let request = ReloadRequest { renew: arguments.renew.clone() };
        let done = arguments.place.admin().await?.reload(request).await?.into_inner();
        let ReloadResponse { changed, renewed, added, removed, needs_restart, daemon } = done;
        let parts = [
            ("changed", changed),
            ("renewed", renewed),
            ("added", added),
            ("removed", removed),
            ("needs_restart", needs_restart),
            ("daemon", daemon),
        ];
        if arguments.json {
            let object: serde_json::Map<_, _> =
                parts.into_iter().map(|(name, pools)| (name.to_owned(), json!(pools))).collect();
            return print(&format!("{}\n", serde_json::Value::Object(object)));
        }
        let lines: Vec<String> = parts
            .iter()
            .filter(|(_, names)| !names.is_empty())
            .map(|(name, names)| format!("{}: {}\n", name.replace('_', " "), names.join(", ")))
            .collect();
        print(if lines.is_empty() { UNCHANGED.to_owned() } else { lines.concat() }.as_str())
    })
}

pub(super) fn dump(arguments: &Dump) -> ExitCode {
    ask(async {
        let pool = meant(&arguments.place, arguments.pool.as_ref()).await?;
        let request = DumpStacksRequest { pool: pool.clone(), slot: arguments.slot };
        let stacks = arguments.place.admin().await?.dump_stacks(request).await?.into_inner().stacks;
        if arguments.json {
            let stacks: Vec<_> =
                stacks.iter().map(|stack| json!({"worker": stack.worker, "text": stack.text})).collect();
            return print(&format!("{}\n", json!({ "stacks": stacks })));
        }
        let shown = stacks.iter().map(|stack| {
            let text = if stack.text.is_empty() { "it did not answer in time\n" } else { &stack.text };
            format!("== {pool}/{}\n{text}", stack.worker)
        });
        print(&shown.collect::<String>())
    })
}

pub(super) fn quit(arguments: &Quit) -> ExitCode {
    ask(async {
        let daemon = arguments.place.pools().await?.describe(DescribeRequest {}).await?.into_inner();
        let process = i32::try_from(daemon.pid).ok().and_then(Pid::from_raw);
        let process = process.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        let within = span(arguments.within);
        arguments.place.admin().await?.quit(QuitRequest { within }).await?;
        match process.filter(|_| !arguments.no_wait) {
            Some(process) => wait_for_end(process).await,
            None => Ok(()),
        }
    })
}

/// The name of the pool that is meant, if it is not said: that of the only one. Of several the daemon says so.
async fn meant(place: &Where, pool: Option<&String>) -> Result<String, Failed> {
    if let Some(pool) = pool {
        return Ok(pool.clone());
    }
    let request = ListPoolsRequest { pools: vec![String::new()] };
    let pools = place.pools().await?.list_pools(request).await?.into_inner().pools;
    Ok(pools.into_iter().next().map_or_else(String::new, |pool| pool.name))
}

async fn wait_for_end(process: OwnedFd) -> Result<(), Failed> {
    let waiting = tokio::task::spawn_blocking(move || {
        while rustix::event::poll(&mut [PollFd::new(&process, PollFlags::IN)], None).is_err() {}
    });
    waiting.await.map_err(|error| Failed::Here(error.to_string()))
}

fn span(span: Option<Duration>) -> Option<prost_types::Duration> {
    span.and_then(|span| span.try_into().ok())
}

fn range(text: &str) -> Result<(u32, u32), String> {
    let wrong = || format!("`{text}` is no size: write 4 or 1..8");
    let number = |text: &str| text.parse::<u32>().map_err(|_| wrong());
    match text.split_once("..") {
        Some((min, max)) => Ok((number(min)?, number(max)?)),
        None => number(text).map(|number| (number, number)),
    }
}

fn print(text: &str) -> Result<(), Failed> {
    show(text).map_err(|error| Failed::Here(error.to_string()))
}
