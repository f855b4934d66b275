//! A daemon of one mode with three workers, and three calls of one client that nobody has answered yet.

use super::Cell;
use crate::orders::are_ready;
use crate::presence::{Events, Process, list, soon};
use sidewinder_proto::v1::{Call, Event, Happening, OnAbandon};
use sidewinder_tests::arena::Arena;
use sidewinder_tests::client::{Calls, Why, call, connect, text, with};
use sidewinder_tests::daemon::Daemon;
use std::io::PipeWriter;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tonic::Status;

/// What is said of abandonment, in the order of the table. The key of each call.
pub(super) const SAID: [(&str, OnAbandon); 3] =
    [("default", OnAbandon::Unspecified), ("cancel", OnAbandon::Cancel), ("finish", OnAbandon::Finish)];

/// Whether a call that says nothing goes on without its client.
pub(super) fn goes_on(mode: &str) -> bool {
    matches!(mode, "independent" | "distributed")
}

/// The fates of the three calls when their client is gone.
pub(super) fn without_client(mode: &str) -> &'static str {
    if goes_on(mode) { "finished, cancelled, finished" } else { "cancelled, cancelled, finished" }
}

/// A lease as calls name it.
#[derive(Clone)]
pub(super) struct Lease {
    pub(super) name: String,
    pub(super) epoch: u64,
}

impl Lease {
    /// That of the only client.
    pub(super) fn only(daemon: &Daemon<'_>) -> Self {
        let client = &list(daemon)["clients"][0];
        let name = client["lease"].as_str().expect("a lease").to_owned();
        Self { name, epoch: client["epoch"].as_u64().expect("an epoch") }
    }

    pub(super) fn call(&self, tool: &str) -> Call {
        Call { lease: self.name.clone(), epoch: self.epoch, ..call(tool) }
    }
}

pub(super) type Run = JoinHandle<Result<String, Status>>;

pub(super) struct Stage<'a> {
    pub(super) arena: &'a Arena,
    pub(super) daemon: Daemon<'a>,
    /// Until somebody takes them to listen on the side.
    pub(super) events: Option<Events>,
    pub(super) mode: &'static str,
    /// The end of the pipe that a coupled daemon lives by.
    pub(super) lifeline: Option<PipeWriter>,
    workers: Vec<u64>,
}

impl<'a> Stage<'a> {
    pub(super) async fn set(arena: &'a Arena, mode: &'static str, asked: &[&str]) -> Self {
        let coupled = mode == "coupled";
        let usual = ["--tools", "orders", "--workers", "3", "--mode", mode];
        let arguments: Vec<&str> = usual.iter().chain(asked).copied().collect();
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let daemon = Daemon::start_with(arena, &arguments, |command| {
            command.stdin(if coupled { Stdio::from(reader) } else { Stdio::null() });
        })
        .expect("a daemon");
        are_ready(&daemon, 3);
        let events = Some(Events::of(&daemon).await);
        let workers = pids(&daemon);
        Self { arena, daemon, events, mode, lifeline: coupled.then_some(writer), workers }
    }

    /// A client that is a process of its own. In mode coupled it holds the lifeline.
    pub(super) fn client(&mut self, arguments: &[&str]) -> (Process, Lease) {
        let output = self.lifeline.take().map_or_else(Stdio::null, Stdio::from);
        let process = Process::attach_saying(&self.daemon, arguments, output);
        (process, Lease::only(&self.daemon))
    }

    /// The three calls, when all of them run.
    pub(super) async fn calls(&self, lease: &Lease) -> Vec<Run> {
        let mut all = Vec::new();
        for said in SAID {
            all.push(self.run(connect(&self.daemon).await.expect("a connection"), lease, said));
        }
        self.running(3).await;
        all
    }

    /// One of them. It waits for the gate, and then signs.
    pub(super) fn run(&self, mut calls: Calls, lease: &Lease, (key, said): (&str, OnAbandon)) -> Run {
        let (gate, file) = (self.arena.file("gate"), self.arena.file(key));
        let call = Call { on_abandon: said.into(), idempotency_key: key.to_owned(), ..lease.call("once") };
        let arguments = format!(r#"{{"gate": "{}", "file": "{}"}}"#, gate.display(), file.display());
        tokio::spawn(async move {
            let answer = calls.call(with(call, &arguments)).await?;
            Ok(text(answer.into_inner().value))
        })
    }

    pub(super) async fn hears(&mut self, wanted: &[Happening]) -> (Event, Instant) {
        hear(self.events.as_mut().expect("events"), wanted).await
    }

    pub(super) async fn running(&self, calls: usize) {
        let what = format!("{calls} calls run in mode {}", self.mode);
        soon(&what, || self.daemon.status().unwrap()["pools"][0]["running"] == calls).await;
    }

    pub(super) fn signed(&self, key: &str) -> bool {
        self.arena.file(key).exists()
    }

    /// Waits until only those run that are to go on, lets them, and tells what became of each.
    pub(super) async fn fates(&self, runs: Vec<Run>, expected: &'static str) -> Cell {
        let going_on = expected.split(", ").filter(|fate| *fate != "cancelled").count();
        self.running(going_on).await;
        std::fs::write(self.arena.file("gate"), "").expect("a gate");
        self.running(0).await;
        let mut fates = Vec::new();
        for ((key, _), run) in SAID.iter().zip(runs) {
            let told = run.await.expect("no panic");
            fates.push(match (told, self.signed(key)) {
                (Ok(_), true) => "answered".to_owned(),
                (Ok(value), false) => format!("answered {value} without being run"),
                (Err(status), signed) => match Why::of(status).reason() {
                    "LEASE_EXPIRED" if signed => "finished".to_owned(),
                    "LEASE_EXPIRED" => "cancelled".to_owned(),
                    other => format!("{other}, signed: {signed}"),
                },
            });
        }
        Cell::of(fates.join(", "), expected)
    }

    /// How many of the workers are those that there were.
    pub(super) fn workers(&self) -> Cell {
        let now = pids(&self.daemon);
        let same = self.workers.iter().filter(|pid| now.contains(pid)).count();
        Cell::of(format!("{same} the same"), "3 the same")
    }

    /// Whether somebody without a lease is served, and who comes late with this lease is not.
    pub(super) async fn serves(&self, late: Option<&Lease>) -> Cell {
        let mut calls = connect(&self.daemon).await.expect("a connection");
        let mut seen = match calls.call(with(call("who"), "{}")).await {
            Ok(_) => "serves".to_owned(),
            Err(status) => format!("says {}", Why::of(status).reason()),
        };
        let mut expected = "serves";
        if let Some(late) = late {
            expected = "serves, fences the late";
            if let Err(status) = calls.call(with(late.call("who"), "{}")).await {
                let why = Why::of(status);
                if (why.reason(), why.fact("ran")) == ("LEASE_EXPIRED", "no") {
                    seen.push_str(", fences the late");
                }
            }
        }
        Cell::of(seen, expected)
    }
}

/// The next of these events, unless it does not come at all.
pub(super) async fn hear(events: &mut Events, wanted: &[Happening]) -> (Event, Instant) {
    let heard = tokio::time::timeout(Duration::from_secs(30), events.next(wanted)).await;
    heard.unwrap_or_else(|_| panic!("none of {wanted:?} came"))
}

fn pids(daemon: &Daemon<'_>) -> Vec<u64> {
    let status = daemon.status().expect("a status");
    let workers = status["workers"].as_array().expect("workers").clone();
    workers.iter().filter_map(|worker| worker["pid"].as_u64()).collect()
}
