//! Builds the daemon, wires it, runs it, and stops it in order.
//!
//! ```text
//!   build   the worker's runtime on disk ─▶ keeper ─▶ pool ─▶ listeners
//!   stop    no new connections ─▶ calls end, workers leave (at most the drain) ─▶ keeper leaves
//! ```

use crate::own::hold::{Ended, Hold};
use crate::own::record;
use crate::pool::{self, Handle};
use crate::rpc::{CallsDoor, Daemon, Pools, PoolsDoor};
use crate::worker::command::Command;
use crate::worker::life::Spec;
use sidewinder_core::{Checked, Event};
use sidewinder_edge::limits::Limits;
use sidewinder_edge::listener::Listener;
use sidewinder_edge::peer::Users;
use sidewinder_edge::routes::Routes;
use sidewinder_edge::server::{Wish, serve};
use sidewinder_edge::tally::Tally;
use sidewinder_keeper::complain;
use sidewinder_keeper::wire::{Graces, Welcome};
use sidewinder_proto::v1::calls_server::CallsServer;
use sidewinder_proto::v1::pools_server::PoolsServer;
use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// The worker's runtime, made by the build.
const RUNTIME: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/runtime.zip"));

/// Everything that is to be known before the daemon starts.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) pool: String,
    pub(crate) policy: Checked,
    pub(crate) command: Command,
    pub(crate) socket: PathBuf,
    pub(crate) tcp: Option<SocketAddr>,
    pub(crate) insecure: bool,
    /// How long a stop lets calls go on.
    pub(crate) drain: Duration,
    pub(crate) namespace: bool,
}

/// Where the daemon of this user listens, when nobody says otherwise.
pub(crate) fn default_socket() -> io::Result<PathBuf> {
    let runs = record::directory()?;
    Ok(runs.parent().unwrap_or(&runs).join("sidewinder.sock"))
}

/// Runs the daemon until it is told to stop.
pub(crate) fn run(settings: Settings) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(daemon(settings));
    // What still reads a pipe of a worker that is gone has nothing to say any more.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

async fn daemon(mut settings: Settings) -> io::Result<()> {
    settings.command.runtime = Some(place_runtime()?);
    let listeners = listen(&settings)?;
    let graces = Graces { stop: settings.drain, ..Graces::default() };
    let (hold, welcome, run) = Hold::start(settings.namespace, graces)?;
    let ended = hold.ended();
    let spec = Spec {
        pool: settings.pool.clone(),
        run: run.clone(),
        message_max: usize::try_from(Limits::default().message).unwrap_or(usize::MAX),
        interrupt_grace: settings.policy.grace.interrupt,
        command: settings.command.clone(),
    };
    let handle = pool::start(settings.policy.clone(), spec, hold);
    let routes = routes(&settings, &handle, &welcome, run)?;
    announce(&settings, &welcome);
    let (wish, wishes) = watch::channel(Wish::Serve);
    let wish = Arc::new(wish);
    let stop = tokio::spawn(stop_on_signals(wish.clone(), handle.clone(), settings.drain));
    let lost = tokio::spawn(stop_without_keeper(wish, ended.clone()));
    serve(listeners, routes, Limits::default(), Arc::new(Tally::default()), wishes).await;
    if lost.is_finished() {
        return Err(io::Error::other(
            "the keeper was killed, and all workers with it: start the daemon again",
        ));
    }
    handle.operate(Event::DrainRequested { within: settings.drain }).await;
    handle.ended().await;
    stop.abort();
    drop(handle);
    ended.wait().await;
    Ok(())
}

/// Without a keeper there can be no workers. Whoever supervises the daemon starts it again.
async fn stop_without_keeper(wish: Arc<watch::Sender<Wish>>, keeper: Ended) {
    keeper.wait().await;
    wish.send_replace(Wish::StopWithin(Duration::ZERO));
}

fn routes(settings: &Settings, handle: &Handle, welcome: &Welcome, run: String) -> io::Result<Routes> {
    let pools = Pools::new(BTreeMap::from([(settings.pool.clone(), handle.clone())]));
    let daemon = Daemon { run, tier: welcome.tier.to_string(), started: SystemTime::now() };
    let calls = CallsServer::new(CallsDoor::new(pools.clone())).max_decoding_message_size(usize::MAX);
    let looks = PoolsServer::new(PoolsDoor::new(pools, daemon));
    let (routes, _health) =
        Routes::default().with(calls).with(looks).with_standard_services().map_err(io::Error::other)?;
    Ok(routes)
}

fn listen(settings: &Settings) -> io::Result<Vec<Listener>> {
    let unix = Listener::unix(&settings.socket, Users::private()).map_err(io::Error::other)?;
    let mut listeners = vec![unix];
    if let Some(address) = settings.tcp {
        listeners.push(Listener::tcp(address, settings.insecure).map_err(io::Error::other)?);
    }
    Ok(listeners)
}

fn announce(settings: &Settings, welcome: &Welcome) {
    let tcp = settings.tcp.map(|address| format!(" and {address}")).unwrap_or_default();
    complain!(
        "pool {} listens on {}{tcp} (tier {}: {})",
        settings.pool,
        settings.socket.display(),
        welcome.tier,
        welcome.why
    );
}

/// The first signal lets calls end, the second does not wait.
async fn stop_on_signals(wish: Arc<watch::Sender<Wish>>, handle: Handle, drain: Duration) {
    let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()];
    let Ok(signals) = kinds.map(signal).into_iter().collect::<io::Result<Vec<_>>>() else { return };
    let (said, mut heard) = tokio::sync::mpsc::channel(4);
    for mut signal in signals {
        let said = said.clone();
        tokio::spawn(async move { while signal.recv().await.is_some() && said.send(()).await.is_ok() {} });
    }
    let mut within = drain;
    while heard.recv().await.is_some() {
        complain!("stopping: calls may go on for {within:?}");
        wish.send_replace(Wish::StopWithin(within));
        handle.operate(Event::DrainRequested { within }).await;
        within = Duration::ZERO;
    }
}

/// Writes the worker's runtime where workers can import it. Its name is its content, so it is written once.
fn place_runtime() -> io::Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    RUNTIME.hash(&mut hasher);
    let runs = record::directory()?;
    let base = runs.parent().unwrap_or(&runs);
    let path = base.join(format!("runtime-{:016x}.zip", hasher.finish()));
    if fs::read(&path).is_ok_and(|there| there == RUNTIME) {
        return Ok(path);
    }
    let draft = base.join(format!(".runtime-{}", std::process::id()));
    fs::write(&draft, RUNTIME)
        .and_then(|()| fs::rename(&draft, &path))
        .map_err(|error| explain(&path, &error))?;
    Ok(path)
}

fn explain(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write the worker's runtime to {}: {error}", path.display()))
}
