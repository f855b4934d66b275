//! Clients that call without a pause, and what they see of a daemon that goes and comes.

use sidewinder_tests::client::{answer, connect_at};
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const CLIENTS: usize = 3;

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) answers: u64,
    pub(crate) failures: u64,
    /// Connections that nobody was there to take.
    pub(crate) refused: u64,
    /// The longest time without an answer to one of the clients.
    pub(crate) window: Duration,
}

impl fmt::Display for Seen {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answers, failures, refused, window } = self;
        write!(
            out,
            "{answers} answers, {failures} failures, {refused} refused connections, error window {window:?}"
        )
    }
}

/// Clients that call until they are told to end.
#[derive(Debug)]
pub(crate) struct Load {
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Seen>>,
}

impl Load {
    pub(crate) fn start(socket: &Path) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let client = || {
            let (socket, over) = (socket.to_owned(), over.clone());
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(call(socket, over))
            })
        };
        let clients = (0..CLIENTS).map(|_| client()).collect();
        Self { over, clients }
    }

    pub(crate) fn end(self) -> Seen {
        self.over.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for client in self.clients {
            let seen = client.join().unwrap();
            all.answers += seen.answers;
            all.failures += seen.failures;
            all.refused += seen.refused;
            all.window = all.window.max(seen.window);
        }
        all
    }
}

async fn call(socket: PathBuf, over: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen::default();
    let mut last = Instant::now();
    while !over.load(Ordering::Relaxed) {
        let mut calls = match connect_at(&socket).await {
            Ok(calls) => calls,
            Err(error) => {
                seen.refused += u64::from(error.kind() == ErrorKind::ConnectionRefused);
                seen.failures += 1;
                continue;
            }
        };
        while !over.load(Ordering::Relaxed) {
            if answer(&mut calls, "add", r#"{"a": 1}"#).await.is_err() {
                seen.failures += 1;
                break;
            }
            seen.answers += 1;
            seen.window = seen.window.max(last.elapsed());
            last = Instant::now();
        }
    }
    seen
}
