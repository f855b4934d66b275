//! A daemon that leaves when nobody is there, and whoever comes in that very moment.

use sidewinder_tests::arena::Arena;
use sidewinder_tests::client::{answer, connect_at, connect_late};
use sidewinder_tests::daemon::tools;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// Opens a socket, starts the command whenever somebody waits there and nobody serves, and tells each end of it.
const MANAGER: &str = r#"
import os, select, socket, sys
door = socket.socket(socket.AF_UNIX)
door.bind(sys.argv[1])
door.listen(128)
print("opened", flush=True)
while True:
    ready, _, _ = select.select([door, sys.stdin], [], [])
    if door not in ready:
        break
    child = os.fork()
    if child == 0:
        os.dup2(os.dup2(door.fileno(), 100), 3, inheritable=True)
        os.closerange(4, 200)
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="sidewinder.socket")
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.execv(sys.argv[2], sys.argv[2:])
    print(f"ended {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}", flush=True)
"#;

/// A stand-in for a service manager, for as long as it is held.
struct Manager {
    child: Child,
    said: BufReader<ChildStdout>,
    socket: PathBuf,
}

impl Manager {
    fn open(arena: &Arena, leaves_after: &str) -> Self {
        let socket = arena.file("given.sock");
        let mut command = Command::new(arena.python());
        arena.place(&mut command);
        command.args(["-c", MANAGER]).arg(&socket).arg(arena.binary());
        command.args(["run", "--tools", "plain", "--workers", "1", "--exit-when-idle"]);
        command.args(["--no-client-timeout", leaves_after, "--startup-client-timeout", leaves_after]);
        command.current_dir(tools()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert_eq!(line, "opened\n");
        Self { child, said, socket }
    }

    /// No more daemons. Tells how each of them ended.
    fn end(mut self) -> Vec<String> {
        drop(self.child.stdin.take());
        let lines = self.said.lines().map_while(Result::ok).collect();
        self.child.wait().unwrap();
        lines
    }
}

/// Calls after pauses about as long as the daemon waits for somebody. Tells what went wrong.
async fn caller(socket: &Path, number: u64, calls: u64) -> Vec<String> {
    let mut wrong = Vec::new();
    for call in 0..calls {
        // That somebody comes just then is what is tried here.
        tokio::time::sleep(Duration::from_millis(150 + (number * 37 + call * 13) % 150)).await;
        let pause = Duration::from_millis(call % 40);
        let told = match connect_late(socket, pause).await {
            Ok(mut calls) => {
                answer(&mut calls, "add", r#"{"a": 1, "b": 2}"#).await.map_err(|why| why.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        if told.as_deref() != Ok("3") {
            wrong.push(format!("caller {number}, call {call}: {told:?}"));
        }
    }
    wrong
}

#[tokio::test]
async fn whoever_comes_while_it_leaves_is_served() {
    let arena = Arena::prepare("leaving").unwrap();
    let manager = Manager::open(&arena, "0");
    let callers = (0..3).map(|number| {
        let socket = manager.socket.clone();
        tokio::spawn(async move { caller(&socket, number, 70).await })
    });
    let mut wrong = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        wrong.extend(caller.await.unwrap());
    }
    let ends = manager.end();
    println!("210 calls met {} daemons; {} went wrong", ends.len(), wrong.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(ends.len() >= 10 && ends.iter().all(|end| end == "ended 0"), "{ends:?}");
}

/// It is somebody until it goes, and it keeps nobody out.
#[tokio::test]
async fn one_who_has_said_nothing_is_waited_for() {
    let arena = Arena::prepare("said-nothing").unwrap();
    let manager = Manager::open(&arena, "300ms");
    let mut first = connect_at(&manager.socket).await.unwrap();
    answer(&mut first, "add", r#"{"a": 1, "b": 2}"#).await.unwrap();
    let silent = std::os::unix::net::UnixStream::connect(&manager.socket).unwrap();
    drop(first);
    // Several times as long as it waits for somebody: that is what is tried here.
    tokio::time::sleep(Duration::from_secs(2)).await;
    silent.set_nonblocking(true).unwrap();
    // It has been told how to speak, and nothing else.
    let told = std::io::Read::read_to_end(&mut &silent, &mut Vec::new());
    assert!(told.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock), "it was turned away");
    let mut other = connect_at(&manager.socket).await.unwrap();
    answer(&mut other, "add", r#"{"a": 1, "b": 2}"#).await.unwrap();
    drop((silent, other));
    let ends = manager.end();
    assert!(ends.iter().all(|end| end == "ended 0"), "{ends:?}");
}
