//! Figures of the whole daemon, beside a bare echo of the same run.
//!
//! ```text
//!   client (this process) ─┬─▶ sidewinder run ─▶ keeper ─▶ wardens ─▶ two workers
//!                          ├─▶ the bare echo (this program once more)
//!                          └─▶ a worker's own socket
//! ```
//!
//! Nothing here passes or fails by a time: who reads the table decides. The quick mode goes through everything once, so
//! that a test can see that every row comes about.

mod calls;
mod client;
mod counted;
mod driver;
mod load;
mod python;
mod report;
mod rows;
mod served;
mod soak;
mod starts;
mod weights;

use calls::plain::{self, Plain};
use calls::{Baselines, Effort, Sides};
use clap::Parser;
use python::Worker;
use report::{Machine, Report};
use rows::Rows;
use served::Served;
use sidewinder_tests::arena::Arena;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Figures of the whole daemon, beside a bare echo of the same run
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "flags without a value, each by itself")]
struct Options {
    /// Go through everything once: a few seconds, and figures that mean little
    #[arg(long)]
    quick: bool,
    /// Only calls: no starts, no memory
    #[arg(long)]
    calls: bool,
    /// Only what attached clients cost
    #[arg(long, conflicts_with = "calls")]
    attached: bool,
    /// Only what many workers and many clients cost
    #[arg(long, conflicts_with_all = ["calls", "attached"])]
    scale: bool,
    /// Only what fork servers are about
    #[arg(long, requires = "science", conflicts_with = "calls")]
    forks: bool,
    /// No figures: so many calls of every kind, and an error if anybody's memory or descriptors grow
    #[arg(long, value_name = "CALLS")]
    soak: Option<u64>,
    /// A Python with `NumPy` and pandas, for the rows about fork servers
    #[arg(long, value_name = "PYTHON")]
    science: Option<PathBuf>,
    /// Only calls, and another sidewinder instead of the bare echo: what did a change bring?
    #[arg(long, value_name = "BINARY")]
    against: Option<PathBuf>,
    /// Write the figures as JSON as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the page of the figures as well
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Be the bare echo on this socket
    #[arg(long, value_name = "SOCKET", hide = true)]
    bare: Option<PathBuf>,
    /// Be the bare echo through processes of Python on this socket
    #[arg(long, value_name = "SOCKET", hide = true, requires = "mirror")]
    floor: Option<PathBuf>,
    #[arg(long, value_name = "PYTHON", hide = true)]
    mirror: Option<PathBuf>,
    /// Be the plain socket that copies, on this path
    #[arg(long, value_name = "SOCKET", hide = true)]
    plain: Option<PathBuf>,
    /// Only so many calls through one part, to be counted by `instructions.py`
    #[arg(long, value_name = "PART", hide = true, requires = "times")]
    counted: Option<counted::Part>,
    #[arg(long, value_name = "CALLS", hide = true)]
    times: Option<u64>,
    /// Only the client, against the server on this socket: one line of JSON
    #[arg(long, value_name = "SOCKET", hide = true)]
    client: Option<PathBuf>,
    /// The same on tokio's multi-threaded runtime, as `#[tokio::main]` makes it
    #[arg(long, hide = true, requires = "client")]
    multi_thread: bool,
    #[command(flatten)]
    wish: driver::Wish,
}

/// How often each part is done.
#[derive(Clone, Copy, Debug)]
struct Plan {
    effort: Effort,
    calls: usize,
    starts: usize,
    forks: usize,
    weights: usize,
    attached: usize,
    scale: usize,
    /// How long each figure about scale is measured: there are many.
    scale_span: Duration,
    /// How long the daemon is watched with clients that only beat, and without: longer than they take between beats.
    idle: Duration,
    /// Calls that wait at once, below what the line of a pool takes.
    waiting: u32,
}

const FULL: Plan = Plan {
    effort: Effort { span: Duration::from_millis(700), items: 20_000 },
    calls: 9,
    starts: 3,
    forks: 3,
    weights: 3,
    attached: 3,
    scale: 7,
    scale_span: Duration::from_millis(250),
    idle: Duration::from_secs(10),
    waiting: 900,
};
const QUICK: Plan = Plan {
    effort: Effort { span: Duration::from_millis(100), items: 1_000 },
    calls: 1,
    starts: 1,
    forks: 1,
    weights: 1,
    attached: 1,
    scale: 1,
    scale_span: Duration::from_millis(50),
    idle: Duration::from_millis(2_500),
    waiting: 200,
};
/// Before the first round, so that nothing is measured for the first time.
const WARM_UP: Effort = Effort { span: Duration::from_millis(50), items: 500 };

/// For calls.
const WORKERS: usize = 2;

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(driven) = options.wish.drive() {
        return ending(driven.and_then(|seen| writeln!(io::stdout(), "{seen}")));
    }
    if let (Some(socket), Some(python)) = (&options.floor, &options.mirror) {
        return ending(served::bare::serve_mirrored(socket, python.as_os_str(), WORKERS));
    }
    ending(match (&options.bare, &options.plain, &options.client, options.counted) {
        (Some(socket), ..) => served::bare::serve(socket),
        (None, Some(socket), ..) => plain::serve(socket),
        (None, None, Some(socket), _) => beside(socket, options.multi_thread),
        (None, None, None, Some(part)) => counted::run(part, options.times.unwrap_or_default()),
        (None, None, None, None) => run(&options),
    })
}

