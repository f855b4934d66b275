//! How hard the limits of a cgroup press on what is in it, as the kernel counts it.
//!
//! What is not there is not counted: a machine without controllers has no `memory.events`, one without PSI no
//! `memory.pressure`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// These files have a few lines.
const FILE_MAX: u64 = 4096;
/// A limit, its file, and the line that counts how often somebody was held back at it.
const COUNTERS: [(&str, &str, &str); LIMITS] = [
    ("memory", "memory.events", "max"),
    ("memory-high", "memory.events", "high"),
    ("pids", "pids.events", "max"),
];
const LIMITS: usize = 3;

/// How often somebody was held back, for each limit.
pub(crate) type Counts = [u64; LIMITS];

/// The names of the limits, as the settings have them.
pub(crate) fn limits() -> [&'static str; LIMITS] {
    COUNTERS.map(|(limit, ..)| limit)
}

/// The cgroup of one worker, by its number at the keeper.
pub(crate) fn of_worker(keeper: &Path, number: u32) -> PathBuf {
    keeper.join(format!("w{number}"))
}

/// How often anybody in this cgroup was held back.
pub(crate) fn counts(cgroup: &Path) -> Counts {
    COUNTERS.map(|(_, file, line)| {
        let text = text(&cgroup.join(file)).unwrap_or_default();
        let count = text.lines().find_map(|one| one.strip_prefix(line)?.strip_prefix(' '));
        count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    })
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
        assert_eq!((counts(&place), pressure(&place)), ([0, 0, 0], None));
        let write = |file: &str, text: &str| std::fs::write(place.join(file), text).expect("written");
        write("memory.events", "low 1\nhigh 22\nmax 3\noom 4\noom_kill 5\noom_group_kill 6\n");
        write("pids.events", "max 7\n");
        write(
            "memory.pressure",
            "some avg10=12.50 avg60=1.00 avg300=0.10 total=9\nfull avg10=2.00 avg60=0.00 avg300=0.00 total=1\n",
        );
        assert_eq!((counts(&place), pressure(&place)), ([3, 22, 7], Some(12.5)));
        write("memory.events", "high x\nmax\n");
        write("memory.pressure", "some avg10=much\n");
        assert_eq!((counts(&place), pressure(&place)), ([0, 0, 7], None));
        std::fs::remove_dir_all(&place).expect("removed");
    }
}
