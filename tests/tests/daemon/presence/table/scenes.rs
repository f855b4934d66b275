//! Each event on this machine, in one mode after the other. Each has a daemon of its own.

use super::stage::{Lease, Stage, goes_on, without_client};
use super::{Cell, K, Promise, Row};
use crate::presence::modes::{handles, is_dead};
use crate::presence::{Attached, hello, list, processes, soon};
use rustix::process::Signal;
use sidewinder_proto::v1::Happening;
use sidewinder_tests::arena::Arena;
use std::time::{Duration, Instant};

/// A lease that is long enough to play no part.
const LONG: [&str; 4] = ["--name", "app", "--ttl", "5m"];
const TTL: Duration = Duration::from_secs(1);
const BEAT: Duration = Duration::from_millis(100);
const BRIEF: [&str; 6] = ["--name", "app", "--ttl", "1s", "--interval", "100ms"];
/// How long workers stay without a client.
const STAY: Duration = Duration::from_secs(2);
const STAYING: [&str; 4] = ["--no-client-timeout", "2s", "--startup-client-timeout", "never"];
const FOR_EVER: [&str; 2] = ["--no-client-timeout", "never"];
/// How long the daemon is stopped: twice as long as the lease holds.
const STANDSTILL: Duration = Duration::from_secs(2);

pub(super) fn all(mode: &'static str, keep: &mut dyn FnMut(Row)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let arena = |event: &str| Arena::prepare(&format!("table-{mode}-{event}")).expect("an arena");
        let coupled = mode == "coupled";
        if coupled {
            keep(lifeline(mode, &arena("kill")).await);
        } else {
            keep(killed(mode, &arena("kill")).await);
        }
        keep(stopped(mode, &arena("stop")).await);
        keep(detached(mode, &arena("detach")).await);
        keep(standstill(mode, &arena("standstill")).await);
        if coupled {
            keep(nobody_in_coupled(mode, &arena("nobody")).await);
        } else {
            keep(back_at_half_time(mode, &arena("half")).await);
            keep(gone_for_good(mode, &arena("good")).await);
        }
    });
}

async fn killed(mode: &'static str, arena: &Arena) -> Row {
    let mut stage = Stage::set(arena, mode, &FOR_EVER).await;
    let (mut process, lease) = stage.client(&LONG);
    let runs = stage.calls(&lease).await;
    let killed = Instant::now();
    process.kill();
    let (_, at) = stage.hears(&[Happening::ClientDied]).await;
    Row {
        mode,
        event: "client kill -9",
        calls: stage.fates(runs, without_client(mode)).await,
        workers: stage.workers(),
        daemon: stage.serves(Some(&lease)).await,
        took: at - killed,
        promised: Promise::within(Duration::from_millis(10)),
    }
}

/// The client holds the lifeline: with it everything ends, a call that was told to finish as well.
async fn lifeline(mode: &'static str, arena: &Arena) -> Row {
    let mut stage = Stage::set(arena, mode, &[]).await;
    let (mut process, lease) = stage.client(&LONG);
    let runs = stage.calls(&lease).await;
    let workers = handles(&stage.daemon);
    let killed = Instant::now();
    process.kill();
    soon("the workers are dead", || workers.iter().all(is_dead)).await;
    let took = killed.elapsed();
    let mut fates = Vec::new();
    for (run, (key, _)) in runs.into_iter().zip(super::stage::SAID) {
        let answered = run.await.expect("no panic").is_ok();
        fates.push(if answered || stage.signed(key) { "went on" } else { "cut short" });
    }
    let (status, _) = stage.daemon.end().expect("an end");
    Row {
        mode,
        event: "client kill -9",
        calls: Cell::of(fates.join(", "), "cut short, cut short, cut short"),
        workers: Cell::of("dead", "dead"),
        daemon: Cell::of(format!("ended, {status}"), "ended, exit status: 0"),
        took,
        promised: Promise::within(K),
    }
}

async fn stopped(mode: &'static str, arena: &Arena) -> Row {
    let mut stage = Stage::set(arena, mode, &FOR_EVER).await;
    let (process, lease) = stage.client(&BRIEF);
    let runs = stage.calls(&lease).await;
    let stopped = Instant::now();
    process.send(Signal::STOP);
    let ends = [Happening::ClientExpired, Happening::ClientDied, Happening::ClientDetached];
    let (event, at) = stage.hears(&ends).await;
    assert_eq!(event.what(), Happening::ClientExpired, "a stopped client is not dead");
    let calls = stage.fates(runs, without_client(mode)).await;
    let workers = stage.workers();
    let daemon = stage.serves(Some(&lease)).await;
    process.send(Signal::CONT);
    let promised = Promise { at: TTL, early: BEAT, late: K };
    Row { mode, event: "client SIGSTOP, ttl 1 s", calls, workers, daemon, took: at - stopped, promised }
}

async fn detached(mode: &'static str, arena: &Arena) -> Row {
    let mut stage = Stage::set(arena, mode, &FOR_EVER).await;
    let client = Attached::to(&stage.daemon, hello("app", "1")).await.expect("a client");
    let lease = Lease::only(&stage.daemon);
    let runs = stage.calls(&lease).await;
    let left = Instant::now();
    client.detach().await;
    let (_, at) = stage.hears(&[Happening::ClientDetached]).await;
    Row {
        mode,
        event: "graceful detach",
        calls: stage.fates(runs, without_client(mode)).await,
        workers: stage.workers(),
        daemon: stage.serves(Some(&lease)).await,
        took: at - left,
        promised: Promise::within(Duration::from_millis(10)),
    }
}