fn ending(done: io::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn beside(socket: &Path, multi_thread: bool) -> io::Result<()> {
    writeln!(io::stdout(), "{}", client::run(socket, multi_thread)?)
}

fn run(options: &Options) -> io::Result<()> {
    let arena = Arena::prepare("bench")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if let Some(calls) = options.soak {
        return runtime.block_on(soak::run(&arena, calls));
    }
    let plan = if options.quick { QUICK } else { FULL };
    let rows = runtime.block_on(measure(&arena, options, plan))?;
    let machine = Machine::ask(arena.python())?;
    let report = Report { machine, quick: options.quick, rows: rows.finish() };
    if let Some(file) = &options.json {
        fs::write(file, serde_json::to_string_pretty(&report)?)?;
    }
    if let Some(file) = &options.write {
        fs::write(file, report.document())?;
    }
    write!(io::stdout(), "{}", report.table())
}

async fn measure(arena: &Arena, options: &Options, plan: Plan) -> io::Result<Rows> {
    let mut rows = Rows::beside(if options.against.is_some() { "the other" } else { "bare echo" });
    if options.forks {
        fork(arena, options, plan, &mut rows).await?;
        return Ok(rows);
    }
    if options.attached {
        attached(arena, plan, &mut rows).await?;
        return Ok(rows);
    }
    if options.scale {
        scale(arena, plan, &mut rows).await?;
        return Ok(rows);
    }
    call(arena, options.against.as_deref(), plan, &mut rows).await?;
    if options.calls || options.against.is_some() {
        return Ok(rows);
    }
    for round in 0..plan.starts {
        tell("starts", round, plan.starts);
        starts::round(arena, arena.binary(), round % 2 == 0, &mut rows).await?;
    }
    fork(arena, options, plan, &mut rows).await?;
    for round in 0..plan.weights {
        tell("memory", round, plan.weights);
        weights::round(arena, arena.binary(), plan.waiting, &mut rows).await?;
    }
    attached(arena, plan, &mut rows).await?;
    scale(arena, plan, &mut rows).await?;
    Ok(rows)
}

async fn scale(arena: &Arena, plan: Plan, rows: &mut Rows) -> io::Result<()> {
    tell("many workers and clients", 0, plan.scale);
    let sizes = calls::scale::Sizes::stand(arena, rows).await?;
    sizes.round(WARM_UP.span, true, &mut Rows::beside("")).await?;
    for round in 0..plan.scale {
        tell("many workers and clients", round, plan.scale);
        sizes.round(plan.scale_span, round % 2 == 0, rows).await?;
    }
    Ok(())
}

async fn fork(arena: &Arena, options: &Options, plan: Plan, rows: &mut Rows) -> io::Result<()> {
    let Some(python) = &options.science else { return Ok(()) };
    for round in 0..plan.forks {
        tell("fork servers", round, plan.forks);
        starts::forks::round(arena, arena.binary(), python, round % 2 == 0, rows).await?;
    }
    Ok(())
}

async fn attached(arena: &Arena, plan: Plan, rows: &mut Rows) -> io::Result<()> {
    {
        let served = Served::daemon(arena, "ours", arena.binary(), WORKERS).await?;
        served.ready(WORKERS).await?;
        calls::attached::calls(&served, WARM_UP.span, &mut Rows::beside("")).await?;
        for round in 0..plan.calls {
            tell("calls of an attached client", round, plan.calls);
            calls::attached::calls(&served, plan.effort.span, rows).await?;
        }
    }
    let served = Served::daemon(arena, "ours", arena.binary(), calls::attached::WORKERS).await?;
    served.ready(calls::attached::WORKERS).await?;
    for round in 0..plan.attached {
        tell("attached clients", round, plan.attached);
        calls::attached::idle(&served, plan.idle, round % 2 == 0, rows).await?;
        calls::attached::everybody(&served, plan.idle, rows).await?;
    }
    Ok(())
}

async fn call(arena: &Arena, against: Option<&Path>, plan: Plan, rows: &mut Rows) -> io::Result<()> {
    let ours = Served::daemon(arena, "ours", arena.binary(), WORKERS).await?;
    ours.ready(WORKERS).await?;
    let beside = match against {
        Some(binary) => Served::daemon(arena, "beside", binary, WORKERS).await?,
        None => Served::bare(arena).await?,
    };
    // What is said about a worker alone is said beside the bare echo.
    let mut baselines = Baselines::default();
    if against.is_some() {
        beside.ready(WORKERS).await?;
    } else {
        baselines.plain = Some(Plain::start(arena)?);
        baselines.worker.insert(Worker::start(arena)?).ready()?;
        baselines.floor = Some(Served::floor(arena).await?);
    }
    let sides = |ours_first| Sides { ours: &ours, beside: &beside, ours_first };
    calls::round(sides(true), &mut baselines, WARM_UP, &mut Rows::beside("")).await?;
    for round in 0..plan.calls {
        tell("calls", round, plan.calls);
        calls::round(sides(round % 2 == 0), &mut baselines, plan.effort, rows).await?;
    }
    Ok(())
}

/// A full run takes minutes: whoever waits sees that it goes on.
fn tell(what: &str, round: usize, rounds: usize) {
    let _ = writeln!(io::stderr(), "{what}: round {} of {rounds}", round + 1);
}
