//! Who is there, as operators see it.

use super::{Epoch, LeaseId, Watch};
use std::collections::BTreeMap;
use std::time::Duration;

/// Everybody who is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attendance {
    /// Attached clients.
    pub leases: BTreeMap<LeaseId, LeaseView>,
    /// Calls of those without a lease.
    pub passing: u64,
    /// What is done about nobody being there.
    pub watch: Watch,
    /// How long until the workers leave.
    pub leaves_in: Option<Duration>,
}

/// One lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseView {
    /// Its epoch.
    pub epoch: Epoch,
    /// The agreed interval.
    pub interval: Duration,
    /// The agreed time to live.
    pub ttl: Duration,
    /// How long ago its client was heard.
    pub heard_ago: Duration,
    /// How often it was heard.
    pub beats: u64,
    /// Intervals in which it was not.
    pub missed: u64,
}
