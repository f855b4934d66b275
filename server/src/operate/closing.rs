//! Leaving when nobody is there, so that nobody who comes in that moment notices.
//!
//! ```text
//!   nobody is wanted ─▶ let nobody in ─▶ look again ─▶ nobody: leave; who came meanwhile waits in the line of the socket
//!                                            └─▶ somebody, or one who has not said a word: let them in again
//! ```
//!
//! The sockets belong to whoever handed them down, and stay: what waits there starts the daemon again.

use super::Operator;
use crate::presence::Wanted;
use sidewinder_edge::server::Wish;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// Doors that do not shut in this time are not waited for: it is tried again later.
const SHUT: Duration = Duration::from_secs(1);
/// Who has no call is told to come again, and has so long to hear it. Those who listen for ever are not waited for.
const LAST_LOOK: Duration = Duration::from_secs(1);

impl Operator {
    /// Stops the daemon, unless somebody is there. Says whether it does.
    pub(super) async fn leave(&self, wanted: &watch::Receiver<Wanted>) -> bool {
        if !self.turn(Wish::Serve, Wish::CloseUp) {
            return false;
        }
        let mut crowd = self.whole.crowd.look();
        let shut = timeout(SHUT, crowd.wait_for(|seen| seen.doors == 0)).await.is_ok_and(|seen| seen.is_ok());
        let mut somebody = wanted.clone();
        let look = async {
            // Whether all are gone, or some are only listening: what counts is who has not said a word.
            let _ = timeout(LAST_LOOK, crowd.wait_for(|seen| seen.connections == 0 || seen.silent > 0)).await;
            crowd.borrow().silent == 0
        };
        let is_nobody = shut
            && tokio::select! {
                biased;
                _ = somebody.wait_for(|wanted| *wanted != Wanted::Nothing) => false,
                is_nobody = look => is_nobody,
            };
        if is_nobody && *wanted.borrow() == Wanted::Nothing {
            self.quit(None).await;
            return true;
        }
        self.turn(Wish::CloseUp, Wish::Serve);
        false
    }

    /// Another wish, if it is still this one.
    fn turn(&self, from: Wish, to: Wish) -> bool {
        self.wish.send_if_modified(|wish| {
            let is_so = *wish == from;
            if is_so {
                *wish = to;
            }
            is_so
        })
    }

    /// Whether nothing is left of pools that are not served any more.
    pub(super) fn has_left(&self) -> bool {
        let state = self.state.try_lock();
        state.is_ok_and(|state| state.leaving.iter().all(|leaving| leaving.handle.is_over()))
    }
}
