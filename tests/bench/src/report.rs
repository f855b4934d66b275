//! What is printed: a table for a terminal, the same for a document, and JSON for programs.

use crate::rows::Row;
use rustix::system::uname;
use serde::Serialize;
use std::fmt::Write as _;
use std::io;
use std::process::Command;
use std::thread::available_parallelism;

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) quick: bool,
    pub(crate) rows: Vec<Row>,
}

/// Where it was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    date: String,
    processors: usize,
    kernel: String,
    python: String,
    sidewinder: String,
}

impl Machine {
    /// Asks the machine.
    pub(crate) fn ask(python: &std::ffi::OsStr) -> io::Result<Self> {
        let kernel = uname().release().to_string_lossy().into_owned();
        let says = |command: &mut Command| -> io::Result<String> {
            let output = command.output()?;
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        Ok(Self {
            date: says(Command::new("date").arg("+%F"))?,
            processors: available_parallelism()?.get(),
            kernel: kernel.split('.').take(2).collect::<Vec<_>>().join("."),
            python: says(
                Command::new(python).args(["-c", "import platform; print(platform.python_version())"]),
            )?,
            sidewinder: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }

    fn sentence(&self) -> String {
        let Self { date, processors, kernel, python, sidewinder } = self;
        format!(
            "Measured {date} on {processors} shared processors, Linux {kernel}, Python {python}, sidewinder {sidewinder}."
        )
    }
}

/// How to read the table, and how it came about.
const METHOD: &[&str] = &[
    "Every round measures the daemon and what stands beside it within the same second, the order changing from round to \
     round. A figure is the middle of its rounds, a ratio the middle of the ratios of the rounds, with the lowest and \
     the highest of them. The processors are shared with others: the ratios say more than the times.",
    "The bare echo is tonic as it comes, with the same contract and nothing behind it, in a process of its own. The client \
     is the same for both: one thread, one connection over a unix socket. The daemon has two workers, and a small body \
     has ten bytes.",
    "The floor is the bare echo with two processes of Python behind it, which give back what comes and know nothing \
     else: no protocol, no deadline, no cancel, nobody who notices a death. No sidecar of tonic and Python can do less for a \
     call, so what the floor is beside the bare echo is out of reach, and what the daemon is beside the floor is what its \
     promises cost.",
    "The plain socket is the least that a large body costs: a process takes in the whole of it, into memory that it has \
     kept, and writes it back. Neither it nor its client makes a message of it, or of anything else.",
    "A worker's own socket is the same call to the same runtime without a daemon: what the whole sidecar adds is the \
     difference to it. A call goes through a server of gRPC and through a worker, one after the other: what both take \
     together is the least that it takes with these two. Workers without a daemon are started one after the other from an installed package, whose modules have been \
     compiled before.",
    "With a fork server a pool imports once and forks its workers; beside it stands the same pool in which each worker \
     imports for itself. Pages of its own are those that nobody else has: the rest is shared with the fork server, of \
     whose start the row *once the fork server stands* knows nothing. A killed worker is the only one of its pool, and \
     the time is from the kill to the next answer, as a caller sees it.",
    "An attached client beats and names its lease in each call; beside it the same client makes the same calls without, \
     in turn, call by call. A call that goes on if its client is lost, as is usual in this mode, has a task of its own. \
     The hundred clients have a connection each and beat when it asks them to, at its usual interval of 2 s; \
     what is shown is the processor time of the daemon alone, in ten seconds with them and ten without.",
    "At the end the daemons of every size stand at the same time, with forked workers, and each of them is measured in turn \
     and beside the smallest: what a call costs among many workers or clients should be what it costs among few. The one \
     caller has a connection of its own. Processor time is that of the daemon alone, while 32 callers call, or all of the \
     clients, each over its own connection. Less than 1 is no wonder there: who is woken for many calls at once is woken \
     less often.",
];

impl Report {
    /// For a terminal.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        let head = ["", "sidewinder", "beside it", "", "ratio", "lowest – highest"].map(str::to_owned);
        for [name, ours, beside, what, ratio, spread] in std::iter::once(head).chain(self.cells()) {
            let _ = writeln!(text, "{name:<42} {ours:>16} {beside:>16}  {what:<24} {ratio:>7}  {spread}");
        }
        let _ = writeln!(text, "\n{}", self.machine.sentence());
        text
    }

    /// For `docs/bench.md`.
    pub(crate) fn document(&self) -> String {
        let mut text = String::from("# What a call costs\n\n");
        let _ = writeln!(text, "{} By `make bench`, which writes this page.\n", self.machine.sentence());
        text.push_str(
            "| | sidewinder | beside it | | ratio | lowest – highest |\n|---|---:|---:|---|---:|---|\n",
        );
        for cells in self.cells() {
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        for paragraph in METHOD {
            let _ = writeln!(text, "\n{paragraph}");
        }
        text
    }

    fn cells(&self) -> impl Iterator<Item = [String; 6]> {
        self.rows.iter().map(|row| {
            let with_unit = |value| format!("{} {}", number(value), row.unit);
            let spread = row.ratio_lowest.zip(row.ratio_highest);
            [
                row.name.to_owned(),
                with_unit(row.sidewinder),
                row.beside.map(with_unit).unwrap_or_default(),
                row.beside_what.unwrap_or_default().to_owned(),
                row.ratio.map(|ratio| format!("{ratio:.2} ×")).unwrap_or_default(),
                spread.map(|(low, high)| format!("{low:.2} – {high:.2}")).unwrap_or_default(),
            ]
        })
    }
}

/// Three digits that matter.
fn number(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
