//! A network that is cut and comes back, in a network namespace of its own.
//!
//! ```text
//!   this test ─▶ unshare --user --net ─▶ this program once more, for this one test
//!                                          │ link up, daemons by TCP, clients with calls
//!                                          │ link down: leases end, calls fare as the mode says
//!                                          └ link up: the clients come back and find endings by key
//! ```
//!
//! The namespace has nothing but a loopback, so taking that down is a cut: nobody is told, nothing arrives. Unix
//! sockets go on, and by them the test looks on.

use super::stage::{Lease, Run, SAID, Stage, goes_on, hear};
use super::{Cell, K, MODES, Promise, Row};
use crate::presence::{Attached, brief, list};
use sidewinder_proto::v1::clients_client::ClientsClient;
use sidewinder_proto::v1::from_client::Part as Say;
use sidewinder_proto::v1::{Beat, FromClient, Happening, ResultRequest};
use sidewinder_tests::arena::Arena;
use sidewinder_tests::client::{Calls, Why, text, wire_by_tcp, with};
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Set for the program inside.
const INSIDE: &str = "SIDEWINDER_TEST_INSIDE_NETWORK";
const TTL: Duration = Duration::from_secs(1);
const BEAT: Duration = Duration::from_millis(200);
const UNSHARE: [&str; 4] = ["--user", "--map-root-user", "--net", "--"];

pub(super) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs this one test again, inside. Where namespaces are refused it says so, and nothing was tried.
pub(super) fn run_inside(test: &str) {
    let unshare = || {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("unshare");
        // Where `ip` is for those who are not root.
        command.args(UNSHARE).env("PATH", path + ":/usr/sbin:/sbin");
        command
    };
    let tried = unshare().args(["ip", "link", "set", "lo", "up"]).output();
    let refused = match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(error.to_string()),
    };
    if let Some(why) = refused {
        let said = format!("NOT RUN: {test}: no network namespace of our own is to be had here: {why}");
        // Past the test runner, which keeps what is printed by tests that pass.
        writeln!(std::io::stderr(), "\n{said}\n").expect("standard error");
        return;
    }
    let program = std::env::current_exe().expect("this program");
    let mut inside = unshare();
    inside.arg(program).args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
    let output = inside.output().expect("run");
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    assert!(output.status.success(), "{}: {complained}", output.status);
    assert!(said.contains("1 passed"), "nothing was run inside: {said}{complained}");
}

fn link(state: &str) {
    let status = Command::new("ip").args(["link", "set", "lo", state]).status().expect("ip");
    assert!(status.success(), "the link does not go {state}: {status}");
}

pub(super) fn all() -> Vec<Row> {
    link("up");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // A daemon that lives by its client's pipe has no network between them.
    let arenas = MODES[1..].iter().map(|mode| (*mode, Arena::prepare(&format!("cut-{mode}")).unwrap()));
    let arenas: Vec<_> = arenas.collect();
    runtime.block_on(async {
        let mut ready = Vec::new();
        for (port, (mode, arena)) in (7_001..).zip(&arenas) {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            let asked = ["--no-client-timeout", "never", "--tcp", &address.to_string()];
            ready.push((Stage::set(arena, mode, &asked).await, address));
        }
        let mut there = Vec::new();
        for (stage, address) in ready {
            there.push(Far::begin(stage, address).await);
        }
        let heard: Vec<_> = there.iter().map(Far::heard).collect();
        link("down");
        let cut = Instant::now();
        let lost: Vec<_> = there.iter_mut().map(|far| far.expires(cut)).collect();
        let mut took = Vec::new();
        for lost in lost {
            took.push(lost.await.expect("it expires"));
        }
        for far in &there {
            far.goes_on().await;
        }
        link("up");
        let mut rows = Vec::new();
        for ((far, took), heard) in there.into_iter().zip(took).zip(heard) {
            rows.push(far.comes_back(took, cut - heard).await);
        }
        rows
    })
}

async fn calls(address: SocketAddr) -> Calls {
    let (wire, origin) = wire_by_tcp(address).await.expect("a connection");
    Calls::with_origin(wire, origin)
}

async fn attach(address: SocketAddr) -> Attached {
    let (wire, origin) = wire_by_tcp(address).await.expect("a connection");
    let mut clients = ClientsClient::with_origin(wire, origin);
    Attached::by(&mut clients, brief("app", "1", 1_000)).await.expect("a client")
}

