//! `sidewinder attach`: be a client for as long as this runs.

use crate::cli::client::{Failed, Where, ask};
use crate::cli::style::{Style, show_more};
use crate::own::record;
use futures_util::stream::unfold;
use serde_json::json;
use sidewinder_proto::v1::from_client::Part as Say;
use sidewinder_proto::v1::to_client::Part as Told;
use sidewinder_proto::v1::{Beat, Detach, FromClient, Granted, Hello, Standing};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::sleep_until;

/// What the verb takes
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// What to be called
    #[arg(long, value_name = "NAME", default_value = "sidewinder attach")]
    name: String,
    /// Which run of that client this is; a new one by default
    #[arg(long, value_name = "RUN")]
    run: Option<String>,
    /// The mode that the daemon has to be in; any by default
    #[arg(long, value_name = "MODE", default_value = "", hide_default_value = true)]
    mode: String,
    /// How often to beat; as the daemon likes by default
    #[arg(long, value_name = "DURATION", value_parser = crate::config::time::duration)]
    interval: Option<Duration>,
    /// How long the lease is to hold; as the daemon likes by default
    #[arg(long, value_name = "DURATION", value_parser = crate::config::time::duration)]
    ttl: Option<Duration>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Where,
}

pub(in crate::cli) fn run(arguments: &Arguments) -> ExitCode {
    ask(hold(arguments))
}

async fn hold(arguments: &Arguments) -> Result<(), Failed> {
    let here = |error: std::io::Error| Failed::Here(error.to_string());
    let run = arguments.run.clone().map_or_else(record::new_run, Ok).map_err(here)?;
    let span = |span: Option<Duration>| span.and_then(|span| span.try_into().ok());
    let hello = Hello {
        name: arguments.name.clone(),
        run,
        pid: std::process::id(),
        mode: arguments.mode.clone(),
        interval: span(arguments.interval),
        ttl: span(arguments.ttl),
        ..Hello::default()
    };
    let (say, said) = mpsc::channel::<FromClient>(16);
    let said = unfold(said, |mut said| async move { said.recv().await.map(|word| (word, said)) });
    let part = |part| FromClient { part: Some(part) };
    let _ = say.send(part(Say::Hello(hello))).await;
    let mut daemon = arguments.place.clients().await?;
    let mut told = daemon.attach(said).await.map_err(Failed::from)?.into_inner();
    let mut signals =
        (signal(SignalKind::interrupt()).map_err(here)?, signal(SignalKind::terminate()).map_err(here)?);
    let (mut sent, mut heard) = (0, None::<(u64, Instant)>);
    let mut pause = Duration::from_secs(1);
    let mut due = Instant::now() + pause;
    loop {
        tokio::select! {
            message = told.message() => {
                let Some(message) = message.map_err(Failed::from)? else { return Ok(()) };
                match message.part {
                    Some(Told::Granted(granted)) => {
                        pause = granted.interval.and_then(|span| span.try_into().ok()).unwrap_or(pause);
                        due = Instant::now() + pause;
                        tell(&of_grant(&granted, arguments))?;
                    }
                    Some(Told::Beat(beat)) => {
                        let now = Instant::now();
                        heard = Some((beat.sequence, now));
                        let next = beat.next.and_then(|span| Duration::try_from(span).ok()).unwrap_or(pause);
                        // What is overdue is not put off: the daemon may have spoken because of that.
                        if now < due {
                            due = now + next.clamp(pause / 2, pause);
                        }
                    }
                    Some(Told::State(state)) => tell(&of_state(&state, arguments))?,
                    Some(Told::Event(_)) | None => {}
                }
            }
            () = sleep_until(due.into()) => {
                sent += 1;
                due = Instant::now() + pause;
                let (answers, at) = heard.unwrap_or((0, Instant::now()));
                let held = at.elapsed().try_into().ok();
                let _ = say.send(part(Say::Beat(Beat { sequence: sent, answers, held, ..Beat::default() }))).await;
            }
            _ = signals.0.recv() => break,
            _ = signals.1.recv() => break,
        }
    }
    let why = "asked to".to_owned();
    let _ = say.send(part(Say::Detach(Detach { why }))).await;
    // The daemon closes the stream once it knows.
    while told.message().await.is_ok_and(|message| message.is_some()) {}
    Ok(())
}

fn tell(text: &str) -> Result<(), Failed> {
    show_more(text).map(drop).map_err(|error| Failed::Here(error.to_string()))
}

fn of_grant(granted: &Granted, arguments: &Arguments) -> String {
    let span = |span: Option<prost_types::Duration>| {
        span.and_then(|span| Duration::try_from(span).ok()).unwrap_or_default()
    };
    let (interval, ttl) = (span(granted.interval), span(granted.ttl));
    if arguments.json {
        let grant = json!({
            "lease": granted.lease, "epoch": granted.epoch, "interval_ms": interval.as_millis(),
            "ttl_ms": ttl.as_millis(), "mode": granted.mode, "resumed": granted.resumed,
        });
        return format!("{grant}\n");
    }
    let style = Style::of_stdout();
    let word = if granted.resumed { "back at" } else { "attached:" };
    format!(
        "{word} lease {} of epoch {}, in mode {}; beats every {interval:?}, holds for {ttl:?}\n",
        style.strong(&granted.lease),
        granted.epoch,
        granted.mode,
    )
}

fn of_state(state: &Standing, arguments: &Arguments) -> String {
    if arguments.json {
        let pools = state.pools.iter().map(|pool| {
            json!({
                "name": pool.name, "ready": pool.ready, "waiting": pool.waiting, "running": pool.running,
                "saturated": pool.saturated, "generation": pool.generation,
            })
        });
        let pools = pools.collect::<Vec<_>>();
        return format!("{}\n", json!({ "stopping": state.stopping, "pools": pools }));
    }
    let pools = state.pools.iter().map(|pool| {
        format!("{}: {} ready, {} running, {} waiting", pool.name, pool.ready, pool.running, pool.waiting)
    });
    let stopping = if state.stopping { "the daemon is stopping; " } else { "" };
    format!("{stopping}{}\n", pools.collect::<Vec<_>>().join("; "))
}
