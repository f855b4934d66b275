//! What a call carries for a successor of this daemon: who may ask what became of it, and until when it is of use.
//!
//! Only a call that goes on without whoever asked has one. Its worker keeps it, and tells it to whoever takes over, with
//! the call or with its ending; to the worker it is a few bytes without a meaning.

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Bytes of a memo. A call with a longer one does not outlive its daemon.
const MEMO_MAX: usize = 4096;

/// What is remembered of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Memo {
    pub(crate) pool: String,
    pub(crate) tool: String,
    /// Whose call it is, as far as that is proved.
    pub(crate) who: String,
    /// And by its own name.
    pub(crate) client: String,
    /// What its client calls it; empty: nothing, so nobody can ask for its ending.
    pub(crate) key: String,
    /// The same, as pools know it.
    pub(crate) call_key: u64,
    /// When its answer is of no use any more, in microseconds of the clock that all processes of a boot share.
    pub(crate) deadline: Option<u64>,
}

impl Memo {
    /// As bytes, if they are few enough.
    pub(crate) fn write(&self) -> Option<Vec<u8>> {
        serde_json::to_vec(self).ok().filter(|bytes| bytes.len() <= MEMO_MAX)
    }

    /// Of a worker, so it may be nonsense.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MEMO_MAX { None } else { serde_json::from_slice(bytes).ok() }
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        Some(moment(Duration::from_micros(self.deadline?)))
    }
}

/// A moment as the clock of the boot says it.
pub(crate) fn since_boot(at: Instant) -> u64 {
    let now = Instant::now();
    let clock = boot_clock();
    let then = if at >= now { clock.saturating_add(at - now) } else { clock.saturating_sub(now - at) };
    u64::try_from(then.as_micros()).unwrap_or(u64::MAX)
}

/// The time since the boot, as every process sees it.
pub(crate) fn boot_clock() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default()
}

/// A number above those of all calls that earlier daemons of this boot have given: they began with this clock, too, and
/// gave fewer calls than there are nanoseconds.
pub(crate) fn above_all_earlier() -> u64 {
    u64::try_from(boot_clock().as_nanos()).unwrap_or(u64::MAX)
}

fn moment(since_boot: Duration) -> Instant {
    let (now, clock) = (Instant::now(), boot_clock());
    let moment = match since_boot.checked_sub(clock) {
        Some(later) => now.checked_add(later),
        None => now.checked_sub(clock.saturating_sub(since_boot)),
    };
    moment.unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Workers keep memos of one build and tell them to another.
    #[test]
    fn a_memo_of_the_first_build_is_read() {
        let golden = br#"{"pool":"p","tool":"t","who":"w","client":"c","key":"k","call_key":7,"deadline":9}"#;
        let texts = ["p", "t", "w", "c", "k"].map(str::to_owned);
        let [pool, tool, who, client, key] = texts;
        let memo = Memo { pool, tool, who, client, key, call_key: 7, deadline: Some(9) };
        assert_eq!(Memo::read(golden), Some(memo.clone()));
        assert_eq!(memo.write().expect("short"), golden, "and the first build reads ours");
        let later =
            br#"{"pool":"","tool":"","who":"","client":"","key":"","call_key":0,"deadline":null,"later":1}"#;
        assert_eq!(Memo::read(later), Some(Memo::default()));
    }

    #[test]
    fn a_memo_comes_back_and_nonsense_does_not() {
        let due = Instant::now() + Duration::from_secs(7);
        let memo = Memo { key: "k".to_owned(), deadline: Some(since_boot(due)), ..Memo::default() };
        let again = Memo::read(&memo.write().expect("short")).expect("whole");
        assert_eq!(again, memo);
        let drift = again.due().expect("a deadline").max(due) - again.due().expect("a deadline").min(due);
        assert!(drift < Duration::from_millis(100), "{drift:?}");
        assert_eq!(Memo::read(b"{\"pool\": 1}"), None);
        let long = Memo { client: "x".repeat(MEMO_MAX), ..Memo::default() };
        assert_eq!(long.write(), None);
    }
}
