//! What signals mean to the daemon.
//!
//! A signal that is caught is on its way for a moment: from the handler to whoever follows it. When another program goes
//! on in this process, one that is on its way would be lost, and somebody would wait for an end that never comes. So
//! before that SIGTERM and SIGINT get their default meaning back, and a mark is sent after those that were caught.

use crate::operate::Operator;
use rustix::process::{getpid, kill_process};
use sidewinder_keeper_kernel::sys;
use std::collections::BTreeSet;
use std::io;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The mark comes within microseconds.
const MARK_WITHIN: Duration = Duration::from_secs(1);

/// The signals that are listened to.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    upgrade: Signal,
    mark: Signal,
}

impl Signals {
    pub(super) fn open() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            upgrade: signal(SignalKind::user_defined2())?,
            // Its number is higher than those of the others: of several that were caught it is told last.
            mark: signal(SignalKind::window_change())?,
        })
    }

    /// The first signal to stop lets calls end, the second does not wait. SIGHUP reads the settings again, SIGUSR2 has
    /// another program go on. The watch tells that everything before a mark was heard.
    pub(super) fn follow(mut self, operator: Operator) -> (JoinHandle<()>, watch::Receiver<()>) {
        let (settled, heard) = watch::channel(());
        let following = async move {
            let mut within = None;
            loop {
                tokio::select! {
                    biased;
                    // Of a service manager, which starts it again or drops what it keeps.
                    Some(()) = self.terminate.recv() => if operator.hand_over() { continue },
                    Some(()) = self.interrupt.recv() => {}
                    // What comes of these is told as an event; meanwhile a signal to stop is heard.
                    Some(()) = self.hangup.recv() => {
                        let operator = operator.clone();
                        tokio::spawn(async move { operator.reload(BTreeSet::new()).await });
                        continue;
                    }
                    Some(()) = self.upgrade.recv() => {
                        let operator = operator.clone();
                        tokio::spawn(async move { operator.upgrade().await });
                        continue;
                    }
                    Some(()) = self.mark.recv() => {
                        settled.send_replace(());
                        continue;
                    }
                    else => return,
                }
                operator.quit(within).await;
                within = Some(Duration::ZERO);
            }
        };
        (tokio::spawn(following), heard)
    }
}

/// Waits until every signal that was caught has been heard. From here on one to stop ends this process at once, and the
/// others mean nothing until the next program listens.
pub(super) async fn settle(mut settled: watch::Receiver<()>) {
    [libc::SIGTERM, libc::SIGINT].into_iter().for_each(sys::restore);
    [libc::SIGUSR2, libc::SIGHUP].into_iter().for_each(sys::ignore);
    settled.mark_unchanged();
    if kill_process(getpid(), rustix::process::Signal::WINCH).is_ok() {
        let _ = timeout(MARK_WITHIN, settled.changed()).await;
    }
}
