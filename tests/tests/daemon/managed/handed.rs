//! Sockets that a service manager has opened: taken by their names, served before there is a daemon, left where they are.
//!
//! `systemd-socket-activate` hands them down, where it is installed; a few lines of Python do it everywhere.

use sidewinder_tests::arena::Arena;
use sidewinder_tests::daemon::tools;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Opens what its arguments say (`name=unix:PATH`, `name=tcp`, `name=file:PATH`), says where, waits for a line, and becomes
/// the command after `--`.
const MANAGER: &str = r#"
import os, socket, sys
words = sys.argv[1:]
at = words.index("--")
names, kept = [], []
for word in words[:at]:
    name, what = word.split("=", 1)
    if what.startswith("unix:"):
        opened = socket.socket(socket.AF_UNIX)
        opened.bind(what[5:])
    elif what.startswith("file:"):
        opened = open(what[5:], "w")
    else:
        opened = socket.socket(socket.AF_INET)
        opened.bind(("127.0.0.1", 0))
        print(opened.getsockname()[1], flush=True)
    if not what.startswith("file:") and name != "deaf":
        opened.listen(16)
    kept.append(opened)
    names.append(name if name != "deaf" else "grpc")
print("opened", flush=True)
sys.stdin.readline()
sources = [os.dup2(one.fileno(), 100 + number) for number, one in enumerate(kept)]
for number, source in enumerate(sources):
    os.dup2(source, 3 + number, inheritable=True)
os.closerange(3 + len(sources), 200)
pid = "1" if os.environ.pop("STRANGE", None) else str(os.getpid())
os.environ.update(LISTEN_PID=pid, LISTEN_FDS=str(len(sources)), LISTEN_FDNAMES=":".join(names))
os.execv(words[at + 1], words[at + 1:])
"#;

/// A stand-in for the service manager, which becomes the daemon.
pub(crate) struct Manager {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
    ports: Vec<String>,
}

impl Manager {
    pub(crate) fn open(arena: &Arena, sockets: &[&str], strange: bool) -> Self {
        let mut command = Command::new(arena.python());
        arena.place(&mut command);
        command.args(["-c", MANAGER]).args(sockets).arg("--").arg(arena.binary());
        command.args(["run", "--tools", "plain", "--workers", "1", "--log-format", "human"]);
        command.current_dir(tools()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if strange {
            command.env("STRANGE", "1");
        }
        let mut child = command.spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut ports = Vec::new();
        loop {
            let mut line = String::new();
            assert!(said.read_line(&mut line).unwrap() > 0, "the manager ended");
            if line.trim() == "opened" {
                break;
            }
            ports.push(line.trim().to_owned());
        }
        Self { child, said, ports }
    }

    /// From here on it is the daemon.
    pub(crate) fn start(&mut self) {
        self.child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    }

    /// The log up to these words.
    pub(crate) fn log_until(&mut self, words: &str) -> String {
        let log = self.child.stderr.as_mut().unwrap();
        let mut seen = String::new();
        for line in BufReader::new(log).lines() {
            let line = line.unwrap();
            seen.push_str(&line);
            seen.push('\n');
            if line.contains(words) {
                return seen;
            }
        }
        panic!("no `{words}` in the log:\n{seen}");
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = self.said.read_line(&mut String::new());
    }
}

pub(crate) fn call(arena: &Arena, socket: &Path) -> Command {
    let mut command = arena.sidewinder("call");
    command.arg("--socket").arg(socket).args(["add", r#"{"a": 1}"#]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn a_client_can_be_there_before_the_daemon() {
    let arena = Arena::prepare("before").unwrap();
    let socket = arena.file("given.sock");
    let unix = format!("sidewinder.socket=unix:{}", socket.display());
    let mut manager = Manager::open(&arena, &[&unix], false);
    let early = call(&arena, &socket).spawn().unwrap();
    // It has connected when the kernel lists a second socket of this name: that which waits to be accepted.
    let table = || std::fs::read_to_string("/proc/net/unix").unwrap();
    let waits = || table().lines().filter(|line| line.ends_with(&*socket.to_string_lossy())).count() > 1;
    while !waits() {
        std::thread::yield_now();
    }
    manager.start();
    let said = early.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), "3", "{said:?}");
    // The verbs find it where the setting says that it listens.
    let mut status = arena.sidewinder("status");
    let status = status.env("SIDEWINDER_LISTEN_SOCKET", &socket).output().unwrap();
    assert!(status.status.success(), "{status:?}");
    let id = manager.child.id();
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&manager.child),
        rustix::process::Signal::TERM,
    )
    .unwrap();
    assert!(manager.child.wait().unwrap().success(), "process {id}");
    assert!(socket.exists(), "the daemon removed a socket that was not its own");
    assert!(!arena.runtime().join("sidewinder.sock").exists(), "it made one of its own");
}

