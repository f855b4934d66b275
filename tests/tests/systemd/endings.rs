//! Ends of a daemon under systemd: asked for, sudden, frozen, and again and again.

use crate::installed::{boot, call, start, text};
use crate::machine::{Machine, tell};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

const SERVICE: &str = "sidewinder.service";

/// The processes of the service, as they are numbered outside, to see later that they are gone.
fn everybody(machine: &Machine) -> Vec<String> {
    let all = machine.processes(SERVICE);
    assert!(all.len() >= 4, "daemon, keeper, warden, worker: {all:?}");
    all
}

fn gone(machine: &Machine, processes: &[String]) {
    for process in processes {
        let (id, _) = process.split_once(' ').unwrap();
        let zombie = || {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        };
        assert!(!Path::new(&format!("/proc/{id}")).exists() || zombie(), "{process}\n{}", machine.journal());
    }
}

fn send(machine: &Machine, signal: Signal) {
    let daemon = machine.processes(SERVICE).into_iter().find(|process| process.ends_with(" sidewinder"));
    let id: i32 = daemon.unwrap().split(' ').next().unwrap().parse().unwrap();
    let pidfd = pidfd_open(Pid::from_raw(id).unwrap(), PidfdFlags::empty()).unwrap();
    pidfd_send_signal(&pidfd, signal).unwrap();
}

