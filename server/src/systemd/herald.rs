//! Tells the service manager what the daemon is doing.
//!
//! Every word goes through a queue to a thread of its own: the socket of a manager that does not read blocks, and nobody
//! else may wait for that. The order of words is kept, and a reload is told only by a daemon that has been ready, because
//! the `READY=1` at its end would otherwise say what is not true yet.

use sd_notify::NotifyState;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Where the manager listens, if there is one.
const SOCKET: &str = "NOTIFY_SOCKET";
/// Words that wait for a manager that does not read. Further ones are dropped: they are told again, or too late.
const WAITING_MAX: usize = 256;
/// The last words of a daemon that ends are waited for so long.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The way to the service manager; to nobody where there is none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Herald {
    way: Option<SyncSender<Word>>,
    told: Arc<Mutex<Told>>,
}

/// What it knows by now.
#[derive(Debug, Default)]
struct Told {
    ready: bool,
    stopping: bool,
    status: String,
}

#[derive(Debug)]
enum Word {
    Say(String),
    /// Everything before this has been said.
    End(SyncSender<()>),
}

impl Herald {
    /// Finds out whether there is a service manager that wants to know.
    pub(crate) fn begin() -> std::io::Result<Self> {
        if std::env::var_os(SOCKET).is_none_or(|path| path.is_empty()) {
            return Ok(Self::default());
        }
        let (way, words) = sync_channel(WAITING_MAX);
        std::thread::Builder::new().name("herald".to_owned()).spawn(move || speak(&words))?;
        Ok(Self { way: Some(way), told: Arc::default() })
    }

    /// Whether anybody listens.
    pub(crate) fn has_listener(&self) -> bool {
        self.way.is_some()
    }

    /// Whether the manager was told that the daemon is ready.
    pub(crate) fn is_ready(&self) -> bool {
        self.told().ready
    }

    /// The daemon is up.
    pub(crate) fn ready(&self, status: &str) {
        let mut told = self.told();
        told.ready = true;
        status.clone_into(&mut told.status);
        self.say(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// What the daemon is doing, for people. The same twice is said once.
    pub(crate) fn status(&self, status: &str) {
        let mut told = self.told();
        if told.status != status {
            status.clone_into(&mut told.status);
            self.say(&[NotifyState::Status(status)]);
        }
    }

    /// The settings are read again from here on.
    pub(crate) fn reloading(&self) {
        let told = self.told();
        if told.ready && !told.stopping {
            let mut states = vec![NotifyState::Reloading, NotifyState::Status("reading the settings again")];
            // The manager of `Type=notify-reload` wants to know that this answers its own signal.
            states.extend(NotifyState::monotonic_usec_now());
            self.say(&states);
        }
    }

    /// What was begun with [`Herald::reloading`] is over, however it went.
    pub(crate) fn reloaded(&self) {
        let told = self.told();
        if told.ready && !told.stopping {
            self.say(&[NotifyState::Ready, NotifyState::Status(&told.status)]);
        }
    }

    /// The daemon is on its way out.
    pub(crate) fn stopping(&self) {
        let mut told = self.told();
        if !told.stopping {
            told.stopping = true;
            self.say(&[NotifyState::Stopping]);
        }
    }

    /// Starting or stopping may take this long from now on, whatever the unit says.
    pub(crate) fn more_time(&self, span: Duration) {
        let micros = u32::try_from(span.as_micros()).unwrap_or(u32::MAX);
        self.say(&[NotifyState::ExtendTimeoutUsec(micros)]);
    }

    /// The manager shall not keep a descriptor of this name any longer.
    pub(crate) fn forget(&self, name: &str) {
        self.say(&[NotifyState::Custom("FDSTOREREMOVE=1"), NotifyState::Custom(&format!("FDNAME={name}"))]);
    }

    /// Everything that has to answer has answered.
    pub(crate) fn alive(&self) {
        self.say(&[NotifyState::Watchdog]);
    }

    /// Lets the last words out.
    pub(crate) fn end(&self) {
        if let Some(way) = &self.way {
            let (done, heard) = sync_channel(1);
            if way.try_send(Word::End(done)).is_ok() {
                let _ = heard.recv_timeout(LAST_WORDS);
            }
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, states: &[NotifyState<'_>]) {
        if let Some(way) = &self.way {
            let lines: Vec<String> = states.iter().map(|state| one_line(&state.to_string())).collect();
            let _ = way.try_send(Word::Say(lines.join("\n")));
        }
    }
}

/// A status with a line break would be two words.
fn one_line(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}

fn speak(words: &Receiver<Word>) {
    let mut complained = false;
    for word in words {
        match word {
            Word::Say(text) => {
                let said = sd_notify::notify(&[NotifyState::Custom(&text)]);
                if let (Err(error), false) = (said, complained) {
                    complained = true;
                    tracing::warn!("the service manager cannot be told anything: {error}");
                }
            }
            Word::End(done) => {
                let _ = done.try_send(());
            }
        }
    }
}
