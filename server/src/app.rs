//! Builds the daemon, wires it, runs it, and stops it in order.
//!
//! ```text
//!   build   listeners ─▶ the worker's runtime on disk ─▶ pools, each with its keeper ─▶ services
//!   run     signals and orders reach the operator
//!   stop    no new connections ─▶ calls end, workers leave (at most the drain) ─▶ keepers leave
//! ```

mod outlive;

use crate::config::{Listen, Settings, Source};
use crate::endings::Endings;
use crate::handover::Handover;
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
use sidewinder_edge::limits::Limits;
use sidewinder_edge::listener::Listener;
use sidewinder_edge::peer::Users;
use sidewinder_edge::routes::Routes;
use sidewinder_edge::server::{Sight, Wish, serve};
use sidewinder_edge::tls::Tls;
use sidewinder_keeper::linux::sys::peer_pidfd;
use sidewinder_keeper::wire::Welcome;
use sidewinder_proto::v1::admin_server::AdminServer;
use sidewinder_proto::v1::calls_server::CallsServer;
use sidewinder_proto::v1::clients_server::ClientsServer;
use sidewinder_proto::v1::pools_server::PoolsServer;
use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime};
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// Sockets that were handed down, and the process that started this one.
pub(crate) type Given = (Handed, Option<OwnedFd>);

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
    (mut handed, caller): Given,
    log: &Log,
) -> io::Result<()> {
    // Before anything has to be ended: a signal without a listener ends this process alone.
    let signals = open_signals()?;
    let evidence = Evidence::gather(!handed.is_empty(), is_public(&settings.listen));
    let decided = lifecycle::decide(settings.lifecycle.mode, evidence);
    let lifeline = (decided.mode == Mode::Coupled).then(|| Lifeline::take(caller)).transpose()?;
    let rules = settings.lifecycle.accepted(decided.mode, evidence).map_err(io::Error::other)?;
    // A client that starts a daemon may pass its own manager on to it: that wants to hear of the client alone.
    let herald = if decided.mode == Mode::Coupled { Herald::default() } else { Herald::begin()? };
    let (handover, left) = outlive::begin(&settings, decided.mode, &mut handed)?;
    let tls = settings.listen.tls.clone().map(Tls::load).transpose().map_err(io::Error::other)?;
    let (listeners, for_health, places) = listen(&settings.listen, tls.clone(), handed, &herald)?;
    let limits = settings.limits.clone();
    let (insecure, drain) = (settings.listen.insecure, settings.drain);
    let run = record::new_run()?;
    let metrics = Metrics::begin(&settings.telemetry, &run)?;
    metrics.serve(&settings.telemetry, insecure)?;
    let (runtime, first_call) = (placed::place()?, outlive::first_call(&handover));
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
    let signals = tokio::spawn(follow_signals(signals, operator.clone()));
    tokio::spawn(operator.clone().tell_manager(rule, swept));
    prove_to(&herald, &operator);
    let beside = Sight { crowd: seen.crowd.clone(), ..Sight::default() };
    let health = serve_health(for_health, &operator, &events, (limits.clone(), beside), wishes.clone());
    let served = async { tokio::join!(serve(listeners, routes, limits, seen, wishes), health).1 };
    let health = tokio::select! {
        biased;
        () = operator.handed_over() => Ok(()),
        health = served => health,
    };
    if operator.hands_over() {
        outlive::leave(&handover, &herald, log);
    }
    operator.end().await;
    metrics.end().await;
    for task in [signals, attending, coupled] {
        task.abort();
    }
    let _ = sweeping.await;
    herald.end();
    health
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
    let looks = PoolsServer::new(PoolsDoor::new(pools.clone(), daemon, events.clone(), log.clone()));
    let acts = AdminServer::new(AdminDoor::new(operator.clone(), drain));
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

/// The listeners for everything, those for health alone, and where they are. What was handed down goes first: a unix
/// socket of ours is made only if there is none.
fn listen(
    listen: &Listen,
    tls: Option<Tls>,
    handed: Handed,
    herald: &Herald,
) -> io::Result<(Vec<Listener>, Vec<Listener>, Vec<String>)> {
    let users = if listen.users.is_empty() {
        Users::private()
    } else {
        Users::only(listen.users.iter().copied().chain([0, rustix::process::geteuid().as_raw()]))
    };
    let has_unix = handed.has_unix();
    let mut places: Vec<String> = handed.calls.iter().map(ToString::to_string).collect();
    places.extend(handed.health.iter().map(|door| format!("{door} (health)")));
    let adopt = |door: Door| match door {
        Door::Unix(socket) => {
            Listener::unix_from(socket, users.clone()).map(|listener| listener.with_witness(peer_pidfd))
        }
        Door::Tcp(socket) => match tls.clone() {
            Some(tls) => Listener::tls_from(socket, tls),
            None => Listener::tcp_from(socket, listen.insecure),
        },
    };
    let adopt_all = |doors: Vec<Door>| doors.into_iter().map(adopt).collect::<Result<Vec<_>, _>>();
    let mut listeners = adopt_all(handed.calls).map_err(io::Error::other)?;
    let health = adopt_all(handed.health).map_err(io::Error::other)?;
    if !has_unix {
        let own = Listener::unix(&listen.socket, users.clone()).map_err(io::Error::other)?;
        listeners.push(own.with_witness(peer_pidfd));
        places.push(listen.socket.display().to_string());
    }
    let taken = |address| listeners.iter().any(|listener| listener.tcp_address() == Some(address));
    if let Some(address) = listen.tcp.filter(|address| !taken(*address)) {
        let seal = if tls.is_some() { " with TLS" } else { "" };
        let tcp = match tls {
            Some(tls) => Listener::tls(address, tls),
            None => Listener::tcp(address, listen.insecure),
        };
        let tcp = tcp.map_err(io::Error::other)?;
        // The system has chosen a port, if it was asked to.
        places.push(format!("{}{seal}", tcp.tcp_address().unwrap_or(address)));
        listeners.push(tcp);
    }
    for name in handed.unknown {
        herald.forget(&name);
        tracing::warn!(
            "the descriptor `{name}` that was handed down was closed: sockets are called `grpc` or `health`"
        );
    }
    Ok((listeners, health, places))
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

/// The first signal to stop lets calls end, the second does not wait. SIGHUP reads the settings again.
async fn follow_signals([mut terminate, mut interrupt, mut hangup]: [Signal; 3], operator: Operator) {
    let mut within = None;
    loop {
        tokio::select! {
            // Of a service manager, which starts it again or drops what it keeps.
            Some(()) = terminate.recv() => if operator.hand_over() { continue },
            Some(()) = interrupt.recv() => {}
            Some(()) = hangup.recv() => {
                // What came of it is told as an event; meanwhile a signal to stop is heard.
                let operator = operator.clone();
                tokio::spawn(async move { operator.reload(BTreeSet::new()).await });
                continue;
            }
            else => return,
        }
        operator.quit(within).await;
        within = Some(Duration::ZERO);
    }
}

fn open_signals() -> io::Result<[Signal; 3]> {
    Ok([signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?])
}
