//! Reloads in bad moments: whoever asked has gone, or the daemon is about to go itself.

use super::config::{names, pids, start, write};
use super::orders::{order, until};
use rustix::fs::{CWD, Mode, OFlags, mkfifoat};
use rustix::process::Signal;
use sidewinder_tests::arena::Arena;
use std::process::Stdio;

fn pool(name: &str) -> String {
    format!("[pools.{name}]\nexpose = [\"math:hypot\"]\nworkers = 1\n")
}

#[test]
fn a_reload_goes_on_to_its_end_when_whoever_asked_has_hung_up() {
    let arena = Arena::prepare("hung-up").unwrap();
    let daemon = start(&arena, &pool("p00"));
    order(&daemon, "wait", &["--ready"]);
    let before = arena.records();
    let all: Vec<String> = (0..12).map(|number| format!("p{number:02}")).collect();
    write(&arena, &all.iter().map(|name| pool(name)).collect::<String>());
    let mut asker = daemon.verb("reload", &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the first keeper stands", || arena.records().len() > before.len());
    asker.kill().unwrap();
    asker.wait().unwrap();
    until("every pool is there", || names(&daemon) == all);
    assert!(order(&daemon, "reload", &[]).starts_with("nothing has changed;"));
}

#[test]
fn a_reload_is_refused_while_the_daemon_stops() {
    let arena = Arena::prepare("too-late").unwrap();
    let busy = "[pools.busy]\ntools = [\"plain\"]\nworkers = 1\n";
    let mut daemon = start(&arena, busy);
    pids(&daemon, "busy");
    let mut call = daemon.verb("call", &["sleep", r#"{"seconds": 1000}"#, "--pool", "busy"]);
    let mut call = call.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("it runs", || daemon.status().unwrap()["pools"][0]["running"] == 1);
    let records = arena.records();
    daemon.send(Signal::TERM).unwrap();
    daemon.log_until("stopping").unwrap();
    write(&arena, &(busy.to_owned() + &pool("late")));
    daemon.send(Signal::HUP).unwrap();
    let line = daemon.log_until("nothing was changed").unwrap();
    assert!(line.contains("the daemon is stopping"), "{line}");
    assert_eq!(arena.records(), records);
    daemon.send(Signal::TERM).unwrap();
    call.wait().unwrap();
    assert_eq!(daemon.end().unwrap().0.code(), Some(0));
}

/// The configuration is a pipe that nobody ever writes to.
#[test]
fn a_signal_to_stop_does_not_wait_for_a_reload() {
    let arena = Arena::prepare("stuck-reload").unwrap();
    let mut daemon = start(&arena, &pool("p"));
    let worker = pids(&daemon, "p")[0];
    let (config, draft) = (arena.file("sidewinder.toml"), arena.file("pipe"));
    mkfifoat(CWD, &draft, Mode::RUSR | Mode::WUSR).unwrap();
    std::fs::rename(&draft, &config).unwrap();
    daemon.send(Signal::HUP).unwrap();
    // It can be opened for writing when somebody reads.
    let open = || rustix::fs::open(&config, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty());
    let mut pipe = open();
    until("the reload reads", || {
        pipe = open();
        pipe.is_ok()
    });
    daemon.send(Signal::TERM).unwrap();
    daemon.log_until("stopping").unwrap();
    daemon.log_until("nothing was changed: the daemon is stopping").unwrap();
    assert_eq!(daemon.end().unwrap().0.code(), Some(0));
    assert!(!std::fs::exists(format!("/proc/{worker}")).unwrap());
    drop(pipe);
}