#[test]
fn sockets_are_told_apart_and_what_nobody_knows_is_closed() {
    let arena = Arena::prepare("apart").unwrap();
    let socket = arena.file("given.sock");
    let health = arena.file("health.sock");
    let unix = format!("grpc=unix:{}", socket.display());
    let asked = format!("health=unix:{}", health.display());
    let stored = arena.file("stored");
    let stranger = format!("old-line=file:{}", stored.display());
    let mut manager = Manager::open(&arena, &[&unix, &stranger, "grpc=tcp", &asked], false);
    manager.start();
    let log = manager.log_until("listens on");
    assert!(log.contains("`old-line` that was handed down was closed"), "{log}");
    let told = format!("listens on {} and 127.0.0.1:{}", socket.display(), manager.ports[0]);
    assert!(log.contains(&told), "{log}");
    assert_eq!(call(&arena, &socket).output().unwrap().status.code(), Some(0));
    let refused = call(&arena, &health).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("UNKNOWN_METHOD"), "{refused:?}");
    assert!(std::net::TcpStream::connect(format!("127.0.0.1:{}", manager.ports[0])).is_ok());
    // Nothing of it reaches those who come below the daemon, and nothing that nobody knows stays open.
    let own = format!("/proc/{}", manager.child.id());
    let open = std::fs::read_dir(format!("{own}/fd")).unwrap();
    let mut open = open.filter_map(|item| item.ok()?.path().read_link().ok());
    assert!(open.all(|path| path != stored), "what nobody knows is open");
    for fd in [3, 5, 6] {
        let flags = std::fs::read_to_string(format!("{own}/fdinfo/{fd}")).unwrap();
        let flags = flags.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
        let flags = i32::from_str_radix(flags, 8).unwrap();
        assert_eq!(flags & libc::O_CLOEXEC, libc::O_CLOEXEC, "descriptor {fd}");
        assert_eq!(flags & libc::O_NONBLOCK, libc::O_NONBLOCK, "descriptor {fd}");
    }
}

#[test]
fn what_is_meant_for_another_process_is_left_alone() {
    let arena = Arena::prepare("strange").unwrap();
    let unix = format!("grpc=unix:{}", arena.file("given.sock").display());
    let mut manager = Manager::open(&arena, &[&unix], true);
    manager.start();
    let log = manager.log_until("listens on");
    assert!(
        log.contains(&format!("listens on {}", arena.runtime().join("sidewinder.sock").display())),
        "{log}"
    );
}

#[test]
fn a_socket_that_does_not_listen_is_refused() {
    let arena = Arena::prepare("deaf").unwrap();
    let unix = format!("deaf=unix:{}", arena.file("given.sock").display());
    let mut manager = Manager::open(&arena, &[&unix], false);
    manager.start();
    manager.log_until("Accept=no");
    assert_eq!(manager.child.wait().unwrap().code(), Some(125));
}

#[test]
fn the_activator_of_systemd_starts_it_with_the_first_client() {
    let activator = Path::new("/usr/bin/systemd-socket-activate");
    if !activator.exists() {
        let said = writeln!(std::io::stderr(), "NOT RUN: {} is not installed", activator.display());
        return said.unwrap();
    }
    let arena = Arena::prepare("activator").unwrap();
    let socket = arena.file("given.sock");
    let mut command = Command::new(activator);
    arena.place(&mut command);
    command.arg("--listen").arg(&socket).arg("--setenv=SIDEWINDER_RUNTIME_DIR").arg("--setenv=TMPDIR");
    command.arg(arena.binary()).args(["run", "--tools", "plain", "--workers", "1"]).current_dir(tools());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("Listening on")), "it does not listen");
    let drain = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>());
    let said = call(&arena, &socket).output().unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM)
        .unwrap();
    let status = child.wait().unwrap();
    let log = drain.join().unwrap();
    assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), "3", "{said:?} {log:?}");
    assert!(status.success(), "{log:?}");
}
