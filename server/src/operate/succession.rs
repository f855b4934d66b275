//! Leaving everything to a successor: the next start of the daemon, or another program in its process.

use super::{Operator, STOPPING};
use crate::handover::Successor;
use crate::telemetry::events::PROBLEMS;
use crate::telemetry::{Event, What};
use sidewinder_edge::server::Wish;
use std::time::Duration;
use tokio::time::sleep;

/// Calls that are about to end do so before everything is handed over.
const HANDOVER_WITHIN: Duration = Duration::from_millis(250);

/// To whom everything is left when the daemon stops serving.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Handing {
    /// To nobody: it ends.
    Nothing,
    /// To the next start.
    Leave,
    /// To another program in this process.
    Pass(Successor),
}

impl Operator {
    /// Stops serving, and leaves everything to the next start. False: nothing outlives this daemon.
    pub(crate) fn hand_over(&self) -> bool {
        if !self.handover.is_live() || self.is_stopping() {
            return self.handing() == Handing::Leave;
        }
        let text = "stopping: workers are left to the next start of this daemon, and end if there is none";
        self.events.tell(Event::new(What::Stopping, text).with("handover", true));
        self.herald.stopping();
        self.wish.send_replace(Wish::StopWithin(2 * HANDOVER_WITHIN));
        self.handing.send_replace(Handing::Leave);
        true
    }

    /// Stops serving, and leaves everything to another program in this process: that which lies where this one was
    /// started from. The text says why that is not done; then nothing has changed.
    ///
    /// It is carried out to its end even if whoever asked does not wait for that.
    pub(crate) async fn upgrade(&self) -> Result<Successor, String> {
        let operator = self.clone();
        let upgrading = tokio::spawn(async move { operator.upgrade_whole().await });
        upgrading.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    async fn upgrade_whole(&self) -> Result<Successor, String> {
        let done = self.try_upgrade().await;
        if let Err(why) = &done {
            let text = format!("nothing was changed: {}", why.replace('\n', "; "));
            self.events.tell(Event::new(What::Upgrade, text).with(PROBLEMS, why));
        }
        done
    }

    async fn try_upgrade(&self) -> Result<Successor, String> {
        self.handover.may_pass()?;
        let mut wish = self.wish.subscribe();
        let stopping = wish.wait_for(|wish| matches!(wish, Wish::StopWithin(_)));
        // What a reload has begun is done first. One at a time: whoever is asked while another one goes on would hold
        // what is passed on to that.
        let asking = async {
            let state = self.state.lock().await;
            self.may_go_on()?;
            let asked = tokio::task::spawn_blocking(Successor::find);
            let to = asked.await.map_err(|error| error.to_string())??;
            Ok::<_, String>((state, to))
        };
        let (state, to) = tokio::select! {
            biased;
            _ = stopping => return Err(STOPPING.to_owned()),
            found = asking => found?,
        };
        self.go(&to)?;
        drop(state);
        Ok(to)
    }

    fn go(&self, to: &Successor) -> Result<(), String> {
        // Both are known before anybody stops serving: from then on it may be a matter of microseconds.
        self.handing.send_replace(Handing::Pass(to.clone()));
        let text = format!("version {} ({}) goes on in this process", to.version, to.program.display());
        self.events.tell(Event::new(What::Upgrade, text).with("version", &to.version));
        let is_free = self.wish.send_if_modified(|wish| {
            let is_free = !matches!(wish, Wish::StopWithin(_));
            if is_free {
                *wish = Wish::StopWithin(2 * HANDOVER_WITHIN);
            }
            is_free
        });
        if !is_free {
            self.stay();
            return Err(STOPPING.to_owned());
        }
        self.herald.reloading();
        Ok(())
    }

    /// Whoever wishes for an end gets it: no other program goes on.
    pub(super) fn stay(&self) {
        self.handing.send_if_modified(|handing| {
            let passes = matches!(handing, Handing::Pass(_));
            if passes {
                *handing = Handing::Nothing;
            }
            passes
        });
    }

    /// To whom everything is left.
    pub(crate) fn handing(&self) -> Handing {
        self.handing.borrow().clone()
    }

    /// Waits until the daemon stops serving, and tells whether another program goes on.
    pub(crate) async fn passes(&self) -> bool {
        let _ = self.wish.subscribe().wait_for(|wish| matches!(wish, Wish::StopWithin(_))).await;
        matches!(self.handing(), Handing::Pass(_))
    }

    /// Waits until everything is to be left to a successor, and calls have had their moment.
    pub(crate) async fn handed_over(&self) {
        let mut handing = self.handing.subscribe();
        loop {
            let _ = handing.wait_for(|handing| *handing != Handing::Nothing).await;
            sleep(HANDOVER_WITHIN).await;
            if self.handing() != Handing::Nothing {
                return;
            }
        }
    }
}
