//! How hard the limits of a cgroup press on what is in it, as the kernel counts it.
//!
//! What is not there is not counted: a machine without controllers has no `memory.events`, one without PSI no
//! `memory.pressure`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// These files have a few lines.
const FILE_MAX: u64 = 4096;

/// A limit, and where the kernel has it and counts.
struct Counter {
    limit: &'static str,
    bound: &'static str,
    events: &'static str,
    /// The line that counts how often somebody was held back at it.
    line: &'static str,
    /// Only the bound of this cgroup itself counts here, and none above it.
    own: bool,
}

const COUNTERS: [Counter; LIMITS] = [
    Counter { limit: "memory", bound: "memory.max", events: "memory.events", line: "max", own: true },
    Counter { limit: "memory-high", bound: "memory.high", events: "memory.events", line: "high", own: true },
    Counter { limit: "pids", bound: "pids.max", events: "pids.events", line: "max", own: false },
];
const LIMITS: usize = 3;

/// How often somebody was held back, for each limit.
pub(crate) type Counts = [u64; LIMITS];
/// Which limits can hold anybody back.
pub(crate) type Bounds = [bool; LIMITS];

/// The names of the limits, as the settings have them.
pub(crate) fn limits() -> [&'static str; LIMITS] {
    COUNTERS.map(|counter| counter.limit)
}

/// The cgroup of one worker, by its number at the keeper.
pub(crate) fn of_worker(keeper: &Path, number: u32) -> PathBuf {
    keeper.join(format!("w{number}"))
}

/// The limits of this cgroup; nothing before somebody lives in it, because they are set before that, and stay.
pub(crate) fn bounds(cgroup: &Path) -> Option<Bounds> {
    let is_inhabited = text(&cgroup.join("cgroup.events")).is_some_and(|text| text.contains("populated 1"));
    let can_press = |counter: Counter| {
        if !counter.own {
            return cgroup.join(counter.events).is_file();
        }
        text(&cgroup.join(counter.bound)).is_some_and(|bound| bound.trim() != "max")
    };
    is_inhabited.then(|| COUNTERS.map(can_press))
}

/// How often anybody in this cgroup was held back by these.
pub(crate) fn counts(cgroup: &Path, bounds: Bounds) -> Counts {
    let mut counts = [0; LIMITS];
    for ((count, is_bound), counter) in counts.iter_mut().zip(bounds).zip(&COUNTERS) {
        if is_bound {
            let text = text(&cgroup.join(counter.events)).unwrap_or_default();
            let times = text.lines().find_map(|one| one.strip_prefix(counter.line)?.strip_prefix(' '));
            *count = times.and_then(|times| times.trim().parse().ok()).unwrap_or(0);
        }
    }
    counts
}

/// The share of the last ten seconds, in percent, in which somebody in it waited for memory.
pub(crate) fn pressure(cgroup: &Path) -> Option<f64> {
    let text = text(&cgroup.join("memory.pressure"))?;
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    some.split(' ').find_map(|field| field.strip_prefix("avg10=")?.parse().ok())
}

fn text(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(FILE_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_the_kernel_are_read_and_missing_ones_count_nothing() {
        let place = std::env::temp_dir().join(format!("sidewinder-strain-{}", std::process::id()));
        std::fs::create_dir(&place).expect("a directory");
        let write = |file: &str, text: &str| std::fs::write(place.join(file), text).expect("written");
        assert_eq!((counts(&place, [true; 3]), pressure(&place)), ([0, 0, 0], None));
        write("memory.events", "low 1\nhigh 22\nmax 3\noom 4\noom_kill 5\noom_group_kill 6\n");
        write("pids.events", "max 7\n");
        write(
            "memory.pressure",
            "some avg10=12.50 avg60=1.00 avg300=0.10 total=9\nfull avg10=2.00 avg60=0.00 avg300=0.00 total=1\n",
        );
        assert_eq!((counts(&place, [true; 3]), pressure(&place)), ([3, 22, 7], Some(12.5)));
        assert_eq!(counts(&place, [true, false, false]), [3, 0, 0]);
        write("memory.events", "high x\nmax\n");
        write("memory.pressure", "some avg10=much\n");
        assert_eq!((counts(&place, [true; 3]), pressure(&place)), ([0, 0, 7], None));
        std::fs::remove_dir_all(&place).expect("removed");
    }

    #[test]
    fn only_what_can_hold_somebody_back_is_looked_at() {
        let place = std::env::temp_dir().join(format!("sidewinder-bounds-{}", std::process::id()));
        let write = |file: &str, text: &str| std::fs::write(place.join(file), text).expect("written");
        std::fs::create_dir(&place).expect("a directory");
        write("cgroup.events", "populated 0\nfrozen 0\n");
        assert_eq!(bounds(&place), None, "they may come yet");
        write("cgroup.events", "populated 1\nfrozen 0\n");
        assert_eq!(bounds(&place), Some([false; 3]), "no controllers");
        write("memory.max", "1048576\n");
        write("memory.high", "max\n");
        assert_eq!(bounds(&place), Some([true, false, false]));
        // The bound of a cgroup above counts here as well.
        write("pids.max", "max\n");
        write("pids.events", "max 0\n");
        assert_eq!(bounds(&place), Some([true, false, true]));
        std::fs::remove_dir_all(&place).expect("removed");
    }
}
