//! Memory that large bodies have left.
//!
//! The allocator gives back at once what is freed at the end of its heap, and a body of a megabyte is much of that: each
//! call would take its pages from the kernel again, one by one, which costs a daemon more than to read the body. So the
//! daemon keeps what was freed, and gives back what is too much of it once in a while.

use sidewinder_keeper_kernel::sys;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

const EVERY: Duration = Duration::from_secs(5);
/// What a daemon may keep although nobody uses it.
const SPARE_MAX: usize = 4 * 1024 * 1024;

/// Called before there is a second thread, which would have a heap of its own.
pub(crate) fn keep() {
    sys::keep_freed();
}

/// As long as the daemon lives.
pub(super) async fn give_back() {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if sys::freed() > SPARE_MAX {
            sys::give_back_freed();
        }
    }
}
