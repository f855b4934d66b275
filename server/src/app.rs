//! Builds the daemon, wires it, runs it, and stops it in order.
//!
//! ```text
//!   build   listeners ─▶ the worker's runtime on disk ─▶ pools, each with its keeper ─▶ services
//!   run     signals and orders reach the operator
//!   stop    no new connections ─▶ calls end, workers leave (at most the drain) ─▶ keepers leave
//! ```

mod doors;
mod memory;
mod outlive;
mod signals;

pub(crate) use memory::keep as keep_memory;

use crate::config::{Listen, Settings, Source};
use crate::endings::Endings;
use crate::handover::{Handover, Passed};
use crate::lifecycle::{self, Decided, Evidence, Lifeline, Mode};
use crate::operate::{Estate, Founder, Operator, Whole, attend, sight};
use crate::own::record;
use crate::own::sweep::{self, Scope, Swept, Verdict};
use crate::presence::Register;
use crate::rpc::{self, AdminDoor, CallsDoor, ClientsDoor, Daemon, Outliving, PoolsDoor, Standings, Told};
use crate::systemd::{Door, Handed, Herald, keep_alive};
use crate::telemetry::metrics::Sights;
use crate::telemetry::{Event, Events, Log, Metrics, What};
use crate::worker::placed;
use doors::Listening;
use outlive::Bond;
use sidewinder_edge::limits::Limits;
use sidewinder_edge::listener::Listener;
use sidewinder_edge::routes::Routes;
use sidewinder_edge::server::{Sight, Wish, serve};
use sidewinder_edge::tls::Tls;
use sidewinder_keeper_wire::Welcome;
use sidewinder_proto::v1::admin_server::AdminServer;
use sidewinder_proto::v1::calls_server::CallsServer;
use sidewinder_proto::v1::clients_server::ClientsServer;
use sidewinder_proto::v1::pools_server::PoolsServer;
use signals::Signals;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// What this process was given when it began.
#[derive(Debug)]
pub(crate) struct Given {
    /// By a service manager.
    handed: Handed,
    /// By the program that ran in this process before.
    passed: Passed,
    /// The process that started this one.
    caller: Option<OwnedFd>,
}

impl Given {
    /// Takes it. Called before there is a second thread.
    pub(crate) fn take(caller: Option<OwnedFd>) -> Result<Self, String> {
        let mut passed = Passed::take()?;
        let mut handed = Handed::take()?;
        let again = |sockets: &mut Vec<OwnedFd>| {
            std::mem::take(sockets).into_iter().map(Door::again).collect::<io::Result<Vec<_>>>()
        };
        let wrong = |error: io::Error| format!("cannot go on listening: {error}");
        handed.calls.extend(again(&mut passed.doors.calls).map_err(wrong)?);
        handed.health.extend(again(&mut passed.doors.health).map_err(wrong)?);
        Ok(Self { handed, passed, caller })
    }
}

