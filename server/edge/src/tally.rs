//! What the edge has seen, for metrics and for tests that wait for facts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Tally {
    /// Connections that were served.
    pub accepted: Count,
    /// Those of them that have ended.
    pub closed: Count,
    /// Refused because there were as many as there may be.
    pub crowded: Count,
    /// Refused because the user is not on the list.
    pub strangers: Count,
    /// Refused because the process had no file descriptor left.
    pub starved: Count,
    /// Accepts that failed although a descriptor was free.
    pub stumbled: Count,
    /// Closed because no HTTP/2 came in time.
    pub silent: Count,
    /// Closed because of a TLS handshake that failed.
    pub unsealed: Count,
    /// Calls that were begun.
    pub begun: Count,
    /// Those of them that have ended, well or not.
    pub ended: Count,
    /// Calls that the edge ended: late, or in the way of a stop.
    pub cut: Count,
    /// Streams that were reset because nobody took the ending.
    pub reset: Count,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// How many.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// One more. Tells how many there were before.
    pub(crate) fn one_more(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}
