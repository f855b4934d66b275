//! Ends a test that would never end, and says what it found.
//!
//! The test itself waits in blocking calls. When the limit passes, the watchdog
//! draws the tree and kills everything below this process by pidfd, again and
//! again, until the test is awake and disarms it.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use rustix::process::Signal;

use crate::handle::Handle;
use crate::procfs;

const ROUND: Duration = Duration::from_millis(20);

/// What the watchdog had to do.
#[derive(Debug)]
pub struct Bite {
    /// The tree as it stood when the limit passed.
    pub tree: String,
    /// How many processes it found.
    pub found: usize,
}

/// Armed for one test.
#[derive(Debug)]
pub struct Watchdog {
    disarm: Sender<()>,
    thread: JoinHandle<Option<Bite>>,
}

impl Watchdog {
    /// Starts to watch.
    pub fn arm(limit: Duration) -> io::Result<Self> {
        let (disarm, disarmed) = channel();
        let thread = Builder::new().name("watchdog".into()).spawn(move || watch(&disarmed, limit))?;
        Ok(Self { disarm, thread })
    }

    /// Stops watching; tells whether it bit.
    pub fn disarm(self) -> Option<Bite> {
        drop(self.disarm);
        self.thread.join().ok().flatten()
    }
}

fn watch(disarmed: &Receiver<()>, limit: Duration) -> Option<Bite> {
    if disarmed.recv_timeout(limit) != Err(RecvTimeoutError::Timeout) {
        return None;
    }
    let bite = Bite { tree: procfs::drawing(), found: procfs::descendants().len() };
    while disarmed.recv_timeout(ROUND) == Err(RecvTimeoutError::Timeout) {
        end_everything_below();
    }
    Some(bite)
}

/// Kills each process below this one once.
pub fn end_everything_below() {
    for found in procfs::descendants() {
        // It may have ended meanwhile: then there is nothing left to end.
        if let Ok(handle) = Handle::of_descendant(found.pid) {
            let _ = handle.send(Signal::KILL);
        }
    }
}
