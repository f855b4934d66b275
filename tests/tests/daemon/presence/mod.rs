//! Clients that are there, and what it means that they are not: leases, beats, endings by key, modes.

mod keyed;
mod leases;
mod leaving;
mod modes;
mod peers;
mod silent;
mod strays;
mod table;
mod told;

use super::grpc::until as soon;
use super::orders::until;
use sidewinder_proto::v1::clients_client::ClientsClient;
use sidewinder_proto::v1::from_client::Part as Say;
use sidewinder_proto::v1::pools_client::PoolsClient;
use sidewinder_proto::v1::to_client::Part as Told;
use sidewinder_proto::v1::{
    Beat, Call, Detach, Event, FromClient, Granted, Happening, Hello, ToClient, WatchRequest,
};
use sidewinder_tests::client::{Wire, call, wire};
use sidewinder_tests::daemon::Daemon;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

/// A timed promise is tested with this much more, because the machine is shared; what was seen is printed.
pub(crate) const GENEROUS: u32 = 20;

/// An attached client of ours. It beats only when it is told to.
pub(super) struct Attached {
    pub(super) granted: Granted,
    say: mpsc::Sender<FromClient>,
    told: Streaming<ToClient>,
}

pub(super) fn hello(name: &str, run: &str) -> Hello {
    Hello { name: name.to_owned(), run: run.to_owned(), ..Hello::default() }
}

/// A lease that holds for so many milliseconds, with beats twice in that time.
pub(super) fn brief(name: &str, run: &str, ttl: u64) -> Hello {
    let span = |millis| Duration::from_millis(millis).try_into().ok();
    Hello { interval: span(ttl / 2), ttl: span(ttl), ..hello(name, run) }
}

pub(super) async fn clients(daemon: &Daemon<'_>) -> ClientsClient<Wire> {
    let (wire, origin) = wire(daemon).await.expect("a connection");
    ClientsClient::with_origin(wire, origin)
}

impl Attached {
    pub(super) async fn to(daemon: &Daemon<'_>, hello: Hello) -> Result<Self, Status> {
        Self::by(&mut clients(daemon).await, hello).await
    }

    pub(super) async fn by(client: &mut ClientsClient<Wire>, hello: Hello) -> Result<Self, Status> {
        let (say, said) = mpsc::channel(8);
        say.try_send(FromClient { part: Some(Say::Hello(hello)) }).expect("room");
        let mut told = client.attach(ReceiverStream::new(said)).await?.into_inner();
        let first = told.message().await?.and_then(|first| first.part);
        let Some(Told::Granted(granted)) = first else { panic!("the first word is no grant: {first:?}") };
        Ok(Self { granted, say, told })
    }

    pub(super) async fn say(&self, part: Say) {
        self.say.send(FromClient { part: Some(part) }).await.expect("a stream");
    }

    pub(super) async fn beat(&self, sequence: u64) {
        self.say(Say::Beat(Beat { sequence, load: Some(7), ..Beat::default() })).await;
    }

    pub(super) async fn detach(mut self) {
        self.say(Say::Detach(Detach::default())).await;
        while self.told.message().await.is_ok_and(|told| told.is_some()) {}
    }

    /// The next word of this kind.
    pub(super) async fn hears<T>(&mut self, kind: impl Fn(Told) -> Option<T>) -> T {
        loop {
            let told = self.told.message().await.expect("a word").expect("a stream").part;
            if let Some(wanted) = told.and_then(&kind) {
                return wanted;
            }
        }
    }

    /// How the stream ends.
    pub(super) async fn end(&mut self) -> Result<(), Status> {
        while self.told.message().await?.is_some() {}
        Ok(())
    }

    /// This call, as one of this client's.
    pub(super) fn owns(&self, call: Call) -> Call {
        Call { lease: self.granted.lease.clone(), epoch: self.granted.epoch, ..call }
    }

    pub(super) fn call(&self, tool: &str) -> Call {
        self.owns(call(tool))
    }
}

/// `sidewinder attach`: a client that is a process of its own, beats by itself, and can be killed.
pub(super) struct Process {
    child: Child,
}

impl Process {
    pub(super) fn attach(daemon: &Daemon<'_>, arguments: &[&str]) -> Self {
        Self::attach_saying(daemon, arguments, Stdio::null())
    }

    /// The same, with something to say it to.
    pub(super) fn attach_saying(daemon: &Daemon<'_>, arguments: &[&str], output: Stdio) -> Self {
        let mut command: Command = daemon.verb("attach", arguments);
        let child = command.stdout(output).spawn().expect("a client");
        let pid = u64::from(child.id());
        until("it is attached", || {
            list(daemon)["clients"].as_array().unwrap().iter().any(|client| client["pid"] == pid)
        });
        Self { child }
    }

    pub(super) fn send(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("it is ours and not waited for");
    }

    pub(super) fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("dead");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `sidewinder clients --json` says.
pub(super) fn list(daemon: &Daemon<'_>) -> serde_json::Value {
    let said = daemon.ask("clients", &["--json"]).expect("asked");
    serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

/// Events from now on.
pub(super) struct Events(Streaming<Event>);

impl Events {
    pub(super) async fn of(daemon: &Daemon<'_>) -> Self {
        let (wire, origin) = wire(daemon).await.expect("a connection");
        let mut pools = PoolsClient::with_origin(wire, origin);
        Self(pools.watch(WatchRequest::default()).await.expect("a stream").into_inner())
    }

    /// The next one of these, and when it came.
    pub(super) async fn next(&mut self, wanted: &[Happening]) -> (Event, Instant) {
        loop {
            let event = self.0.message().await.expect("an event").expect("a stream");
            if wanted.contains(&event.what()) {
                return (event, Instant::now());
            }
        }
    }
}

/// Processes of workers, as the daemon counts them.
pub(super) fn processes(daemon: &Daemon<'_>) -> u64 {
    let status = daemon.status().expect("a status");
    let pools = status["pools"].as_array().expect("pools").clone();
    pools.iter().filter_map(|pool| pool["processes"].as_u64()).sum()
}
