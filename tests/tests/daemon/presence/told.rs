//! What an attached client is told: as a state that is the newest, and as events if it asks for them.

use super::{Attached, brief};
use crate::config;
use crate::orders::{are_ready, order};
use sidewinder_proto::v1::from_client::Part as Say;
use sidewinder_proto::v1::to_client::Part as Told;
use sidewinder_proto::v1::{Happening, Hello, Phase, PoolStanding, Question, Standing};
use sidewinder_tests::arena::Arena;
use sidewinder_tests::client::{Calls, Why, ask, connect};
use sidewinder_tests::daemon::Daemon;
use std::time::Duration;
use tokio::time::timeout;

/// What does not come in this time does not come.
const NEVER: Duration = Duration::from_secs(30);

const POOL: &str = "[pools.default]\ntools = [\"orders\"]\nworkers = 1\nline.waiting_max = ";

/// A daemon in whose only pool one runs and one waits.
fn narrow(arena: &Arena) -> Daemon<'_> {
    let place = sidewinder_tests::daemon::tools().display().to_string();
    let path = config::write(arena, &format!("{POOL}1\n"));
    let daemon = Daemon::start(arena, &["--config", &path, "--directory", &place]).unwrap();
    are_ready(&daemon, 1);
    daemon
}

/// One who reads both.
struct Reader {
    client: Attached,
    what: Vec<Happening>,
}

impl Reader {
    async fn of(daemon: &Daemon<'_>) -> Self {
        let client =
            Attached::to(daemon, Hello { events: true, ..brief("app", "1", 300_000) }).await.unwrap();
        Self { client, what: Vec::new() }
    }

    /// Reads until a state is like this. The events that came before it are kept.
    async fn until(&mut self, what: &str, holds: impl Fn(&Standing, &PoolStanding) -> bool) {
        let reading = async {
            loop {
                match self.client.hears(Some).await {
                    Told::State(state) if holds(&state, &state.pools[0]) => return,
                    Told::Event(event) => self.what.push(event.what()),
                    Told::State(_) | Told::Beat(_) | Told::Granted(_) => {}
                }
            }
        };
        let read = timeout(NEVER, reading).await;
        assert!(read.is_ok(), "in vain: {what}; {:?}", self.what);
    }

    /// Asks until the answer is like this. One look is as good as new for a moment, so the first answer may be of before.
    async fn asks_until(&mut self, holds: impl Fn(&PoolStanding) -> bool) {
        let asking = async {
            loop {
                self.client.say(Say::Question(Question {})).await;
                let state =
                    self.client.hears(|told| if let Told::State(state) = told { Some(state) } else { None });
                if holds(&state.await.pools[0]) {
                    return;
                }
            }
        };
        assert!(timeout(NEVER, asking).await.is_ok(), "no answer was like this");
    }

    /// Reads until this has happened, since it was asked last.
    async fn hears(&mut self, wanted: Happening) {
        let client = &mut self.client;
        let reading = async {
            while !self.what.contains(&wanted) {
                if let Told::Event(event) = client.hears(Some).await {
                    self.what.push(event.what());
                }
            }
        };
        assert!(timeout(NEVER, reading).await.is_ok(), "{wanted:?} never came");
        self.what.clear();
    }
}

#[tokio::test]
async fn an_attached_client_is_told_of_workers_pools_and_settings() {
    let arena = Arena::prepare("told").unwrap();
    let daemon = narrow(&arena);
    let mut reader = Reader::of(&daemon).await;
    reader.until("how it is", |state, pool| state.mode == "independent" && pool.ready == 1).await;

    let killed = daemon.status().unwrap()["workers"][0]["pid"].as_i64().unwrap();
    let killed = rustix::process::Pid::from_raw(i32::try_from(killed).unwrap()).unwrap();
    rustix::process::kill_process(killed, rustix::process::Signal::KILL).unwrap();
    reader.hears(Happening::WorkerGone).await;
    reader.hears(Happening::WorkerReady).await;
    reader.until("it is back", |_, pool| pool.ready == 1).await;

    let gate = arena.file("gate");
    let hold = format!(r#"{{"gate": "{}"}}"#, gate.display());
    let connections = [connect(&daemon).await, connect(&daemon).await, connect(&daemon).await];
    let [first, second, third] = connections.map(Result::unwrap);
    let begin = |mut calls: Calls| {
        let request = ask("hold", &hold);
        tokio::spawn(async move { calls.call(request).await })
    };
    let running = begin(first);
    super::soon("one runs", || daemon.status().unwrap()["pools"][0]["running"] == 1).await;
    let waiting = begin(second);
    super::soon("one waits", || daemon.status().unwrap()["pools"][0]["waiting"] == 1).await;
    assert!(begin(third).await.unwrap().is_err(), "there is room for one");
    reader.until("it is full", |_, pool| pool.saturated && pool.running == 1 && pool.waiting == 1).await;
    reader.hears(Happening::PoolSaturated).await;
    std::fs::write(&gate, "").unwrap();
    reader.hears(Happening::PoolRecovered).await;
    assert!(running.await.unwrap().is_ok() && waiting.await.unwrap().is_ok());
    // Nothing tells by itself that a call has ended.
    super::soon("nobody runs", || daemon.status().unwrap()["pools"][0]["running"] == 0).await;
    reader.asks_until(|pool| !pool.saturated && pool.running == 0).await;

    config::write(&arena, &format!("{POOL}2\n"));
    order(&daemon, "reload", &[]);
    reader.hears(Happening::Reloaded).await;
    order(&daemon, "reload", &["--renew", "default"]);
    reader.until("another generation", |_, pool| pool.generation == 1 && pool.ready == 1).await;
    order(&daemon, "drain", &["default"]);
    reader.until("it is drained", |_, pool| pool.phase() == Phase::Drained && pool.ready == 0).await;
    order(&daemon, "resume", &["default"]);
    reader.until("it serves again", |_, pool| pool.phase() == Phase::Serving && pool.ready == 1).await;
}

/// Whoever is attached hears that the daemon stops, at once and not when the last call has ended.
#[tokio::test]
async fn an_attached_client_is_told_of_a_stop() {
    let arena = Arena::prepare("told-of-stop").unwrap();
    let daemon = narrow(&arena);
    let mut reader = Reader::of(&daemon).await;
    reader.until("how it is", |state, _| !state.stopping).await;
    let mut calls = connect(&daemon).await.unwrap();
    let gate = arena.file("gate");
    let hold = format!(r#"{{"gate": "{}"}}"#, gate.display());
    let running = tokio::spawn(async move { calls.call(ask("hold", &hold)).await });
    super::soon("one runs", || daemon.status().unwrap()["pools"][0]["running"] == 1).await;
    daemon.send(rustix::process::Signal::TERM).unwrap();
    let told = timeout(NEVER, reader.client.end()).await.expect("in time").unwrap_err();
    assert_eq!(Why::of(told).reason(), "STOPPING");
    assert!(!running.is_finished(), "its call has its time");
    std::fs::write(&gate, "").unwrap();
    assert!(running.await.unwrap().is_ok());
    assert!(daemon.end().unwrap().0.success());
}
