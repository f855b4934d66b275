//! Modes: how they are found, and the lifeline of the tightest one.

use super::{GENEROUS, processes};
use crate::orders::{are_ready, until};
use crate::{answer, plain};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use sidewinder_tests::arena::Arena;
use sidewinder_tests::daemon::Daemon;
use sidewinder_tests::handle::Handle;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const WORKERS: [&str; 4] = ["--tools", "plain", "--workers", "2"];

fn mode(daemon: &Daemon<'_>) -> (String, String) {
    let daemon = &daemon.status().unwrap()["daemon"];
    let text = |name: &str| daemon[name].as_str().unwrap().to_owned();
    (text("mode"), text("mode_reason"))
}

#[test]
fn the_mode_is_found_from_who_started_the_daemon_and_it_says_why() {
    let arena = Arena::prepare("auto").unwrap();
    let daemon = plain(&arena);
    assert_eq!(mode(&daemon).0, "independent");
    for (variables, expected, why) in [
        (vec![("NOTIFY_SOCKET", "/nowhere")], "supervised", "NOTIFY_SOCKET"),
        (vec![("KUBERNETES_SERVICE_HOST", "10.0.0.1")], "independent", "pod"),
    ] {
        let arena = Arena::prepare(expected).unwrap();
        let daemon = Daemon::start_with(&arena, &WORKERS, |command| {
            command.envs(variables);
        });
        let (mode, reason) = mode(&daemon.unwrap());
        assert!(mode == expected && reason.contains(why), "{mode}: {reason}");
    }
    let arena = Arena::prepare("asked-for").unwrap();
    let asked = [&WORKERS[..], &["--mode", "supervised"]].concat();
    let daemon = Daemon::start_with(&arena, &asked, |command| {
        command.stdin(Stdio::piped());
    });
    assert_eq!(mode(&daemon.unwrap()).0, "supervised", "what was asked for counts more than a lifeline");
}

/// Its parent dies while it reads its settings, and has left the other end of standard input to somebody else: nothing
/// would ever tell it any more, had it not looked at its parent first of all.
#[test]
fn a_coupled_daemon_whose_parent_died_before_it_was_ready_ends_at_once() {
    let arena = Arena::prepare("early-orphan").unwrap();
    let (reader, _leaked) = std::io::pipe().unwrap();
    let settings = arena.file("settings.toml");
    assert!(Command::new("mkfifo").arg(&settings).status().unwrap().success());
    let mut parent = Command::new("sh");
    arena.place(&mut parent);
    // The daemon is in the background, where a shell would take its standard input away.
    let script = "exec 3<&0; \"$0\" run --mode coupled --config \"$1\" <&3 & echo $!; wait";
    parent.args(["-c", script]).arg(arena.binary()).arg(&settings);
    let mut parent = parent.stdin(reader).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut pid = String::new();
    BufReader::new(parent.stdout.take().unwrap()).read_line(&mut pid).unwrap();
    let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    let daemon = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    // It opens when the daemon reads from it.
    let mut file = std::fs::File::create(&settings).unwrap();
    parent.kill().unwrap();
    parent.wait().unwrap();
    std::io::Write::write_all(&mut file, b"[pools.default]\nexpose = [\"math:hypot\"]\nworkers = 1\n")
        .unwrap();
    drop(file);
    let killed = Instant::now();
    let wait = Timespec { tv_sec: 20, tv_nsec: 0 };
    let ended = poll(&mut [PollFd::new(&daemon, PollFlags::IN)], Some(&wait)).unwrap();
    println!("a daemon that became an orphan while it read its settings ended after {:?}", killed.elapsed());
    if ended == 0 {
        rustix::process::pidfd_send_signal(&daemon, rustix::process::Signal::KILL).unwrap();
    }
    assert_eq!(ended, 1, "it lives on without anybody");
}

/// A file never ends, and neither does `/dev/null`.
#[test]
fn a_coupled_daemon_with_a_standard_input_that_never_ends_says_so() {
    let arena = Arena::prepare("endless").unwrap();
    let asked = ["--tools", "plain", "--workers", "1", "--mode", "coupled"];
    let mut daemon = Daemon::launch_with(&arena, &asked, |command| {
        command.stdin(Stdio::null());
    })
    .unwrap();
    daemon.log_until("give it a pipe or a socket").unwrap();
    daemon.log_until("listens on").unwrap();
}

