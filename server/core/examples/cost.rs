//! What one event costs, by the number of workers: flat, or something on the way of a call is a scan.
//!
//! ```text
//! cargo run --release -p sidewinder-core --example cost
//! ```
#![expect(clippy::disallowed_methods, reason = "it measures time, so it must look at the clock")]
#![expect(clippy::expect_used, reason = "a policy written here has no flaws")]

use sidewinder_core::{CallId, ClientId, Effect, Event, Jitter, Policy, Pool, Request, Size};
use std::time::{Duration, Instant};

const EVENTS: u32 = 1_000_000;

fn pool(workers: u16, begin: Instant, idle: Option<Duration>) -> Pool {
    let mut policy = Policy { size: Size::new(workers, workers, 0, 1).expect("a size"), ..Policy::default() };
    policy.line.waiting_max = 10_000;
    policy.recycle.idle = idle;
    policy.recycle.age = Some(Duration::from_hours(24));
    let mut pool = Pool::new(begin, policy.check().expect("no flaws"));
    let mut effects = Vec::new();
    pool.handle_timeout(begin, &mut effects);
    for effect in std::mem::take(&mut effects) {
        if let Effect::Spawn { life, .. } = effect {
            pool.handle(begin, Event::Ready { life, jitter: Jitter(7) }, &mut effects);
        }
    }
    pool
}

/// A call is submitted, and one that runs is finished, again and again, with so many under way.
fn run(workers: u16, under_way: u64, clients: u64) -> f64 {
    let begin = Instant::now();
    let mut pool = pool(workers, begin, Some(Duration::from_hours(1)));
    let mut effects = Vec::new();
    let mut running = std::collections::VecDeque::new();
    let mut next = 0;
    let mut submit = |pool: &mut Pool, effects: &mut Vec<Effect>, now: Instant| {
        next += 1;
        let mut request = Request::new(CallId(next), ClientId(next % clients));
        request.deadline = Some(now + Duration::from_secs(30));
        pool.handle(now, Event::Submitted(request), effects);
    };
    for _ in 0..under_way {
        submit(&mut pool, &mut effects, begin);
    }
    let started = Instant::now();
    for event in 0..EVENTS {
        for effect in effects.drain(..) {
            if let Effect::Assign { call, life } = effect {
                running.push_back((life, call));
            }
        }
        let now = begin + Duration::from_micros(event.into());
        match running.pop_front() {
            Some((life, call)) if event % 2 == 0 => {
                pool.handle(now, Event::Finished { life, call }, &mut effects);
            }
            Some(other) => {
                running.push_front(other);
                submit(&mut pool, &mut effects, now);
            }
            None => submit(&mut pool, &mut effects, now),
        }
        std::hint::black_box(pool.next_deadline());
    }
    started.elapsed().as_secs_f64() * 1e9 / f64::from(EVENTS)
}

fn main() {
    println!(
        "{:>8} {:>16} {:>20} {:>26}",
        "workers", "alone, ns/event", "all busy, ns/event", "1,000 clients wait, ns/event"
    );
    for workers in [1, 10, 100, 500] {
        let alone = run(workers, 0, 1);
        let busy = run(workers, workers.into(), 32);
        let waiting = run(workers, u64::from(workers) + 5_000, 1_000);
        println!("{workers:>8} {alone:>16.0} {busy:>20.0} {waiting:>26.0}");
    }
}
