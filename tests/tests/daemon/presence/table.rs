//! What the end of a client means, as a table: each mode with each event, and what became of calls, workers and daemon.
//!
//! The scenes look and write rows; whether a row is as it should be is decided when the whole table has been printed.

mod cut;
mod scenes;
mod stage;

use super::GENEROUS;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const MODES: [&str; 4] = ["coupled", "supervised", "independent", "distributed"];

/// Worker processes are dead, and standstills seen, within this.
const K: Duration = Duration::from_millis(250);

/// What was seen, and what should have been.
struct Cell {
    seen: String,
    expected: String,
}

impl Cell {
    fn of(seen: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { seen: seen.into(), expected: expected.into() }
    }

    fn holds(&self) -> bool {
        self.seen == self.expected
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.holds() {
            out.pad(&self.seen)
        } else {
            out.pad(&format!("{} INSTEAD OF {}", self.seen, self.expected))
        }
    }
}

/// When something is to happen.
#[derive(Clone, Copy)]
struct Promise {
    at: Duration,
    /// So much earlier is right as well: a beat that was heard before the event began.
    early: Duration,
    late: Duration,
}

impl Promise {
    fn within(late: Duration) -> Self {
        Self { at: Duration::ZERO, early: Duration::ZERO, late }
    }

    fn holds(&self, took: Duration) -> bool {
        // Clocks of two processes are compared by messages: a hundredth of a second is no evidence.
        let hair = Duration::from_millis(10);
        took + self.early + hair >= self.at && took <= self.at + GENEROUS * self.late
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match (self.at, self.early) {
            (Duration::ZERO, _) => format!("≤ {:?}", self.late),
            (at, Duration::ZERO) => format!("{at:?} + {:?}", self.late),
            (at, early) => format!("{at:?} − {early:.0?} + {:?}", self.late),
        };
        out.pad(&text)
    }
}

struct Row {
    mode: &'static str,
    event: &'static str,
    calls: Cell,
    workers: Cell,
    daemon: Cell,
    took: Duration,
    promised: Promise,
}

impl Row {
    fn holds(&self) -> bool {
        let cells = [&self.calls, &self.workers, &self.daemon];
        cells.iter().all(|cell| cell.holds()) && self.promised.holds(self.took)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode, event, calls, workers, daemon, took, promised } = self;
        let took = format!("{:.1} ms", took.as_secs_f64() * 1e3);
        let verdict = match (self.holds(), self.took > promised.at + promised.late) {
            (false, _) => "  NOT SO",
            (true, true) => "  late, but let pass",
            (true, false) => "",
        };
        write!(
            out,
            "{mode:<11}  {event:<32}  {calls:<31}  {workers:<10}  {daemon:<23}  {took:>9}  {promised}{verdict}"
        )
    }
}

/// Prints all rows, and only then minds.
fn judge(rows: &[Row]) {
    println!(
        "{:<11}  {:<32}  {:<31}  {:<10}  {:<23}  {:>9}  promised",
        "mode", "event", "calls: default, cancel, finish", "workers", "daemon", "took"
    );
    for row in rows {
        println!("{row}");
    }
    println!("Here {GENEROUS} times the promised delay is let pass, because the machine is shared.");
    let wrong = rows.iter().filter(|row| !row.holds()).count();
    assert!(wrong == 0, "{wrong} of {} rows are not so", rows.len());
}

#[test]
fn what_the_end_of_a_client_means_in_each_mode() {
    let rows = Mutex::new(Vec::new());
    let lock = || rows.lock().unwrap_or_else(PoisonError::into_inner);
    let broken: Vec<_> = std::thread::scope(|scope| {
        let begin = |mode| (mode, scope.spawn(move || scenes::all(mode, &mut |row| lock().push(row))));
        let threads: Vec<_> = MODES.map(begin).into();
        threads.into_iter().filter_map(|(mode, thread)| thread.join().err().map(|_| mode)).collect()
    });
    let mut rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
    rows.sort_by_key(|row: &Row| MODES.iter().position(|mode| *mode == row.mode));
    judge(&rows);
    assert!(broken.is_empty(), "not tried to the end in {broken:?}");
}

#[test]
fn what_a_cut_of_the_network_means_in_each_mode() {
    if cut::is_inside() {
        judge(&cut::all());
    } else {
        cut::run_inside("presence::table::what_a_cut_of_the_network_means_in_each_mode");
    }
}
