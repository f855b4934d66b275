//! Clients that call without a pause, and what they see of a daemon that goes and comes.

use super::{answer, connect_at};
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const CLIENTS: usize = 3;

/// What was seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// Calls that were answered.
    pub answers: u64,
    /// Calls and connections that came to nothing.
    pub failures: u64,
    /// Connections that nobody was there to take.
    pub refused: u64,
    /// The longest time without an answer to one of the clients.
    pub window: Duration,
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
pub struct Load {
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<io::Result<Seen>>>,
}

impl Load {
    /// Some of them, each with a connection of its own.
    pub fn start(socket: &Path) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let client = || {
            let (socket, over) = (socket.to_owned(), over.clone());
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                Ok(runtime.block_on(call(socket, over)))
            })
        };
        let clients = (0..CLIENTS).map(|_| client()).collect();
        Self { over, clients }
    }

    /// Ends them, and tells what all of them have seen.
    pub fn end(self) -> io::Result<Seen> {
        self.over.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for client in self.clients {
            let seen = client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            all.answers += seen.answers;
            all.failures += seen.failures;
            all.refused += seen.refused;
            all.window = all.window.max(seen.window);
        }
        Ok(all)
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