/// Nobody's lease ends because the daemon stood still, and its calls are answered afterwards.
async fn standstill(mode: &'static str, arena: &Arena) -> Row {
    let mut stage = Stage::set(arena, mode, &FOR_EVER).await;
    let (_process, lease) = stage.client(&BRIEF);
    let runs = stage.calls(&lease).await;
    stage.daemon.send(Signal::STOP).expect("stopped");
    // The passing of time is what is tried.
    tokio::time::sleep(STANDSTILL).await;
    let continued = Instant::now();
    stage.daemon.send(Signal::CONT).expect("continued");
    let (event, at) = stage.hears(&[Happening::Stalled, Happening::ClientExpired]).await;
    assert_eq!(event.what(), Happening::Stalled, "the client expired for a standstill of the daemon");
    // Longer than what was left of the lease: it is its beats that it lives by, and they are heard again.
    tokio::time::sleep(TTL + K).await;
    let now = Lease::only(&stage.daemon);
    let same = (&now.name, now.epoch) == (&lease.name, lease.epoch);
    Row {
        mode,
        event: "daemon SIGSTOP 2 s, SIGCONT",
        calls: stage.fates(runs, "answered, answered, answered").await,
        workers: stage.workers(),
        daemon: Cell::of(if same { "keeps the lease" } else { "gave another lease" }, "keeps the lease"),
        took: at - continued,
        promised: Promise::within(K),
    }
}

/// A client that comes back in time finds its workers, and the calls that go on without it.
async fn back_at_half_time(mode: &'static str, arena: &Arena) -> Row {
    let mut stage = Stage::set(arena, mode, &STAYING).await;
    let client = Attached::to(&stage.daemon, hello("app", "1")).await.expect("a client");
    let runs = stage.calls(&Lease::only(&stage.daemon)).await;
    client.detach().await;
    stage.hears(&[Happening::Nobody]).await;
    let left = Instant::now();
    // The passing of time is what is tried, here and below.
    tokio::time::sleep(STAY / 2).await;
    let back = Instant::now();
    let _client = Attached::to(&stage.daemon, hello("app", "1")).await.expect("a client");
    let (event, at) = stage.hears(&[Happening::Somebody, Happening::Released]).await;
    assert_eq!(event.what(), Happening::Somebody, "workers were let go too early");
    tokio::time::sleep((STAY + K).saturating_sub(left.elapsed())).await;
    let workers = stage.workers();
    let presence = list(&stage.daemon)["presence"].as_str().unwrap_or_default().to_owned();
    Row {
        mode,
        event: "last leaves, back at half of 2 s",
        calls: stage.fates(runs, without_client(mode)).await,
        workers,
        daemon: Cell::of(presence, "present"),
        took: at - back,
        promised: Promise::within(K),
    }
}

/// Workers leave when their time is over; those with a call that goes on leave after it. The next call finds new ones.
async fn gone_for_good(mode: &'static str, arena: &Arena) -> Row {
    let mut stage = Stage::set(arena, mode, &STAYING).await;
    let client = Attached::to(&stage.daemon, hello("app", "1")).await.expect("a client");
    let runs = stage.calls(&Lease::only(&stage.daemon)).await;
    let left = Instant::now();
    client.detach().await;
    let (_, at) = stage.hears(&[Happening::Released]).await;
    let busy = if goes_on(mode) { 2 } else { 1 };
    soon("only busy workers are left", || processes(&stage.daemon) == busy).await;
    let calls = stage.fates(runs, without_client(mode)).await;
    soon("nobody is left", || processes(&stage.daemon) == 0).await;
    let workers = Cell::of(format!("3, {busy}, 0"), format!("3, {busy}, 0"));
    let daemon = stage.serves(None).await;
    let promised = Promise { at: STAY, early: Duration::ZERO, late: K };
    Row { mode, event: "last leaves for good, 2 s", calls, workers, daemon, took: at - left, promised }
}

/// A coupled daemon has its lifeline: without attached clients it keeps its workers.
async fn nobody_in_coupled(mode: &'static str, arena: &Arena) -> Row {
    let mut stage = Stage::set(arena, mode, &[]).await;
    let client = Attached::to(&stage.daemon, hello("app", "1")).await.expect("a client");
    let runs = stage.calls(&Lease::only(&stage.daemon)).await;
    let left = Instant::now();
    client.detach().await;
    let (_, at) = stage.hears(&[Happening::ClientDetached]).await;
    // The passing of time is what is tried.
    tokio::time::sleep(STAY).await;
    let leaves = list(&stage.daemon)["leaves_in_ms"].clone();
    let calls = stage.fates(runs, without_client(mode)).await;
    Row {
        mode,
        event: "last leaves, lifeline stays",
        calls,
        workers: stage.workers(),
        daemon: Cell::of(if leaves.is_null() { "stays" } else { "counts" }, "stays"),
        took: at - left,
        promised: Promise::within(Duration::from_millis(10)),
    }
}
