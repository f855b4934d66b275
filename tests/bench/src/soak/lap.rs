//! One lap: so many calls, a few of every kind among them, and one worker that is killed.

use crate::calls::RAW;
use crate::load::{Ask, items};
use crate::served::{LOOK_EVERY, Served};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use sidewinder_proto::v1;
use sidewinder_proto::v1::calls_client::CallsClient;
use std::io;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::transport::Channel;

/// The worker in this slot lives through the whole soak; the one in the next is killed in each lap.
pub(super) const SPARED: u32 = 0;
const KILLED: u32 = 1;

const CALLERS: u64 = 16;
/// Of each hundred calls so many are no echo of ten bytes: there are as many of each kind below.
const OTHERS_PERCENT: u64 = 5;
const ITEMS: usize = 20;
const LARGE: usize = 300_000;
/// Calls that never end by themselves take a while each: a lap has no more of them.
const ENDLESS_MAX: u64 = 4;
/// How long whoever wants no answer any more waits for one.
const PATIENCE: Duration = Duration::from_millis(20);
/// For a worker in the place of a killed one.
const REPLACED_WITHIN: Duration = Duration::from_mins(1);

type Calls = CallsClient<Channel>;

/// Makes so many calls, and says how many there were in the end.
pub(super) async fn run(served: &Served, calls: u64) -> io::Result<u64> {
    let each = calls * OTHERS_PERCENT / 100 / 5;
    let mut done = echoes(served, calls - each * 5).await?;
    let large = vec![7; LARGE];
    for number in 0..each {
        let mut calls = served.calls();
        items(calls.clone(), ITEMS).await?;
        answered(&mut calls, Ask::raw("echo", &large).request()).await?;
        refused(&mut calls, wrong(number)).await?;
        answered(&mut calls, keyed(number)).await?;
        answered(&mut served.caller().await?, RAW.request()).await?;
        done += 5;
    }
    for _ in 0..each.min(ENDLESS_MAX) {
        let mut late = tonic::Request::new(wait());
        late.set_timeout(PATIENCE);
        served.calls().call(late).await.err().ok_or_else(|| io::Error::other("an endless call has ended"))?;
        // Dropped in the middle, it is a hang-up.
        let hung_up = timeout(PATIENCE, served.calls().call(wait())).await;
        hung_up.err().ok_or_else(|| io::Error::other("an endless call has ended"))?;
        done += 2;
    }
    replace(served).await?;
    Ok(done)
}

async fn echoes(served: &Served, calls: u64) -> io::Result<u64> {
    let mut callers: JoinSet<io::Result<()>> = JoinSet::new();
    for _ in 0..CALLERS {
        let mut client = served.calls();
        callers.spawn(async move {
            for _ in 0..calls / CALLERS {
                answered(&mut client, RAW.request()).await?;
            }
            Ok(())
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.map_err(io::Error::other)??;
    }
    Ok(calls / CALLERS * CALLERS)
}

async fn answered(calls: &mut Calls, request: v1::CallRequest) -> io::Result<()> {
    let expected = request.arguments.as_ref().map_or(0, |arguments| arguments.data.len());
    let answer = calls.call(request).await.map_err(io::Error::other)?.into_inner();
    let length = answer.value.map_or(0, |value| value.data.len());
    if length == expected {
        return Ok(());
    }
    Err(io::Error::other(format!("{length} bytes came back instead of {expected}")))
}

async fn refused(calls: &mut Calls, request: v1::CallRequest) -> io::Result<()> {
    match calls.call(request).await {
        Err(_) => Ok(()),
        Ok(answer) => Err(io::Error::other(format!("a wrong call was answered: {answer:?}"))),
    }
}

/// What raises, and what is rejected, in turn.
fn wrong(number: u64) -> v1::CallRequest {
    let (tool, body) = if number.is_multiple_of(2) {
        ("add", br#"{"a": 1, "b": null}"#.as_slice())
    } else {
        ("nothing", b"{}".as_slice())
    };
    Ask { tool, content_type: "application/json", body }.request()
}

/// With a key of its own, which is kept for a while.
fn keyed(number: u64) -> v1::CallRequest {
    let mut request = RAW.request();
    if let Some(call) = &mut request.call {
        call.idempotency_key = format!("{number} of {:?}", Instant::now());
    }
    request
}

fn wait() -> v1::CallRequest {
    Ask::raw("wait", b"").request()
}

/// Kills a worker, and waits for the next one.
async fn replace(served: &Served) -> io::Result<()> {
    let pid = async || -> io::Result<Option<u32>> {
        let answer = served.pools().list_workers(v1::ListWorkersRequest::default()).await;
        let workers = answer.map_err(io::Error::other)?.into_inner().workers;
        let mut running = workers.into_iter().filter(|worker| worker.state() == v1::State::Running);
        Ok(running.find(|worker| worker.slot == KILLED).map(|worker| worker.pid))
    };
    let until = Instant::now() + REPLACED_WITHIN;
    let mut killed = None;
    while Instant::now() < until {
        match (pid().await?, killed) {
            (Some(pid), None) => {
                let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
                let pidfd = pidfd_open(raw, PidfdFlags::empty())?;
                pidfd_send_signal(&pidfd, Signal::KILL)?;
                killed = Some(pid);
            }
            (Some(pid), Some(killed)) if pid != killed => return Ok(()),
            (Some(_) | None, _) => tokio::time::sleep(LOOK_EVERY * 10).await,
        }
    }
    Err(io::Error::other("the killed worker was not replaced"))
}