#[test]
fn a_killed_daemon_takes_everybody_along_and_comes_back() {
    let Some(machine) = boot("killed", &[]) else { return };
    start(&machine);
    call(&machine, "add", r#"{"a": 1}"#);
    let before = everybody(&machine);
    let begun = Instant::now();
    send(&machine, Signal::KILL);
    machine.until(SERVICE, "NRestarts", |restarts| restarts == "1");
    tell(&format!("kill -9 of the daemon: systemd starts another after {:?}", begun.elapsed()));
    gone(&machine, &before);
    // Whoever connects meanwhile waits in the backlog.
    assert_eq!(call(&machine, "add", r#"{"a": 1}"#), "3");
    tell(&format!("kill -9 of the daemon: the next answer after {:?}", begun.elapsed()));
}

#[test]
fn a_frozen_daemon_is_ended_by_the_watchdog() {
    let Some(machine) = boot("frozen", &["[Service]\nWatchdogSec=1s\nTimeoutAbortSec=1s\n"]) else { return };
    start(&machine);
    call(&machine, "add", r#"{"a": 1}"#);
    let before = everybody(&machine);
    let begun = Instant::now();
    send(&machine, Signal::STOP);
    machine.until(SERVICE, "NRestarts", |restarts| restarts == "1");
    tell(&format!("a stopped daemon with WatchdogSec=1s: another one after {:?}", begun.elapsed()));
    assert!(machine.journal().contains("Watchdog timeout"), "{}", machine.journal());
    gone(&machine, &before);
    assert_eq!(call(&machine, "add", r#"{"a": 1}"#), "3");
}

#[test]
fn an_idle_stop_is_quick_and_a_busy_one_waits() {
    let Some(machine) = boot("stop", &["[Service]\nTimeoutStopSec=2s\n"]) else { return };
    start(&machine);
    call(&machine, "add", r#"{"a": 1}"#);
    let before = everybody(&machine);
    let begun = Instant::now();
    machine.ok(&["systemctl", "stop", SERVICE]);
    tell(&format!("stop of an idle daemon: {:?}", begun.elapsed()));
    gone(&machine, &before);
    assert_eq!(machine.show(SERVICE, "Result"), "success");

    start(&machine);
    // Longer than TimeoutStopSec: the daemon asks for more time as long as the call runs.
    let mut slow = machine.command(&["sidewinder", "call", "sleep", r#"{"seconds": 6}"#]);
    let slow = slow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    machine.until(SERVICE, "StatusText", |text| text.contains("1 call running"));
    let begun = Instant::now();
    machine.ok(&["systemctl", "stop", SERVICE]);
    tell(&format!("stop of a busy daemon, whose call had up to 6 s to go: {:?}", begun.elapsed()));
    let said = slow.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), "\"rested\"", "{said:?}\n{}", machine.journal());
    assert!(begun.elapsed() > Duration::from_secs(2), "the call was not waited for");
    assert_eq!(machine.show(SERVICE, "Result"), "success");
}

#[test]
fn a_reload_says_whether_it_worked() {
    let Some(machine) = boot("reload", &[]) else { return };
    start(&machine);
    let settings = "/etc/sidewinder/sidewinder.toml";
    machine.ok(&["sh", "-c", &format!("echo 'workers = 3' >>{settings}")]);
    machine.ok(&["systemctl", "reload", SERVICE]);
    machine.until(SERVICE, "StatusText", |text| text.contains("3 workers"));
    machine.ok(&["sh", "-c", &format!("echo 'wrokers = 3' >>{settings}")]);
    assert_ne!(machine.run(&["systemctl", "reload", SERVICE]).status, 0);
    machine.until(SERVICE, "ActiveState", |state| state == "active");
    assert!(machine.journal().contains("did you mean `workers`"), "{}", machine.journal());
    assert_eq!(call(&machine, "add", r#"{"a": 1}"#), "3");
}

/// An older systemd does not know the type, and stays with the unit's own.
#[test]
fn a_newer_systemd_waits_for_the_end_of_a_reload() {
    let Some(machine) = boot("notify-reload", &[&text("notify-reload.conf")]) else { return };
    let said = machine.ok(&["systemctl", "--version"]);
    let version: u32 = said.split(' ').nth(1).unwrap().parse().unwrap();
    start(&machine);
    assert_eq!(call(&machine, "add", r#"{"a": 1}"#), "3");
    if version < 253 {
        tell(&format!("NOT RUN: a reload with Type=notify-reload takes systemd 253, this is {version}"));
        assert_eq!(machine.show(SERVICE, "Type"), "notify");
        return;
    }
    assert_eq!(machine.show(SERVICE, "Type"), "notify-reload");
    machine.ok(&["sh", "-c", "echo 'workers = 3' >>/etc/sidewinder/sidewinder.toml"]);
    machine.ok(&["systemctl", "reload", SERVICE]);
    machine.until(SERVICE, "StatusText", |text| text.contains("3 workers"));
    // A file with a mistake changes nothing, and the manager is not left waiting.
    machine.ok(&["sh", "-c", "echo 'wrokers = 3' >>/etc/sidewinder/sidewinder.toml"]);
    machine.ok(&["systemctl", "reload", SERVICE]);
    assert_eq!(machine.show(SERVICE, "ActiveState"), "active");
}

#[test]
fn a_daemon_that_cannot_start_is_given_up() {
    let Some(machine) = boot("limit", &["[Service]\nRestartSec=1ms\n"]) else { return };
    machine.ok(&["sh", "-c", "echo 'nonsense' >/etc/sidewinder/sidewinder.toml"]);
    assert_ne!(machine.run(&["systemctl", "start", SERVICE]).status, 0);
    machine.until(SERVICE, "ActiveState", |state| state == "failed");
    assert_eq!(machine.show(SERVICE, "Result"), "exit-code");
    assert!(machine.journal().contains("Start request repeated too quickly"), "{}", machine.journal());
    assert_eq!(machine.processes(SERVICE), Vec::<String>::new());
    // The operator corrects it, and says so.
    machine.ok(&["cp", "/arena/root/etc/sidewinder/sidewinder.toml", "/etc/sidewinder/sidewinder.toml"]);
    machine.ok(&["systemctl", "reset-failed", SERVICE, "sidewinder.socket"]);
    start(&machine);
    assert_eq!(call(&machine, "add", r#"{"a": 1}"#), "3");
}

#[test]
fn a_pool_that_is_given_up_fails_the_start() {
    let Some(machine) = boot("hopeless", &["[Service]\nTimeoutStartSec=3s\nRestart=no\n"]) else { return };
    machine.ok(&["sed", "-i", "s/\"tools\"/\"fatal\"/", "/etc/sidewinder/sidewinder.toml"]);
    machine.ok(&["sh", "-c", "echo 'restart.deaths_max = 1' >>/etc/sidewinder/sidewinder.toml"]);
    assert_ne!(machine.run(&["systemctl", "start", SERVICE]).status, 0);
    assert_eq!(machine.show(SERVICE, "Result"), "timeout");
    let fatal = |entry: &serde_json::Value| entry["SIDEWINDER_WHAT"] == "SLOT_FATAL";
    assert!(machine.entries(SERVICE).iter().any(fatal), "{}", machine.journal());
    assert_eq!(machine.processes(SERVICE), Vec::<String>::new());
}

#[test]
fn each_profile_holds_its_workers() {
    for (name, drop_in, tier) in [("general", String::new(), "A"), ("cpu-only", text("cpu-only.conf"), "B")] {
        let Some(machine) = boot(name, &[&drop_in]) else { return };
        start(&machine);
        assert_eq!(call(&machine, "add", r#"{"a": 1}"#), "3");
        let log = machine.journal();
        let line = log.lines().find(|line| line.contains("listens on")).unwrap_or_default();
        assert!(line.contains(&format!("(tier {tier}: ")), "{name}: {log}");
        let before = everybody(&machine);
        send(&machine, Signal::KILL);
        machine.until(SERVICE, "NRestarts", |restarts| restarts == "1");
        gone(&machine, &before);
    }
}
