//! One turn of a task: whatever it wakes itself for while it runs is done before it ends.
//!
//! A stream wakes itself with every message that it sends: it asks for room for the next one, and is told at once that
//! there is. The runtime puts a task that did so behind all others and wakes another thread to take it, which costs more
//! than the message. Here it has another go instead, a few times at most, so that nobody waits behind it for long.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Nobody runs: whoever wakes wakes the task.
const RESTS: u8 = 0;
/// It runs, and has not been woken since it began.
const RUNS: u8 = 1;
/// It runs, and is to run again.
const AGAIN: u8 = 2;

/// Goes of one turn.
const GOES: usize = 4;

/// The turns of one task.
#[derive(Debug)]
pub(crate) struct Turns {
    inner: Arc<Inner>,
    waker: Waker,
}

#[derive(Debug)]
struct Inner {
    state: AtomicU8,
    task: Mutex<Option<Waker>>,
}

impl Default for Turns {
    fn default() -> Self {
        let inner = Arc::new(Inner { state: AtomicU8::new(RESTS), task: Mutex::default() });
        let waker = Waker::from(inner.clone());
        Self { inner, waker }
    }
}

impl Turns {
    /// One turn. What is polled is to be woken by this alone.
    pub(crate) fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.inner.belong_to(context.waker());
        for _ in 0..GOES {
            self.inner.state.store(RUNS, Ordering::Release);
            let polled = poll(&mut Context::from_waker(&self.waker));
            let woken = self.inner.state.swap(RESTS, Ordering::AcqRel) == AGAIN;
            if polled.is_ready() || !woken {
                return polled;
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Inner {
    fn belong_to(&self, waker: &Waker) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if !task.as_ref().is_some_and(|task| task.will_wake(waker)) {
            *task = Some(waker.clone());
        }
    }
}

impl Wake for Inner {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let running = self.state.compare_exchange(RUNS, AGAIN, Ordering::AcqRel, Ordering::Acquire);
        if running == Err(RESTS) {
            let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(task) = task {
                task.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_task_that_wakes_itself_goes_on_and_wakes_nobody() {
        let (count, mut turns, mut goes) = (Arc::new(Count::default()), Turns::default(), 0);
        let waker = Waker::from(count.clone());
        let mut kept = None;
        let polled = turns.poll(&mut Context::from_waker(&waker), |context| {
            goes += 1;
            kept = Some(context.waker().clone());
            if goes < 3 {
                context.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        });
        assert!(polled.is_pending() && goes == 3, "{goes}");
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        kept.unwrap().wake();
        assert_eq!(count.0.load(Ordering::Relaxed), 1, "between turns the task is woken");
    }

    #[test]
    fn one_that_never_stops_lets_others_go_first() {
        let (count, mut turns, mut goes) = (Arc::new(Count::default()), Turns::default(), 0);
        let waker = Waker::from(count.clone());
        let polled = turns.poll(&mut Context::from_waker(&waker), |context| {
            goes += 1;
            context.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        assert!(polled.is_pending());
        assert_eq!((goes, count.0.load(Ordering::Relaxed)), (GOES, 1));
    }
}
