//! Scale: what a call costs where there are many workers, or many clients.
//!
//! ```text
//!   1, 10, 100 and 500 workers, a daemon each ─┐ one caller, and 32 at once
//!   1, 32 and 1,000 clients,    a daemon each ─┘ one caller while the others are connected, and all of them at once
//! ```
//!
//! All of these daemons stand at the same time, so each figure meets the same machine as the smallest of its kind, which
//! it is compared with. Nothing on the way of a call may look at every worker or every client, so nothing may grow.
//! Workers are forked, because hundreds of them are wanted within seconds.

use super::{RAW, count, micros};
use crate::load::{all, alone};
use crate::rows::names;
use crate::rows::{Name, Rows};
use crate::served::Served;
use crate::weights;
use sidewinder_proto::v1::calls_client::CallsClient;
use sidewinder_tests::arena::Arena;
use std::io;
use std::time::Duration;
use tonic::transport::Channel;

/// Callers at once, where their number is not what is asked about.
const CALLERS: usize = 32;
/// Workers, where their number is not what is asked about.
const WORKERS: usize = 2;
/// Connections beside those of the clients: one asks whether workers are ready, and is the one caller.
const SPARE_CONNECTIONS: usize = 8;

/// Hundreds of interpreters on few processors take their time.
const PATIENCE: (&str, &str) = ("SIDEWINDER_POOL_RESTART_START_TIMEOUT", "2m");
const CONNECTIONS: &str = "SIDEWINDER_LIMITS_CONNECTIONS";

/// Every daemon, the smallest of its kind first.
pub(crate) struct Sizes {
    workers: Vec<Served>,
    clients: Vec<(Served, Vec<CallsClient<Channel>>)>,
}

/// What is measured of each: one caller's median, and the daemon's processor time for each of many calls at once.
type Costs = (f64, f64);

impl Sizes {
    /// Starts all of them, and notes what the daemon holds for each worker and for each client.
    pub(crate) async fn stand(arena: &Arena, rows: &mut Rows) -> io::Result<Self> {
        let (mut workers, mut clients) = (Vec::new(), Vec::new());
        for number in names::CROWDS {
            workers.push(stands(arena, &format!("workers-{number}"), number, 1).await?);
        }
        for (served, number) in workers.iter().zip(names::CROWDS) {
            served.ready(number).await?;
        }
        let held = |served: Option<&Served>| weights::resident(served.map_or(0, Served::pid));
        let more = held(workers.last())? - held(workers.first())?;
        rows.add_alone(names::WORKER_PART, more / count(names::CROWDS[3] - names::CROWDS[0]));
        for number in names::CLIENTS {
            let served = stands(arena, &format!("clients-{number}"), WORKERS, number).await?;
            served.ready(WORKERS).await?;
            let before = weights::resident(served.pid())?;
            let connected = connect(&served, number).await?;
            if number == names::CLIENTS[2] {
                rows.add_alone(
                    names::CLIENT_PART,
                    (weights::resident(served.pid())? - before) / count(number),
                );
            }
            clients.push((served, connected));
        }
        Ok(Self { workers, clients })
    }

    /// One round of every row about scale, the smallest first or last.
    pub(crate) async fn round(
        &self,
        span: Duration,
        smallest_first: bool,
        rows: &mut Rows,
    ) -> io::Result<()> {
        let mut workers = Vec::new();
        for served in in_order(&self.workers, smallest_first) {
            let calls = vec![served.calls(); CALLERS];
            workers.push(costs(served, &calls, span).await?);
        }
        let mut clients = Vec::new();
        for (served, connected) in in_order(&self.clients, smallest_first) {
            clients.push(costs(served, connected, span).await?);
        }
        for (mut figures, names) in
            [(workers, names::AMONG_WORKERS.as_slice()), (clients, &names::AMONG_CLIENTS)]
        {
            if !smallest_first {
                figures.reverse();
            }
            compare(&figures, names, rows);
        }
        Ok(())
    }
}

/// A daemon that takes so many clients, with so many workers on their way.
async fn stands(arena: &Arena, name: &str, workers: usize, clients: usize) -> io::Result<Served> {
    let connections = (clients + SPARE_CONNECTIONS).to_string();
    let workers = workers.to_string();
    let arguments = ["--tools", "echoes", "--workers", &workers, "--fork-server"];
    Served::pool(arena, name, arena.binary(), &arguments, &[PATIENCE, (CONNECTIONS, &connections)]).await
}

/// So many clients, each with a connection of its own and one call behind it.
async fn connect(served: &Served, clients: usize) -> io::Result<Vec<CallsClient<Channel>>> {
    let mut connected = Vec::new();
    for _ in 0..clients {
        let mut calls = served.caller().await?;
        calls.call(RAW.request()).await.map_err(io::Error::other)?;
        connected.push(calls);
    }
    Ok(connected)
}

fn in_order<T>(sizes: &[T], smallest_first: bool) -> Box<dyn Iterator<Item = &T> + '_> {
    if smallest_first { Box::new(sizes.iter()) } else { Box::new(sizes.iter().rev()) }
}

async fn costs(served: &Served, crowd: &[CallsClient<Channel>], span: Duration) -> io::Result<Costs> {
    let one = alone(served.calls(), RAW, span).await?.median();
    let before = served.processor_time()?;
    let done = all(crowd, RAW, span).await?;
    let spent = served.processor_time()?.saturating_sub(before);
    Ok((micros(one), micros(spent) / count(done.calls)))
}

/// Each beside the smallest.
fn compare(figures: &[Costs], names: &[(Name, Name)], rows: &mut Rows) {
    let Some(((least, least_time), larger)) = figures.split_first() else { return };
    for ((one, time), (of_one, of_time)) in larger.iter().zip(names) {
        rows.add(*of_one, *one, *least);
        rows.add(*of_time, *time, *least_time);
    }
}
