//! What an earlier daemon has left, and to whom it goes.

use crate::handover::{Deed, Handover, Left, LeftKeeper, LeftLife};
use crate::own::hold::{Hold, Taken, Wishes};
use crate::pool::{Carrier, Inheritance};
use crate::telemetry::{Event, Events, What};
use sidewinder_keeper_wire::Welcome;
use std::io;
use std::sync::Arc;

/// Everything that was left, while pools are founded.
#[derive(Debug, Default)]
pub(crate) struct Estate {
    pub(crate) left: Left,
    /// Where calls go that go on.
    pub(crate) carrier: Option<Carrier>,
}

impl Estate {
    /// A keeper for this pool: one that was left, with its workers, or a new one.
    pub(super) async fn settle(
        &mut self,
        pool: &str,
        wishes: Wishes,
        events: &Events,
    ) -> io::Result<(Hold, Welcome, Inheritance)> {
        let live = wishes.parking.handover.is_on();
        while live && let Some((keeper, lives)) = self.left.take(pool, wishes.parking.rules) {
            let names = names(&keeper, &lives);
            match Hold::take_over(wishes.clone(), keeper, lives).await {
                Ok(taken) => return Ok(self.inherit(pool, taken, events)),
                Err(why) => {
                    names.into_iter().for_each(|name| wishes.parking.handover.forget(name));
                    let text = format!("a keeper that was left cannot be taken over and ends: {why}");
                    tell(events, pool, text);
                }
            }
        }
        let (hold, welcome) = Hold::start(wishes).await?;
        Ok((hold, welcome, Inheritance::default()))
    }

    fn inherit(&self, pool: &str, taken: Taken, events: &Events) -> (Hold, Welcome, Inheritance) {
        let Taken { hold, welcome, survivors, unknown, next_number, next_server } = taken;
        if unknown > 0 {
            let text = format!("of the workers that were left, those that had not been ready end: {unknown}");
            tell(events, pool, text);
        }
        let carrier = self.carrier.clone();
        (hold, welcome, Inheritance { survivors, next_number, next_server, carrier })
    }

    /// What is for nobody ends: its other ends see the last copy closed.
    pub(super) fn close(self, handover: &Handover, events: &Events) {
        for name in self.left.rest() {
            if name.starts_with("keeper.") {
                let text = "a keeper was left for a pool that is not wished for any more, and ends";
                events.tell(Event::new(What::Stray, text).with("decision", "end"));
            }
            handover.let_go(name);
        }
    }
}

fn names(keeper: &LeftKeeper, lives: &[LeftLife]) -> Vec<String> {
    let lives = lives.iter().map(|left| Deed::Life(left.deed.clone()).name());
    lives.chain([Deed::Keeper(keeper.deed.clone()).name()]).collect()
}

fn tell(events: &Events, pool: &str, text: String) {
    let mut event = Event::new(What::Stray, text).with("decision", "end");
    event.pool = Some(Arc::from(pool));
    events.tell(event);
}