/// Beats until it is dropped.
fn beat(client: &Attached) -> JoinHandle<()> {
    let say = client.say.clone();
    tokio::spawn(async move {
        for sequence in 1.. {
            let beat = Beat { sequence, ..Beat::default() };
            if say.send(FromClient { part: Some(Say::Beat(beat)) }).await.is_err() {
                return;
            }
            tokio::time::sleep(BEAT).await;
        }
    })
}

/// A client behind the network, with its calls.
struct Far<'a> {
    stage: Stage<'a>,
    address: SocketAddr,
    lease: Lease,
    beating: JoinHandle<()>,
    runs: Vec<Run>,
    /// Its stream stands until it comes back.
    _client: Attached,
}

impl<'a> Far<'a> {
    async fn begin(stage: Stage<'a>, address: SocketAddr) -> Self {
        let client = attach(address).await;
        let beating = beat(&client);
        let lease = Lease { name: client.granted.lease.clone(), epoch: client.granted.epoch };
        let mut runs: Vec<Run> = Vec::new();
        for said in SAID {
            runs.push(stage.run(calls(address).await, &lease, said));
        }
        stage.running(3).await;
        Self { stage, address, lease, beating, runs, _client: client }
    }

    /// When the daemon had heard it for certain: on a busy machine beats are late.
    fn heard(&self) -> Instant {
        let asked = Instant::now();
        let ago = list(&self.stage.daemon)["clients"][0]["heard_ago_ms"].as_f64().expect("it is there");
        asked.checked_sub(Duration::from_secs_f64(ago / 1_000.0)).expect("a moment of this boot")
    }

    /// How long after the cut its lease ends.
    fn expires(&mut self, cut: Instant) -> JoinHandle<Duration> {
        let mut events = self.stage.events.take().expect("events");
        tokio::spawn(async move {
            let (event, at) = hear(&mut events, &[Happening::ClientExpired, Happening::ClientDied]).await;
            assert_eq!(event.what(), Happening::ClientExpired, "a client that is cut off is not dead");
            at - cut
        })
    }

    /// What is to go on without the client does, and ends.
    async fn goes_on(&self) {
        self.stage.running(if goes_on(self.stage.mode) { 2 } else { 1 }).await;
        std::fs::write(self.stage.arena.file("gate"), "").expect("a gate");
        self.stage.running(0).await;
        assert!(self.runs.iter().all(|run| !run.is_finished()), "something came through the cut");
    }

    /// The same run of the client attaches again, and asks.
    async fn comes_back(self, took: Duration, silent: Duration) -> Row {
        let again = attach(self.address).await;
        assert!(!again.granted.resumed, "its lease had ended");
        let mode = self.stage.mode;
        let row = Row {
            mode,
            event: "network cut, ttl 1 s",
            calls: found(self.address, &again, mode).await,
            workers: self.stage.workers(),
            daemon: fences(self.address, &self.lease).await,
            took,
            promised: Promise { at: TTL, early: silent, late: K },
        };
        self.beating.abort();
        self.runs.iter().for_each(Run::abort);
        row
    }
}

/// What the client finds of its calls when it is back.
async fn found(address: SocketAddr, again: &Attached, mode: &str) -> Cell {
    let mut fates = Vec::new();
    for (key, _) in SAID {
        let (lease, epoch) = (again.granted.lease.clone(), again.granted.epoch);
        let idempotency_key = key.to_owned();
        let asked = ResultRequest { idempotency_key, lease, epoch, ..ResultRequest::default() };
        fates.push(match calls(address).await.result(asked).await {
            Ok(answer) => match text(answer.into_inner().value).as_str() {
                "1" => "found".to_owned(),
                times => format!("run {times} times"),
            },
            Err(status) => match Why::of(status).reason() {
                "UNKNOWN_KEY" => "cancelled".to_owned(),
                other => other.to_owned(),
            },
        });
    }
    let expected = if goes_on(mode) { "found, cancelled, found" } else { "cancelled, cancelled, found" };
    Cell::of(fates.join(", "), expected)
}

/// Whoever still speaks with the lease from before the cut is refused, and nothing is run.
async fn fences(address: SocketAddr, late: &Lease) -> Cell {
    let seen = match calls(address).await.call(with(late.call("who"), "{}")).await {
        Ok(_) => "serves the late".to_owned(),
        Err(status) => {
            let why = Why::of(status);
            format!("{}, ran: {}", why.reason(), why.fact("ran"))
        }
    };
    Cell::of(seen, "LEASE_EXPIRED, ran: no")
}
