//! Fork servers: a hundred workers with `NumPy`, what each of them weighs, and how soon a killed one is replaced.
//!
//! Beside them stands the same daemon with the same tools, where each worker imports for itself. `NumPy` and pandas are
//! the measurer's own: without a Python that has them there are no such rows.

use crate::load::Ask;
use crate::rows::names;
use crate::rows::{Name, Rows};
use crate::served::{LOOK_EVERY, Served};
use crate::weights;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use sidewinder_proto::v1;
use sidewinder_tests::arena::Arena;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// Not the daemon's default, because a hundred interpreters that import at once take their time.
const PATIENCE: &str = "SIDEWINDER_POOL_RESTART_START_TIMEOUT";
const START_TIMEOUT: &str = "2m";

/// How many the names of the rows speak of.
const WORKERS: usize = 100;

/// One side: forked, or not.
#[derive(Clone, Copy, Debug)]
struct Side<'a> {
    arena: &'a Arena,
    binary: &'a Path,
    python: &'a Path,
    forked: bool,
}

/// What there was to see of one side.
#[derive(Clone, Copy, Debug)]
struct Crowd {
    all: Duration,
    /// Since the fork server stood.
    after: Option<Duration>,
    own: Option<f64>,
    proportional: Option<f64>,
    warden: Option<f64>,
}

/// One round of every row about fork servers.
pub(crate) async fn round(
    arena: &Arena,
    binary: &Path,
    python: &Path,
    ours_first: bool,
    rows: &mut Rows,
) -> io::Result<()> {
    let side = |forked| Side { arena, binary, python, forked };
    let (forked, cold) = if ours_first {
        let forked = side(true).crowd(WORKERS).await?;
        (forked, side(false).crowd(WORKERS).await?)
    } else {
        let cold = side(false).crowd(WORKERS).await?;
        (side(true).crowd(WORKERS).await?, cold)
    };
    rows.add(names::FORKED, millis(forked.all), millis(cold.all));
    if let Some(after) = forked.after {
        rows.add(names::FORKED_AFTER, millis(after), millis(cold.all));
    }
    let weights = [
        (names::FORKED_OWN, forked.own, cold.own),
        (names::FORKED_PSS, forked.proportional, cold.proportional),
        (names::FORKED_WARDEN, forked.warden, cold.warden),
    ];
    for (name, forked, cold) in weights {
        if let (Some(forked), Some(cold)) = (forked, cold) {
            rows.add(name, forked, cold);
        }
    }
    let replaced: [(Name, &str); 2] = [(names::REPLACED_NUMPY, "arrays"), (names::REPLACED_PANDAS, "tables")];
    for (name, tools) in replaced {
        let forked = side(true).replaced(tools).await?;
        rows.add(name, millis(forked), millis(side(false).replaced(tools).await?));
    }
    Ok(())
}

impl Side<'_> {
    async fn start(self, tools: &str, workers: usize) -> io::Result<Served> {
        let count = workers.to_string();
        let python = self.python.to_string_lossy();
        let mut arguments = vec!["--tools", tools, "--workers", &count, "--python", &python];
        if self.forked {
            arguments.push("--fork-server");
        }
        Served::pool(self.arena, "ours", self.binary, &arguments, &[(PATIENCE, START_TIMEOUT)]).await
    }

    async fn crowd(self, workers: usize) -> io::Result<Crowd> {
        let served = self.start("arrays", workers).await?;
        let stands = if self.forked { Some(stands(&served).await?) } else { None };
        let ready = served.ready(workers).await?;
        let last = ready.iter().map(|(_, at)| *at).max().unwrap_or(served.begun);
        let since = |begun: SystemTime| last.duration_since(begun).map_err(io::Error::other);
        let pids: Vec<u32> = ready.iter().map(|(worker, _)| worker.pid).collect();
        let (mut lives, mut wardens) = (Vec::new(), Vec::new());
        for pid in pids {
            lives.push(weights::weigh(pid)?);
            wardens.push(weights::weigh(weights::parent(pid)?)?);
        }
        let (life, warden) = (weights::mean(&lives), weights::mean(&wardens));
        let mebibytes = |kib: Option<f64>| kib.map(|kib| kib / weights::KIB_OF_MIB);
        Ok(Crowd {
            all: since(served.begun)?,
            after: stands.map(since).transpose()?,
            own: mebibytes(life.own),
            proportional: mebibytes(life.proportional),
            warden: mebibytes(warden.own),
        })
    }

    /// From the kill of the only worker to the next answer.
    async fn replaced(self, tools: &str) -> io::Result<Duration> {
        let served = self.start(tools, 1).await?;
        let worker = served.ready(1).await?.remove(0).0;
        let ask = || Ask::raw("sum", b"");
        // One that has served is followed at once: a death without any service could be that of the next, too.
        served.calls().call(ask().request()).await.map_err(io::Error::other)?;
        let pid = i32::try_from(worker.pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        let killed = Instant::now();
        pidfd_send_signal(&pidfd, Signal::KILL)?;
        loop {
            // The first may still be given to the one that dies.
            if served.calls().call(ask().request()).await.is_ok() {
                return Ok(killed.elapsed());
            }
        }
    }
}

/// Waits until the fork server stands, and says when it was first seen so.
async fn stands(served: &Served) -> io::Result<SystemTime> {
    loop {
        let answer = served.pools().list_pools(v1::ListPoolsRequest::default()).await;
        let pools = answer.map_err(io::Error::other)?.into_inner().pools;
        match pools.first().map(|pool| pool.fork_server.as_str()) {
            Some("ready") => return Ok(SystemTime::now()),
            Some("importing") => tokio::time::sleep(LOOK_EVERY).await,
            Some(why) => return Err(io::Error::other(format!("no fork server: {why}"))),
            None => return Err(io::Error::other("no pool")),
        }
    }
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}