/// Runs the daemon until it is told to stop.
pub(crate) fn run(source: Source, settings: Settings, given: Given, log: &Log) -> io::Result<()> {
    let mut runtime = match settings.threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    let runtime = runtime.worker_threads(settings.threads).enable_all().build()?;
    let result = runtime.block_on(daemon(source, settings, given, log));
    // What still reads a pipe of a worker that is gone has nothing to say any more.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

async fn daemon(
    source: Source,
    settings: Settings,
    Given { mut handed, mut passed, caller }: Given,
    log: &Log,
) -> io::Result<()> {
    // Before anything has to be ended: a signal without a listener ends this process alone.
    let signals = Signals::open()?;
    let evidence = Evidence::gather(!handed.is_empty(), is_public(&settings.listen));
    let decided = lifecycle::decide(settings.lifecycle.mode, evidence);
    let lifeline = (decided.mode == Mode::Coupled).then(|| Lifeline::take(caller)).transpose()?;
    let rules = settings.lifecycle.accepted(decided.mode, evidence).map_err(io::Error::other)?;
    // A client that starts a daemon may pass its own manager on to it: that wants to hear of the client alone.
    let herald = if decided.mode == Mode::Coupled { Herald::default() } else { Herald::begin()? };
    let Bond { handover, left, first_call } = Bond::tie(&settings, decided.mode, &mut handed, &mut passed)?;
    let tls = settings.listen.tls.clone().map(Tls::load).transpose().map_err(io::Error::other)?;
    let Listening { calls: listeners, health: for_health, places, keepsakes } =
        doors::listen(&settings.listen, tls.clone(), handed, passed.doors, &herald, &handover)?;
    let limits = settings.limits.clone();
    let (insecure, drain) = (settings.listen.insecure, settings.drain);
    let run = record::new_run()?;
    let metrics = Metrics::begin(&settings.telemetry, &run)?;
    metrics.serve(&settings.telemetry, insecure)?;
    let runtime = placed::place()?;
    let founder = Founder { runtime, metrics: metrics.clone(), handover: handover.clone(), first_call };
    let events = Events::default();
    let (wish, wishes) = watch::channel(Wish::Serve);
    let register = Register::begin(rules, settings.lifecycle.lease_required, &run, events.clone());
    let endings = Endings::new(settings.endings);
    let seen = Sight::default();
    let crowd = seen.crowd.clone();
    let whole = Whole { register: register.clone(), mode: decided.mode, evidence, tls, crowd };
    let rule = settings.ready;
    let (instance, told) = (settings.listen.socket.to_string_lossy().into_owned(), events.clone());
    let (carrier, calls) = mpsc::unbounded_channel();
    let estate = Estate { left, carrier: Some(carrier) };
    let tell = (events.clone(), herald.clone());
    let (operator, welcomes) = Operator::begin(source, settings, founder, tell, wish, whole, estate).await?;
    let outliving = Outliving::begin(handover.is_on(), calls, endings.clone(), operator.pools().clone());
    let (sweeping, swept) = begin_to_sweep(instance, told, handover.clone());
    metrics.look_at(Sights {
        pools: sight::of(operator.pools().clone()),
        tally: seen.tally.clone(),
        events: events.clone(),
        log: log.clone(),
    });
    let tier = welcomes.iter().map(|welcome| welcome.tier.to_string()).max().unwrap_or_default();
    let daemon = Daemon { run, tier, started: SystemTime::now(), decided, register: register.clone() };
    announce(&places, &welcomes, &daemon.decided);
    let door = (endings, outliving);
    let routes = routes(&operator, door, &events, log, drain, daemon).await?;
    let attending = tokio::spawn(attend::follow(operator.clone(), register));
    let coupled = tokio::spawn(end_with(lifeline, operator.clone()));
    let (following, settled) = signals.follow(operator.clone());
    let keeping = tokio::spawn(keepsakes.keep(operator.clone()));
    tokio::spawn(operator.clone().tell_manager(rule, swept));
    tokio::spawn(memory::give_back());
    prove_to(&herald, &operator);
    let beside = Sight { crowd: seen.crowd.clone(), ..Sight::default() };
    let health = serve_health(for_health, &operator, &events, (limits.clone(), beside), wishes.clone());
    let served = async { tokio::join!(serve(listeners, routes, limits, seen, wishes), health).1 };
    let health = tokio::select! {
        biased;
        () = operator.handed_over() => Ok(()),
        health = served => health,
    };
    let gave_way = outlive::give_way(&operator, keeping, settled, (&handover, &herald, log)).await;
    operator.end().await;
    metrics.end().await;
    for task in [following, attending, coupled] {
        task.abort();
    }
    let _ = sweeping.await;
    herald.end();
    gave_way.and(health)
}

/// Tells the service manager again and again that all parts of the daemon are alive.
fn prove_to(herald: &Herald, operator: &Operator) {
    let operator = operator.clone();
    tokio::spawn(keep_alive(herald.clone(), move |patience| {
        let operator = operator.clone();
        async move { operator.prove(patience).await }
    }));
}

/// What earlier runs of this daemon left behind is ended beside the start, not before it.
fn begin_to_sweep(
    instance: String,
    events: Events,
    handover: Handover,
) -> (JoinHandle<()>, oneshot::Receiver<()>) {
    let (sweep, swept) = oneshot::channel();
    let sweeping = tokio::task::spawn_blocking(move || {
        // A record is free only when nobody keeps a copy of its lock.
        handover.flush(outlive::FLUSH_WITHIN);
        sweep_and_tell(&instance, &events);
        // Whether anybody waits for it or not.
        let _ = sweep.send(());
    });
    (sweeping, swept)
}

fn sweep_and_tell(instance: &str, events: &Events) {
    match sweep::sweep(&Scope::at_start(instance)) {
        Ok(swept) => swept.iter().for_each(|run| events.tell(strays(run))),
        Err(error) => tracing::warn!("cannot look for what earlier runs left: {error}"),
    }
}

fn strays(run: &Swept) -> Event {
    let found = run.processes.len();
    let (decision, text) = match run.verdict {
        Verdict::Living => ("watch", "its owner or its keeper is there: left to them".to_owned()),
        Verdict::Elsewhere => ("leave", "it belongs to another PID namespace: left alone".to_owned()),
        Verdict::EarlierBoot => ("forget", "it is of an earlier boot: nothing of it can be left".to_owned()),
        Verdict::Abandoned => {
            let what = "nobody is left who could end it";
            ("end", format!("{what}: {found} processes were ended, {} of them by force", run.forced.len()))
        }
        Verdict::Stuck => ("end", format!("its keeper did not act: {found} processes were ended")),
    };
    let event = Event::new(What::Stray, format!("an earlier run of this daemon: {text}"));
    event
        .with("earlier", &run.run)
        .with("decision", decision)
        .with("processes", found)
        .with("killed", run.forced.len())
        .with("left", run.left.len())
}

async fn routes(
    operator: &Operator,
    (endings, outliving): (Endings<Told>, Outliving),
    events: &Events,
    log: &Log,
    drain: Duration,
    daemon: Daemon,
) -> io::Result<Routes> {
    let pools = operator.pools().clone();
    // The edge has bounded every message already.
    let (register, decided) = (daemon.register.clone(), daemon.decided.clone());
    let door = CallsDoor::new(pools.clone(), register.clone(), endings, decided.mode, outliving);
    let calls = CallsServer::new(door).max_decoding_message_size(usize::MAX);
    let standings = Standings::new(operator.clone(), decided.mode);
    let clients = ClientsDoor::new(register, standings, events.clone(), decided, daemon.run.clone());
    let acts = AdminServer::new(AdminDoor::new(operator.clone(), drain, daemon.run.clone()));
    let looks = PoolsServer::new(PoolsDoor::new(pools.clone(), daemon, events.clone(), log.clone()));
    let (routes, health) = Routes::default()
        .with(calls)
        .with(ClientsServer::new(clients))
        .with(looks)
        .with(acts)
        .with_standard_services()
        .map_err(io::Error::other)?;
    rpc::report_health(health, pools, events).await;
    Ok(routes)
}

/// Sockets for health alone, if there are any.
async fn serve_health(
    listeners: Vec<Listener>,
    operator: &Operator,
    events: &Events,
    (limits, sight): (Limits, Sight),
    wishes: watch::Receiver<Wish>,
) -> io::Result<()> {
    if listeners.is_empty() {
        return Ok(());
    }
    let (routes, health) = Routes::default().with_standard_services().map_err(io::Error::other)?;
    rpc::report_health(health, operator.pools().clone(), events).await;
    serve(listeners, routes, limits, sight, wishes).await;
    Ok(())
}

fn announce(places: &[String], welcomes: &[Welcome], decided: &Decided) {
    tracing::info!("mode {}: {}", decided.mode, decided.why);
    let tier = welcomes.first().map(|welcome| format!(" (tier {}: {})", welcome.tier, welcome.why));
    let tier = tier.unwrap_or_default();
    tracing::info!("listens on {}{tier}", places.join(" and "));
}

fn is_public(listen: &Listen) -> bool {
    listen.tcp.is_some_and(|address| !address.ip().to_canonical().is_loopback())
}

/// The end of the lifeline is the end of everything, at once.
async fn end_with(lifeline: Option<Lifeline>, operator: Operator) {
    let Some(lifeline) = lifeline else { return };
    let why = lifeline.end().await;
    tracing::warn!("the lifeline has ended, and everything with it: {why}");
    operator.quit(Some(Duration::ZERO)).await;
}
