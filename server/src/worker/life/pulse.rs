//! Whether a life is there: it is asked, and what it says otherwise counts too.

use super::{Living, Told};
use crate::worker::words::ToWorker;
use sidewinder_core::Event;
use std::time::Duration;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

/// How often the control thread is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(1);
/// A worker that has not answered for this long holds the interpreter's lock, or is stuck.
const SUSPECT_AFTER: Duration = Duration::from_secs(2);
/// A worker that has closed its sockets leaves within this time.
const CLOSED_PATIENCE: Duration = Duration::from_secs(1);

impl Living {
    pub(super) fn on_pong(&mut self, resident: u64) {
        self.unanswered = None;
        if std::mem::take(&mut self.suspected) {
            self.tell(Told::Fact(Event::Recovered { life: self.life }));
        }
        self.tell(Told::Fact(Event::Measured { life: self.life, resident }));
    }

    pub(super) async fn on_tick(&mut self) {
        if self.closed.is_some_and(|closed| closed.elapsed() >= CLOSED_PATIENCE) {
            self.fault("it closed its sockets and did not leave".to_owned()).await;
        }
        if !self.ready {
            return;
        }
        let now = Instant::now();
        if !self.suspected && self.unanswered.is_some_and(|since| now >= since + SUSPECT_AFTER) {
            self.suspected = true;
            self.tell(Told::Fact(Event::Suspected { life: self.life }));
        }
        self.pings += 1;
        // A full socket is no answer either.
        let _ = self.link.control.say_now(ToWorker::Ping(self.pings).message());
        self.unanswered.get_or_insert(now);
    }
}

pub(super) fn clock() -> Interval {
    let mut clock = interval(PING_EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    clock
}