/// The end of standard input is the end of everything, a call in the middle of it included.
#[test]
fn a_coupled_daemon_ends_with_its_lifeline() {
    let arena = Arena::prepare("lifeline").unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let asked = ["--tools", "orders", "--workers", "2"];
    let mut daemon = Daemon::start_with(&arena, &asked, |command| {
        command.stdin(reader);
    })
    .unwrap();
    assert_eq!(mode(&daemon).0, "coupled");
    are_ready(&daemon, 2);
    let gate = format!(r#"{{"gate": "{}"}}"#, arena.file("gate").display());
    let mut held = daemon.verb("call", &["hold", &gate]).stdout(Stdio::null()).spawn().unwrap();
    until("a call runs", || daemon.status().unwrap()["pools"][0]["running"] == 1);
    let workers = handles(&daemon);
    let cut = Instant::now();
    drop(writer);
    daemon.log_until("the lifeline has ended").unwrap();
    until("the workers are dead", || workers.iter().all(is_dead));
    let took = cut.elapsed();
    println!("the workers of a coupled daemon were dead {took:?} after its lifeline");
    assert!(took < GENEROUS * Duration::from_millis(250), "{took:?}");
    let (status, rest) = daemon.end().unwrap();
    assert!(status.success(), "{status}: {rest}");
    held.wait().unwrap();
}

/// The parent is killed, and its end of the lifeline lives on in a process that it leaked it to.
#[test]
fn a_coupled_daemon_ends_with_its_parent_although_that_leaked_the_lifeline() {
    let arena = Arena::prepare("leaked-lifeline").unwrap();
    // The shell holds the lifeline in descriptor 5, gives it to a sleeper, and is the parent of the daemon.
    let script = r#"
        mkfifo "$2"; exec 5<>"$2"
        sleep 120 <&5 >/dev/null 2>&1 & echo "$!"
        "$1" run --tools plain --workers 2 --mode coupled <&5 >/dev/null 2>&1 & echo "$!"
        wait"#;
    let verb = arena.sidewinder("run");
    let mut shell = Command::new("bash");
    shell.args(["-c", script, "sh"]).arg(verb.get_program()).arg(arena.file("lifeline"));
    shell.current_dir(sidewinder_tests::arena::tests().join("served"));
    for (name, value) in verb.get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    let mut shell = shell.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines();
    let mut pid = || lines.next().unwrap().unwrap().parse::<i32>().unwrap();
    let (sleeper, daemon) = (Handle::of_descendant(pid()).unwrap(), Handle::of_descendant(pid()).unwrap());
    until("the daemon serves", || {
        let output = arena.sidewinder("status").arg("--json").output().unwrap();
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        status["pools"][0]["ready"] == 2
    });
    let killed = Instant::now();
    shell.kill().unwrap();
    shell.wait().unwrap();
    assert!(daemon.ends_within(GENEROUS * Duration::from_millis(250)), "the daemon outlives its parent");
    println!("a coupled daemon was gone {:?} after kill -9 of its parent", killed.elapsed());
    assert!(!sleeper.ended(), "the lifeline itself never ended");
    sleeper.send(rustix::process::Signal::KILL).unwrap();
}

#[test]
fn a_daemon_that_nobody_starts_again_does_not_end_by_itself() {
    let arena = Arena::prepare("exit-refused").unwrap();
    let output = arena.sidewinder("run").args(WORKERS).arg("--exit-when-idle").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("socket-activated"), "{said}");
    let warm =
        arena.sidewinder("run").args(WORKERS).args(["--exit-when-idle", "--warm", "1"]).output().unwrap();
    let said = String::from_utf8_lossy(&warm.stderr).into_owned();
    assert!(!warm.status.success() && said.contains("warm"), "{said}");
}

/// What is refused at the start is refused by a reload, too, and nothing is changed.
#[test]
fn a_reload_cannot_make_a_daemon_end_for_ever() {
    let arena = Arena::prepare("exit-reload").unwrap();
    let file = arena.file("daemon.toml");
    let pool = "[pools.default]\ntools = [\"plain\"]\nworkers = 1\n";
    std::fs::write(&file, pool).unwrap();
    let daemon = Daemon::start(&arena, &["--config", file.to_str().unwrap()]).unwrap();
    std::fs::write(&file, format!("[lifecycle]\nexit_when_idle = true\n{pool}")).unwrap();
    let said = daemon.ask("reload", &[]).unwrap();
    assert!(said.status != 0 && said.stderr.contains("socket-activated"), "{said:?}");
}

#[test]
fn coupled_workers_stay_without_attached_clients() {
    let arena = Arena::prepare("coupled-stays").unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let daemon = Daemon::start_with(&arena, &WORKERS, |command| {
        command.stdin(reader);
    })
    .unwrap();
    are_ready(&daemon, 2);
    answer(&daemon, "add", r#"{"a": 1, "b": 2}"#);
    let presence = super::list(&daemon);
    assert!(presence["leaves_in_ms"].is_null() && processes(&daemon) == 2, "{presence}");
    drop(writer);
    daemon.end().unwrap();
}

/// Handles of all workers, to be waited for.
pub(super) fn handles(daemon: &Daemon<'_>) -> Vec<OwnedFd> {
    let status = daemon.status().unwrap();
    let workers = status["workers"].as_array().unwrap().clone();
    let pids = workers.iter().map(|worker| i32::try_from(worker["pid"].as_u64().unwrap()).unwrap());
    pids.map(|pid| pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap()).collect()
}

pub(super) fn is_dead(process: &OwnedFd) -> bool {
    let mut watched = [PollFd::new(process, PollFlags::IN)];
    poll(&mut watched, Some(&Timespec::default())).unwrap() > 0
}
