//! The keeper as its owner meets it: frame by frame, with a stand-in for the daemon.
//!
//! A worker here holds the write end of a pipe, and so does everything it forks: end-of-file on the pipe is the
//! kernel's own word that the whole tree is gone. Every story is told with and without a PID namespace.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test says what it expects")]

mod bad_input;
mod endings;
mod forks;
mod owners;
mod requests;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sidewinder_keeper_wire::SpawnRequest;
use sidewinder_tests::arena::Arena;
use sidewinder_tests::owner::{Owner, command};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// K, and the factor that a loaded test machine is given.
const K: Duration = Duration::from_millis(250);
const TEST_FACTOR: u32 = 8;

/// Tells a story in a place of its own, once in a namespace and once without.
fn each_way(story: impl Fn(&Arena, bool)) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for namespace in [true, false] {
        let name = format!("keeper-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let arena = Arena::prepare(&name).expect("a place for the test");
        story(&arena, namespace);
    }
}

/// The read end of a pipe whose write end a worker and all its descendants hold.
struct Tree {
    pipe: File,
}

impl Tree {
    fn new() -> (Self, OwnedFd) {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("a pipe");
        (Self { pipe: File::from(read) }, write)
    }

    /// Waits until so many members have said that they are there.
    fn stands(&mut self, members: usize) {
        let mut said = vec![0; members];
        self.pipe.read_exact(&mut said).expect("every member says so");
    }

    /// Waits until nobody is left, and says how long that took.
    fn is_gone(&mut self) -> Duration {
        let begun = Instant::now();
        let mut rest = [0; 64];
        loop {
            let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
            let ready = poll(&mut [PollFd::new(&self.pipe, PollFlags::IN)], Some(&limit)).expect("polled");
            assert!(ready > 0, "somebody is still there after 10 s");
            if self.pipe.read(&mut rest).expect("readable") == 0 {
                return begun.elapsed();
            }
        }
    }

    fn is_gone_within(&mut self, bound: Duration) {
        let took = self.is_gone();
        assert!(took <= bound * TEST_FACTOR, "gone after {took:?}, promised {bound:?}");
    }

    /// Whether somebody is left now.
    fn is_there(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut pipe = [PollFd::new(&self.pipe, PollFlags::IN)];
        poll(&mut pipe, Some(&now)).is_ok() && !pipe[0].revents().contains(PollFlags::HUP)
    }
}

/// A worker that daemonises a grandchild. Both ignore SIGTERM, hold the pipe and say so.
fn nasty() -> SpawnRequest {
    let daemon = r#"trap "" TERM; echo >&3; while :; do sleep 1000; done"#;
    let script = format!("trap '' TERM; (setsid sh -c '{daemon}' &); echo >&3; while :; do sleep 1000; done");
    SpawnRequest { fds: vec![3], ..command(&["sh", "-c", &script]) }
}

/// Starts a nasty worker and waits until its whole tree stands.
fn start_nasty(owner: &Owner, worker: u32) -> (Tree, OwnedFd) {
    let (mut tree, write) = Tree::new();
    let pidfd = owner.spawn(worker, nasty(), &[write.as_fd()]).expect("started");
    drop(write);
    tree.stands(2);
    (tree, pidfd)
}
