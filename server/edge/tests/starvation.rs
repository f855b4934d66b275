//! No file descriptor left: those who are connected are served, those who come are told, and no core burns.
//!
//! Alone in its process, because it lowers a limit of the process. The sockets of the clients are made before that:
//! connecting takes no descriptor, accepting does.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says what it expects")]

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use sidewinder_edge::limits::Limits;
use sidewinder_edge::listener::Listener;
use sidewinder_edge::peer::Users;
use sidewinder_edge::routes::Routes;
use sidewinder_edge::server::{Sight, Stopped, Wish, serve};
use sidewinder_edge::tally::Tally;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Builder;
use tokio::sync::watch;

/// Clients that come while nothing is left.
const CLIENTS: usize = 100;
const PATIENCE: Duration = Duration::from_secs(20);

fn new_socket() -> OwnedFd {
    socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap()
}

fn connected(socket: OwnedFd, path: &Path) -> UnixStream {
    connect(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
    let stream = UnixStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Every descriptor that is left.
fn hoard() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap()).as_secs_f64()
}

/// The first frame that a server says, which a connection gets only if it is served.
fn greeted(stream: &mut UnixStream) -> bool {
    use std::io::Write;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut head = [0; 9];
    stream.read_exact(&mut head).is_ok_and(|()| head[..4] != [0, 0, 0, 4])
}

#[test]
fn without_a_descriptor_newcomers_are_told_and_no_core_burns() {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let directory = std::env::temp_dir().join(format!("sw-starvation-{}", std::process::id()));
    let path = directory.join("sidewinder.sock");
    let tally = Arc::new(Tally::default());
    let (wish, wished) = watch::channel(Wish::Serve);
    let listener = runtime.block_on(async { Listener::unix(&path, Users::private()).unwrap() });
    let server = runtime.spawn(serve(
        vec![listener],
        Routes::default(),
        Limits::default(),
        Sight { tally: Arc::clone(&tally), ..Sight::default() },
        wished,
    ));
    let mut resident = connected(new_socket(), &path);
    assert!(greeted(&mut resident));

    let sockets: Vec<OwnedFd> = (0..CLIENTS).map(|_| new_socket()).collect();
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(256), maximum: limit.maximum }).unwrap();
    let mut hoarded = hoard();
    let (begun, cpu) = (Instant::now(), cpu_seconds());
    let mut newcomers: Vec<UnixStream> = sockets.into_iter().map(|socket| connected(socket, &path)).collect();
    for newcomer in &mut newcomers {
        let mut goodbye = Vec::new();
        newcomer.read_to_end(&mut goodbye).unwrap();
        assert!(goodbye.ends_with(b"no file descriptor left"), "{goodbye:?}");
    }
    let (took, burnt) = (begun.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    println!("{CLIENTS} newcomers turned away in {took:.2} s with {burnt:.3} s of processor time");
    assert!(burnt < took / 4.0 + 0.05, "{burnt} s of processor time in {took} s");
    assert!(tally.starved.get() >= CLIENTS as u64);

    hoarded.clear();
    drop(newcomers);
    assert!(greeted(&mut connected(new_socket(), &path)), "served again");
    resident.set_nonblocking(true).unwrap();
    let still = resident.read(&mut [0; 1]);
    assert!(still.is_ok_and(|bytes| bytes > 0), "the resident was dropped");
    wish.send(Wish::StopWithin(Duration::ZERO)).unwrap();
    assert_ne!(runtime.block_on(server).unwrap(), Stopped::Stuck);
    std::fs::remove_dir_all(&directory).unwrap();
}
