//! Weights: what everybody holds in memory, and what one more waiting call adds.
//!
//! Both servers are fresh and have answered one call. *Resident* counts shared pages whole, *proportional* by share.

use crate::load::Ask;
use crate::rows::names;
use crate::rows::{Name, Rows};
use crate::served::{LOOK_EVERY, Served};
use sidewinder_proto::v1;
use sidewinder_tests::arena::Arena;
use sidewinder_tests::procfs;
use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tokio::task::JoinSet;

const WORKERS: usize = 10;
pub(crate) const KIB_OF_MIB: f64 = 1024.0;

/// KiB of one process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weight {
    resident: f64,
    /// Absent where the kernel does not let this user look.
    pub(crate) proportional: Option<f64>,
    /// Pages that nobody else has.
    pub(crate) own: Option<f64>,
}

/// One round of every row about memory, with so many calls at once.
pub(crate) async fn round(arena: &Arena, binary: &Path, calls: u32, rows: &mut Rows) -> io::Result<()> {
    let bare = Served::bare(arena).await?;
    let ours = Served::daemon(arena, "ours", binary, WORKERS).await?;
    let workers = ours.ready(WORKERS).await?;
    for served in [&bare, &ours] {
        let request = Ask::raw("echo", b"0123456789").request();
        served.calls().call(request).await.map_err(io::Error::other)?;
    }
    let (daemon, echo) = (weigh(ours.pid())?, weigh(bare.pid())?);
    add(rows, [names::DAEMON_RSS, names::DAEMON_PSS], daemon, echo);
    everybody(arena, &workers.into_iter().map(|(worker, _)| worker.pid).collect::<Vec<_>>(), rows)?;

    let (_held, _beside) = (pile_up(&ours, calls).await?, pile_up(&bare, calls).await?);
    let each =
        |before: Weight, pid| Ok::<_, io::Error>((weigh(pid)?.resident - before.resident) / f64::from(calls));
    rows.add(names::WAITING, each(daemon, ours.pid())?, each(echo, bare.pid())?);
    Ok(())
}

/// Keeper, wardens and workers.
fn everybody(arena: &Arena, workers: &[u32], rows: &mut Rows) -> io::Result<()> {
    let python = Idle::start(arena)?;
    let [mut wardens, mut lives] = [Vec::new(), Vec::new()];
    let mut keeper = 0;
    for worker in workers {
        let warden = parent(*worker)?;
        keeper = parent(warden)?;
        wardens.push(weigh(warden)?);
        lives.push(weigh(*worker)?);
    }
    rows.add_alone(names::KEEPER_RSS, weigh(keeper)?.resident / KIB_OF_MIB);
    rows.add_alone(names::WARDEN_RSS, mean(&wardens).resident / KIB_OF_MIB);
    add(rows, [names::WORKER_RSS, names::WORKER_PSS], mean(&lives), weigh(python.0.id())?);
    Ok(())
}

fn add(rows: &mut Rows, [resident, proportional]: [Name; 2], ours: Weight, beside: Weight) {
    rows.add(resident, ours.resident / KIB_OF_MIB, beside.resident / KIB_OF_MIB);
    if let (Some(ours), Some(beside)) = (ours.proportional, beside.proportional) {
        rows.add(proportional, ours / KIB_OF_MIB, beside / KIB_OF_MIB);
    }
}

/// Makes calls that are not answered, and waits until the server has all of them.
async fn pile_up(served: &Served, calls: u32) -> io::Result<JoinSet<()>> {
    let mut held = JoinSet::new();
    for _ in 0..calls {
        let mut client = served.calls();
        held.spawn(async move {
            // There is no answer; the end of the server is the end of this.
            let _ = client.call(Ask::raw("wait", b"").request()).await;
        });
    }
    while there(served).await? < u64::from(calls) {
        tokio::time::sleep(LOOK_EVERY * 10).await;
    }
    Ok(held)
}

/// Calls that the server has. The daemon is asked for its pools, which the baseline does not have.
async fn there(served: &Served) -> io::Result<u64> {
    if let Ok(answer) = served.pools().list_pools(v1::ListPoolsRequest::default()).await {
        return Ok(answer.into_inner().pools.iter().map(|pool| pool.waiting + pool.running).sum());
    }
    let answer = served.calls().call(Ask::raw("waiting", b"").request()).await.map_err(io::Error::other)?;
    let value = answer.into_inner().value.unwrap_or_default();
    String::from_utf8_lossy(&value.data).parse().map_err(io::Error::other)
}

/// An interpreter that has nothing to do.
struct Idle(Child);

impl Idle {
    fn start(arena: &Arena) -> io::Result<Self> {
        let mut command = Command::new(arena.python());
        command.args(["-c", "print(flush=True); input()"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut idle = Self(command.spawn()?);
        // Its line says that it is up.
        let said = idle.0.stdout.as_mut().map(|out| out.read_exact(&mut [0]));
        said.unwrap_or_else(|| Err(io::ErrorKind::BrokenPipe.into()))?;
        Ok(idle)
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn parent(pid: u32) -> io::Result<u32> {
    let entry = i32::try_from(pid).ok().and_then(procfs::entry);
    let parent = entry.and_then(|entry| u32::try_from(entry.parent).ok());
    parent.ok_or_else(|| io::Error::other(format!("process {pid} is gone")))
}

pub(crate) fn weigh(pid: u32) -> io::Result<Weight> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let resident =
        kib(&status, "VmRSS:").ok_or_else(|| io::Error::other(format!("process {pid} is gone")))?;
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let own = || Some(kib(&rollup, "Private_Clean:")? + kib(&rollup, "Private_Dirty:")?);
    Ok(Weight { resident, proportional: kib(&rollup, "Pss:"), own: own() })
}

/// Resident KiB of one process.
pub(crate) fn resident(pid: u32) -> io::Result<f64> {
    Ok(weigh(pid)?.resident)
}

fn kib(text: &str, field: &str) -> Option<f64> {
    let value = text.lines().find_map(|line| line.strip_prefix(field))?;
    value.trim().strip_suffix("kB")?.trim().parse().ok()
}

pub(crate) fn mean(weights: &[Weight]) -> Weight {
    let count = f64::from(u32::try_from(weights.len()).unwrap_or(u32::MAX));
    let proportional = weights.iter().map(|weight| weight.proportional).sum::<Option<f64>>();
    let own = weights.iter().map(|weight| weight.own).sum::<Option<f64>>();
    Weight {
        resident: weights.iter().map(|weight| weight.resident).sum::<f64>() / count,
        proportional: proportional.map(|sum| sum / count),
        own: own.map(|sum| sum / count),
    }
}
