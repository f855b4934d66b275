//! Tells operators when the limits of workers press: a call that is slow because the kernel holds its worker back looks
//! like any slow call.
//!
//! The kernel counts, and is asked once a second, beside the pool and never behind its door. A limit that goes on
//! pressing is told once a minute; pressure and relief have different bounds, so that nothing is told to and fro.

use super::desk::Order;
use crate::own::strain::{self, Bounds, Counts};
use crate::telemetry::{Event, Events, What};
use sidewinder_core::Life;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The same limit of the same worker is not told again before.
const AGAIN_AFTER: Duration = Duration::from_mins(1);
/// Workers that wait for memory for this share of ten seconds, in percent, are under pressure,
const PRESSED: f64 = 10.0;
/// and from this one on not any more.
const RELIEVED: f64 = 2.0;

/// What one look has seen.
#[derive(Clone, Debug, Default)]
struct Seen {
    workers: Vec<(Life, Counts)>,
    pressure: Option<f64>,
}

/// What was told.
#[derive(Debug, Default)]
struct Told {
    /// Of each limit of each worker: the count, and when that was.
    workers: BTreeMap<Life, [(u64, Option<Instant>); 3]>,
    pressed: bool,
}

impl Told {
    /// What is to be told now, of whom. Workers that were not seen are gone.
    fn news(&mut self, now: Instant, seen: &Seen) -> Vec<(Option<Life>, Event)> {
        let mut news = Vec::new();
        self.workers.retain(|life, _| seen.workers.iter().any(|(seen, _)| seen == life));
        for (life, counts) in &seen.workers {
            let marks = self.workers.entry(*life).or_default();
            for ((limit, count), (told, at)) in strain::limits().into_iter().zip(counts).zip(marks) {
                let is_due = at.is_none_or(|at| now.saturating_duration_since(at) >= AGAIN_AFTER);
                if count > told && is_due {
                    let times = count - *told;
                    (*told, *at) = (*count, Some(now));
                    let text =
                        format!("has reached its limit `{limit}`, and was held back there {times} times");
                    let event = Event::new(What::WorkerAtLimit, text);
                    news.push((Some(*life), event.with("limit", limit).with("times", times)));
                }
            }
        }
        let share = seen.pressure.unwrap_or(0.0);
        let (what, text) = if !self.pressed && share >= PRESSED {
            (What::MemoryPressure, format!("workers waited for memory in {share} % of the last ten seconds"))
        } else if self.pressed && share <= RELIEVED {
            (What::MemoryRelief, "workers do not wait for memory any more".to_owned())
        } else {
            return news;
        };
        self.pressed = !self.pressed;
        news.push((None, Event::new(what, text).with("percent", share)));
        news
    }
}

/// Looks and tells, for as long as the pool has a keeper.
pub(super) async fn watch(
    pool: Arc<str>,
    mut place: watch::Receiver<Option<PathBuf>>,
    orders: mpsc::WeakSender<Order>,
    events: Events,
) {
    let mut told = Told::default();
    let mut bounds = BTreeMap::new();
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Without a cgroup there is nothing to look at.
        let Ok(there) = place.wait_for(Option::is_some).await.map(|there| there.clone()) else { return };
        ticks.tick().await;
        let (Some(keeper), Some(orders)) = (there, orders.upgrade()) else { return };
        let (reply, numbers) = oneshot::channel();
        if orders.send(Order::Numbers(reply)).await.is_err() {
            return;
        }
        drop(orders);
        let Ok(numbers) = numbers.await else { return };
        let looking = tokio::task::spawn_blocking(move || {
            let seen = look(&keeper, &mut bounds, numbers);
            (seen, bounds)
        });
        let Ok(looked) = looking.await else { return };
        let seen;
        (seen, bounds) = looked;
        for (worker, mut event) in told.news(Instant::now(), &seen) {
            (event.pool, event.worker) = (Some(pool.clone()), worker);
            events.tell(event);
        }
    }
}

/// The bounds of a life are looked at once, and its counts only where there are bounds.
fn look(keeper: &Path, bounds: &mut BTreeMap<Life, Bounds>, numbers: Vec<(Life, u32)>) -> Seen {
    bounds.retain(|life, _| numbers.iter().any(|(there, _)| there == life));
    let mut workers = Vec::new();
    for (life, number) in numbers {
        let cgroup = strain::of_worker(keeper, number);
        let known = bounds.get(&life).copied().or_else(|| strain::bounds(&cgroup));
        if let Some(known) = known {
            bounds.insert(life, known);
            workers.push((life, strain::counts(&cgroup, known)));
        }
    }
    Seen { workers, pressure: strain::pressure(keeper) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sidewinder_core::SlotId;

    fn life(slot: u16) -> Life {
        Life { slot: SlotId(slot), number: 1 }
    }

    fn names(news: &[(Option<Life>, Event)]) -> Vec<(Option<u16>, &'static str, String)> {
        let fact =
            |event: &Event| event.facts.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(" ");
        news.iter()
            .map(|(life, event)| (life.map(|life| life.slot.0), event.what.name(), fact(event)))
            .collect()
    }

    #[test]
    fn a_limit_that_presses_is_told_once_a_minute() {
        let (mut told, begin) = (Told::default(), Instant::now());
        let mut look = |second: u64, counts: &[(u16, Counts)]| {
            let workers = counts.iter().map(|(slot, counts)| (life(*slot), *counts)).collect();
            names(&told.news(begin + Duration::from_secs(second), &Seen { workers, pressure: None }))
        };
        let at = |slot, text: &str| (Some(slot), "WORKER_AT_LIMIT", text.to_owned());
        assert_eq!(look(0, &[(0, [0; 3]), (1, [0; 3])]), []);
        assert_eq!(look(1, &[(0, [0, 5, 0]), (1, [0, 0, 2])]), [at(0, "memory-high 5"), at(1, "pids 2")]);
        // Another limit of the same worker is news, more of the same is not.
        assert_eq!(look(2, &[(0, [1, 9, 0]), (1, [0, 0, 2])]), [at(0, "memory 1")]);
        assert_eq!(look(60, &[(0, [1, 9, 0]), (1, [0, 0, 2])]), []);
        assert_eq!(look(61, &[(0, [1, 11, 0]), (1, [0, 0, 2])]), [at(0, "memory-high 6")]);
        // Nobody is left of it, and the next one has its own counts.
        assert_eq!(look(62, &[(1, [0, 0, 2])]), []);
        assert_eq!(look(63, &[(0, [0, 3, 0]), (1, [0, 0, 2])]), [at(0, "memory-high 3")]);
    }

    #[test]
    fn pressure_and_relief_take_turns() {
        let mut told = Told::default();
        let mut look = |pressure| {
            let seen = Seen { pressure, ..Seen::default() };
            names(&told.news(Instant::now(), &seen)).pop().map(|(_, what, fact)| format!("{what} {fact}"))
        };
        assert_eq!(look(Some(9.9)), None);
        assert_eq!(look(Some(10.0)).as_deref(), Some("MEMORY_PRESSURE 10"));
        for between in [80.0, 10.0, 9.0, 2.5] {
            assert_eq!(look(Some(between)), None);
        }
        assert_eq!(look(Some(1.5)).as_deref(), Some("MEMORY_RELIEF 1.5"));
        assert_eq!(look(Some(0.0)), None);
        assert_eq!(look(Some(50.0)).as_deref(), Some("MEMORY_PRESSURE 50"));
        // The cgroup is gone, and whoever waited in it.
        assert_eq!(look(None).as_deref(), Some("MEMORY_RELIEF 0"));
    }
}
