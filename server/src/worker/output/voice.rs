//! What a worker says to operators: what it prints, and what it logs by its context.
//!
//! It becomes lines of the log that name the worker. A worker that prints without end must neither fill a disk nor
//! slow the daemon, so each life has a budget: a burst for tracebacks and starts, and then a steady rate. What is
//! beyond it is dropped, and how much it was is said.

use crate::telemetry::metrics::PoolMeter;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Bytes that a life may say at once.
const BURST: u64 = 1 << 20;
/// Bytes that it may say in a second after that.
const RATE: u64 = 64 << 10;
/// What a line costs beside its text.
const LINE_COST: u64 = 128;

/// The voice of one life.
#[derive(Clone, Debug)]
pub(crate) struct Voice {
    pool: Arc<str>,
    worker: Arc<str>,
    meter: Arc<PoolMeter>,
    budget: Arc<Mutex<Budget>>,
}

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Voice {
    pub(crate) fn new(pool: &str, worker: &str, meter: Arc<PoolMeter>) -> Self {
        let budget = Arc::new(Mutex::new(Budget::new(Instant::now())));
        Self { pool: Arc::from(pool), worker: Arc::from(worker), meter, budget }
    }

    /// It printed a line, in this call if that is known.
    pub(crate) fn printed(&self, stream: Stream, line: &[u8], call: Option<u64>) {
        if !self.may_say(line.len()) {
            return;
        }
        let (pool, worker, line) = (&*self.pool, &*self.worker, printable(line));
        match stream {
            Stream::Stdout => tracing::info!(pool, worker, call, stream = "stdout", "{line}"),
            Stream::Stderr => tracing::warn!(pool, worker, call, stream = "stderr", "{line}"),
        }
    }

    /// It logged a message within a call.
    pub(crate) fn logged(&self, call: u64, level: &str, message: &str) {
        if !self.may_say(message.len()) {
            return;
        }
        let (pool, worker, message) = (&*self.pool, &*self.worker, printable(message.as_bytes()));
        match level {
            "debug" => tracing::debug!(pool, worker, call, stream = "log", "{message}"),
            "warning" => tracing::warn!(pool, worker, call, stream = "log", "{message}"),
            "error" | "critical" => tracing::error!(pool, worker, call, stream = "log", "{message}"),
            _ => tracing::info!(pool, worker, call, stream = "log", "{message}"),
        }
    }

    /// Its Python has another version of `sidewinder` than the one that runs, if it has. Said once.
    pub(crate) fn runs_another(&self, runtime: &str, installed: &str, said: &AtomicBool) {
        if installed.is_empty() || said.swap(true, Ordering::Relaxed) {
            return;
        }
        let (pool, worker) = (&*self.pool, &*self.worker);
        let (runtime, installed) = (printable(runtime.as_bytes()), printable(installed.as_bytes()));
        tracing::warn!(
            pool,
            worker,
            "sidewinder {installed} is installed for the Python of this pool, and the daemon's own {runtime} runs: \
             install {runtime}, or none"
        );
    }

    /// It will say nothing more.
    pub(crate) fn end(&self) {
        let dropped = std::mem::take(&mut self.budget.lock().unwrap_or_else(PoisonError::into_inner).dropped);
        self.confess(dropped);
    }

    fn may_say(&self, length: usize) -> bool {
        let cost = length as u64 + LINE_COST;
        let admitted = self.budget.lock().unwrap_or_else(PoisonError::into_inner).admit(Instant::now(), cost);
        if let Some(dropped) = admitted {
            self.confess(dropped);
        }
        admitted.is_some()
    }

    fn confess(&self, dropped: u64) {
        if dropped > 0 {
            self.meter.output_dropped(dropped);
            let (pool, worker) = (&*self.pool, &*self.worker);
            tracing::warn!(
                pool,
                worker,
                dropped,
                "{dropped} lines of this worker were dropped: it says too much"
            );
        }
    }
}

/// What a worker says must not drive the terminal of whoever reads the log.
pub(crate) fn printable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.chars().map(|c| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// How much may be said. Pure.
#[derive(Debug)]
struct Budget {
    left: u64,
    counted: Instant,
    /// Used up: nothing is let through before a second's worth is there again.
    dry: bool,
    dropped: u64,
}

impl Budget {
    fn new(now: Instant) -> Self {
        Self { left: BURST, counted: now, dry: false, dropped: 0 }
    }

    /// Whether something of this cost may be said; then also what was dropped before it.
    fn admit(&mut self, now: Instant, cost: u64) -> Option<u64> {
        let passed =
            u64::try_from(now.saturating_duration_since(self.counted).as_micros()).unwrap_or(u64::MAX);
        let earned = passed.saturating_mul(RATE) / 1_000_000;
        if earned > 0 {
            self.left = self.left.saturating_add(earned).min(BURST);
            self.counted = now;
        }
        self.dry = if self.dry { self.left < RATE } else { self.left < cost };
        if self.dry {
            self.dropped += 1;
            return None;
        }
        self.left = self.left.saturating_sub(cost);
        Some(std::mem::take(&mut self.dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_flood_is_cut_to_its_rate_and_what_was_cut_is_known() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let (mut said, mut confessed, mut confessions) = (0, 0, 0);
        let (seconds, cost) = (10, 1024);
        for millisecond in 0..seconds * 1000 {
            let now = start + Duration::from_millis(millisecond);
            for _ in 0..10 {
                if let Some(dropped) = budget.admit(now, cost) {
                    said += cost;
                    confessed += dropped;
                    confessions += u64::from(dropped > 0);
                }
            }
        }
        assert!(said <= BURST + seconds * RATE, "{said} bytes are more than the budget");
        assert!(said >= BURST + (seconds - 2) * RATE, "{said} bytes are less than it may say");
        assert!(confessions <= seconds, "{confessions} notes in {seconds} s are a flood of their own");
        assert_eq!(said / cost + confessed + budget.dropped, seconds * 1000 * 10);
    }

    #[test]
    fn who_says_little_is_never_cut() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        for second in 0..1000 {
            assert_eq!(budget.admit(start + Duration::from_secs(second), RATE), Some(0));
        }
    }
}
