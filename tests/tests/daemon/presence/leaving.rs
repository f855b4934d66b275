//! Workers leave when nobody is there, and come back with the next client.

use super::{Attached, Events, GENEROUS, hello, list, processes, soon};
use crate::orders::{are_ready, until};
use crate::{answer, orders};
use sidewinder_proto::v1::{Call, Happening, OnAbandon};
use sidewinder_tests::arena::Arena;
use sidewinder_tests::client::{call, connect, connect_to_hang_up, with};
use sidewinder_tests::daemon::Daemon;
use sidewinder_tests::procfs;
use std::net::Shutdown;
use std::time::{Duration, Instant};

const WORKERS: [&str; 4] = ["--tools", "orders", "--workers", "2"];

fn start<'a>(arena: &'a Arena, more: &[&str]) -> Daemon<'a> {
    let arguments: Vec<&str> = WORKERS.iter().chain(more).copied().collect();
    Daemon::start(arena, &arguments).expect("a daemon")
}

#[tokio::test]
async fn workers_leave_when_the_last_client_has_been_gone_for_long_enough_and_the_next_one_finds_new_ones() {
    let arena = Arena::prepare("leave").unwrap();
    let daemon = start(&arena, &["--no-client-timeout", "1s", "--startup-client-timeout", "never"]);
    are_ready(&daemon, 2);
    let mut events = Events::of(&daemon).await;
    let client = Attached::to(&daemon, hello("app", "1")).await.unwrap();
    let gone = Instant::now();
    client.detach().await;
    let (_, at) = events.next(&[Happening::Released]).await;
    println!("with a timeout of 1 s workers were let go {:?} after the last client", at - gone);
    assert!(at - gone >= Duration::from_millis(990), "early: {:?}", at - gone);
    assert!(at - gone <= Duration::from_secs(1) + GENEROUS * Duration::from_millis(250));
    soon("nobody is left", || processes(&daemon) == 0).await;
    assert_eq!(list(&daemon)["presence"], "released");
    // Health is true: whoever calls is served.
    assert_eq!(daemon.status().unwrap()["pools"][0]["phase"], "SERVING");
    let client = Attached::to(&daemon, hello("app", "2")).await.unwrap();
    are_ready(&daemon, 2);
    let mut calls = connect(&daemon).await.unwrap();
    calls.call(with(client.call("who"), "{}")).await.unwrap();
    assert_eq!(list(&daemon)["presence"], "present");
}

/// Without a word about it workers stay for a minute, before the first client and after the last.
#[tokio::test]
async fn workers_stay_for_a_minute_unless_somebody_says_otherwise() {
    let arena = Arena::prepare("a-minute").unwrap();
    let daemon = start(&arena, &[]);
    are_ready(&daemon, 2);
    let is_a_minute = || {
        let left = list(&daemon)["leaves_in_ms"].as_f64();
        left.is_some_and(|left| left > 40_000.0 && left <= 60_000.0)
    };
    soon("it is counted before anybody has come", is_a_minute).await;
    let client = Attached::to(&daemon, hello("app", "1")).await.unwrap();
    assert!(list(&daemon)["leaves_in_ms"].is_null());
    client.detach().await;
    soon("it is counted after the last has gone", is_a_minute).await;
    assert_eq!(processes(&daemon), 2);
}

#[tokio::test]
async fn coming_back_in_time_loses_nothing() {
    let arena = Arena::prepare("half-time").unwrap();
    let daemon = start(&arena, &["--no-client-timeout", "2s"]);
    are_ready(&daemon, 2);
    let mut events = Events::of(&daemon).await;
    let before = daemon.status().unwrap()["workers"].clone();
    Attached::to(&daemon, hello("app", "1")).await.unwrap().detach().await;
    events.next(&[Happening::Nobody]).await;
    // Half of the time: that is what is tried here.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let client = Attached::to(&daemon, hello("app", "1")).await.unwrap();
    events.next(&[Happening::Somebody]).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let after = daemon.status().unwrap()["workers"].clone();
    assert_eq!(before[0]["pid"], after[0]["pid"]);
    assert_eq!(before[1]["pid"], after[1]["pid"]);
    drop(client);
}

