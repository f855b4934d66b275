//! Figures of a row: how many, the median, the 99th percentile, the worst.

use std::time::Duration;

/// Measured durations of one row.
#[derive(Debug, Default, Clone)]
pub struct Figures {
    samples: Vec<Duration>,
}

impl Figures {
    /// Adds one measurement.
    pub fn add(&mut self, sample: Duration) {
        self.samples.push(sample);
    }

    /// How many were measured.
    pub fn count(&self) -> usize {
        self.samples.len()
    }

    /// The value that `percent` of the measurements do not exceed.
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.samples.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    }

    /// The middle of the measurements.
    pub fn median(&self) -> Duration {
        self.percentile(50)
    }

    /// The worst measurement.
    pub fn worst(&self) -> Duration {
        self.percentile(100)
    }
}

/// A duration as milliseconds with one decimal.
pub fn milliseconds(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64() * 1e3)
}
