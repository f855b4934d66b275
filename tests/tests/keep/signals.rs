//! Signals to `keep`: passed on, waited for, enforced; ignored where its caller ignored them.

use super::{WAYS, assert_clean, keep};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use sidewinder_tests::arena::Arena;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct Running {
    child: Child,
    pidfd: OwnedFd,
    lines: BufReader<std::process::ChildStdout>,
}

impl Running {
    /// Starts, and waits for the first line.
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        lines.read_line(&mut String::new()).unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        Self { child, pidfd: pidfd_open(pid, PidfdFlags::empty()).unwrap(), lines }
    }

    fn send(&self, signal: Signal) {
        pidfd_send_signal(&self.pidfd, signal).unwrap();
    }

    /// What it said after its first line, and its status.
    fn end(mut self) -> (String, Option<i32>) {
        let mut rest = String::new();
        while self.lines.read_line(&mut rest).unwrap() > 0 {}
        (rest, self.child.wait().unwrap().code())
    }
}

#[test]
fn each_signal_means_what_it_should() {
    let arena = Arena::prepare("signals").unwrap();
    let script = "for s in TERM INT HUP QUIT USR1 USR2 WINCH; do trap \"echo $s\" $s; done
        echo ready; while :; do sleep 0.01; done";
    for way in WAYS {
        for (signal, name) in
            [(Signal::TERM, "TERM"), (Signal::INT, "INT"), (Signal::HUP, "HUP"), (Signal::QUIT, "QUIT")]
        {
            let options = [way, &["--grace", "300ms"]].concat();
            let running = Running::start(&mut keep(&arena, &options, script));
            let asked = Instant::now();
            running.send(signal);
            let (said, status) = running.end();
            assert_eq!((said.trim(), status), (name, Some(137)), "passed on once, then killed");
            assert!(asked.elapsed() >= Duration::from_millis(300), "the grace of {name} was cut");
        }
        for (signal, name) in [(Signal::USR1, "USR1"), (Signal::USR2, "USR2"), (Signal::WINCH, "WINCH")] {
            let mut running = Running::start(&mut keep(&arena, &[way, &["--grace", "0s"]].concat(), script));
            running.send(signal);
            let mut line = String::new();
            running.lines.read_line(&mut line).unwrap();
            assert_eq!(line.trim(), name);
            running.send(Signal::TERM);
            assert_eq!(running.end().1, Some(137));
        }
    }
    assert_clean(&arena);
}

#[test]
fn a_second_signal_does_not_wait() {
    let arena = Arena::prepare("second").unwrap();
    let running = Running::start(&mut keep(
        &arena,
        &["--grace", "1h"],
        "trap '' TERM INT; echo; while :; do sleep 1; done",
    ));
    running.send(Signal::TERM);
    running.send(Signal::INT);
    assert_eq!(running.end().1, Some(137));
}

#[test]
fn what_the_caller_ignores_stays_ignored() {
    let arena = Arena::prepare("nohup").unwrap();
    let mut shell = Command::new("sh");
    arena.place(&mut shell);
    let kept = "exec \"$0\" keep --cgroup off -- sh -c 'echo; read line; echo heard $line'";
    shell.args(["-c", &format!("trap '' HUP INT; {kept}")]).arg(arena.binary()).stdin(Stdio::piped());
    let mut running = Running::start(&mut shell);
    running.send(Signal::HUP);
    running.send(Signal::INT);
    running.child.stdin.take().unwrap().write_all(b"it\n").unwrap();
    assert_eq!(running.end(), ("heard it\n".to_owned(), Some(0)));
}

#[test]
fn children_are_heard_also_when_the_caller_ignores_its_own() {
    let arena = Arena::prepare("sigchld").unwrap();
    let mut python = Command::new(arena.python());
    arena.place(&mut python);
    let script = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.execv(sys.argv[1], [sys.argv[1], 'keep', '--', 'sh', '-c', 'sleep 0.01; exit 8'])";
    assert_eq!(python.args(["-c", script]).arg(arena.binary()).status().unwrap().code(), Some(8));
}