#[test]
fn a_call_of_a_passer_by_is_somebody_and_wakes_those_who_left() {
    let arena = Arena::prepare("passer-by").unwrap();
    let daemon = start(&arena, &["--no-client-timeout", "500ms", "--startup-client-timeout", "0"]);
    until("nobody came", || list(&daemon)["presence"] == "released" && processes(&daemon) == 0);
    // The call is somebody for as long as it runs: longer than workers stay without anybody.
    assert_eq!(answer(&daemon, "nap", r#"{"seconds": 1.5, "name": "a"}"#), "\"a\"");
    until("they left again", || list(&daemon)["presence"] == "released" && processes(&daemon) == 0);
}

#[test]
fn some_stay_warm_and_the_rules_can_be_changed() {
    let arena = Arena::prepare("warm").unwrap();
    let file = arena.file("daemon.toml");
    let write = |timeout: &str, warm: u16| {
        let text = format!(
            "[lifecycle]\nno_client_timeout = \"{timeout}\"\n[pools.default]\ntools = [\"orders\"]\nworkers = 2\nwarm = {warm}\n"
        );
        std::fs::write(&file, text).unwrap();
    };
    write("200ms", 1);
    let daemon = Daemon::start(&arena, &["--config", file.to_str().unwrap()]).unwrap();
    until("one stays", || list(&daemon)["presence"] == "released" && processes(&daemon) == 1);
    write("200ms", 0);
    orders::order(&daemon, "reload", &[]);
    until("nobody stays", || processes(&daemon) == 0);
    write("never", 0);
    let said = orders::order(&daemon, "reload", &[]);
    assert!(said.contains("daemon: clients"), "{said}");
    answer(&daemon, "who", "{}");
    are_ready(&daemon, 2);
    until("they are counted for ever", || list(&daemon)["presence"] == "counting");
    assert!(list(&daemon)["leaves_in_ms"].is_null());
}

/// A call that was told to finish goes on without its client, its worker leaves after it, and the others at once.
#[tokio::test]
async fn calls_that_are_to_finish_do_before_their_worker_leaves() {
    let arena = Arena::prepare("finish-first").unwrap();
    let daemon = start(&arena, &["--no-client-timeout", "0", "--startup-client-timeout", "never"]);
    are_ready(&daemon, 2);
    leave_a_call_behind(&arena, &daemon).await;
    soon("only the busy one is left", || processes(&daemon) == 1).await;
    assert_eq!(daemon.status().unwrap()["pools"][0]["running"], 1);
    std::fs::write(arena.file("gate"), "").unwrap();
    soon("it has ended and left", || processes(&daemon) == 0).await;
    assert!(arena.file("signed").exists(), "the call was not cut short");
}

/// But not for ever.
#[tokio::test]
async fn calls_that_are_to_finish_have_their_grace_and_no_more() {
    let arena = Arena::prepare("finish-grace").unwrap();
    let daemon = start(
        &arena,
        &["--no-client-timeout", "0", "--startup-client-timeout", "never", "--finish-grace", "1s"],
    );
    are_ready(&daemon, 2);
    let begun = Instant::now();
    leave_a_call_behind(&arena, &daemon).await;
    soon("it was given up and left", || processes(&daemon) == 0).await;
    let took = begun.elapsed();
    println!("with a grace of 1 s a call that never ends was gone with its worker after {took:?}");
    assert!(took >= Duration::from_millis(990), "{took:?}");
    assert!(!arena.file("signed").exists());
}

/// Writes down what it is told. Its child would stay for ever.
const PARTING: &str = r#"
import pathlib, signal, subprocess, time
import sidewinder

TOLD = pathlib.Path(__file__).with_name("told")

def note(word):
    with TOLD.open("a") as told:
        told.write(word + "\n")

@sidewinder.tool
def nothing():
    pass

@sidewinder.setup
def begin():
    subprocess.Popen(["sleep", "600"], start_new_session=True)

@sidewinder.teardown
def leave():
    note("torn down")
    if pathlib.Path(__file__).with_name("linger").exists():
        signal.signal(signal.SIGTERM, lambda *_: note("SIGTERM"))
        while True:
            time.sleep(0.05)
"#;

/// Workers that nobody needs are torn down. Those that do not leave are sent SIGTERM, and are killed when their grace is
/// over; nothing of their trees stays in either case.
#[tokio::test]
async fn workers_that_leave_run_their_teardown_and_those_that_stay_are_killed_with_their_tree() {
    for (lingers, last, told) in
        [(false, "exit_status", "torn down\n"), (true, "signal", "torn down\nSIGTERM\n")]
    {
        let arena = Arena::prepare("parting").unwrap();
        std::fs::write(arena.file("parting.py"), PARTING).unwrap();
        if lingers {
            std::fs::write(arena.file("linger"), "").unwrap();
        }
        let text = "[lifecycle]\nno_client_timeout = \"0\"\nstartup_client_timeout = \"never\"\n\
                    [pools.default]\ntools = [\"parting\"]\ndirectory = \".\"\nworkers = 1\ngrace.stop = \"2s\"\n";
        std::fs::write(arena.file("daemon.toml"), text).unwrap();
        let daemon =
            Daemon::start(&arena, &["--config", arena.file("daemon.toml").to_str().unwrap()]).unwrap();
        are_ready(&daemon, 1);
        let worker = i32::try_from(daemon.status().unwrap()["workers"][0]["pid"].as_u64().unwrap()).unwrap();
        let run = procfs::marks().into_iter().find(|(pid, _)| *pid == worker).expect("a mark").1;
        // Its keeper and its warden carry the mark as well, where they can be read.
        let is_tree = |pid: i32| procfs::entry(pid).is_some_and(|entry| !entry.name.starts_with("sw-"));
        let tree = || procfs::marks().into_iter().filter(|(pid, of)| *of == run && is_tree(*pid)).count();
        assert_eq!(tree(), 2, "a worker and its child");
        let mut events = Events::of(&daemon).await;
        Attached::to(&daemon, hello("app", "1")).await.unwrap().detach().await;
        let left = Instant::now();
        let (event, _) = events.next(&[Happening::WorkerLeaving]).await;
        assert_eq!(event.facts["why"], "deserted", "{event:?}");
        let (event, at) = events.next(&[Happening::WorkerGone]).await;
        println!("with a grace of 2 s a worker that lingers: {lingers} was gone after {:?}", at - left);
        assert!(event.facts.contains_key(last), "{event:?}");
        assert_eq!(at - left >= Duration::from_millis(1_990), lingers, "{:?}", at - left);
        assert!(at - left <= Duration::from_secs(2) + GENEROUS * Duration::from_millis(250));
        assert_eq!(std::fs::read_to_string(arena.file("told")).unwrap(), told);
        assert_eq!(tree(), 0);
    }
}

async fn leave_a_call_behind(arena: &Arena, daemon: &Daemon<'_>) {
    let (gate, file) = (arena.file("gate"), arena.file("signed"));
    let arguments = format!(r#"{{"gate": "{}", "file": "{}"}}"#, gate.display(), file.display());
    let call = Call { on_abandon: OnAbandon::Finish.into(), ..call("once") };
    let (mut calls, connection) = connect_to_hang_up(daemon).await.unwrap();
    let request = with(call, &arguments);
    let run = tokio::spawn(async move { calls.call(request).await });
    soon("it runs", || daemon.status().unwrap()["pools"][0]["running"] == 1).await;
    connection.shutdown(Shutdown::Both).unwrap();
    run.await.unwrap().unwrap_err();
}
