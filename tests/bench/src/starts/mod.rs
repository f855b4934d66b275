//! Starts: from the start of the daemon's process until its workers are ready.
//!
//! Beside it stand as many workers that are started one after the other without a daemon, each greeted by a thread.

pub(crate) mod forks;

use crate::python::Worker;
use crate::rows::Rows;
use crate::rows::names;
use crate::served::Served;
use sidewinder_tests::arena::Arena;
use sidewinder_tests::figures::Figures;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// One round of every row about starts.
pub(crate) async fn round(arena: &Arena, binary: &Path, ours_first: bool, rows: &mut Rows) -> io::Result<()> {
    for (workers, all, middle) in names::STARTS {
        let (ours, beside) = if ours_first {
            let ours = daemon(arena, binary, workers).await?;
            (ours, without(arena, workers)?)
        } else {
            let beside = without(arena, workers)?;
            (daemon(arena, binary, workers).await?, beside)
        };
        rows.add(all, millis(ours.worst()), millis(beside.worst()));
        rows.add(middle, millis(ours.median()), millis(beside.median()));
    }
    Ok(())
}

async fn daemon(arena: &Arena, binary: &Path, workers: usize) -> io::Result<Figures> {
    let served = Served::daemon(arena, "ours", binary, workers).await?;
    let mut figures = Figures::default();
    for (_, at) in served.ready(workers).await? {
        figures.add(at.duration_since(served.begun).map_err(io::Error::other)?);
    }
    Ok(figures)
}

fn without(arena: &Arena, workers: usize) -> io::Result<Figures> {
    let begun = Instant::now();
    let mut figures = Figures::default();
    let mut lives = Vec::new();
    thread::scope(|scope| {
        let greet = |mut worker: Worker| worker.ready().map(|()| (begun.elapsed(), worker));
        let started: io::Result<Vec<_>> = (0..workers)
            .map(|_| Worker::start(arena).map(|worker| scope.spawn(move || greet(worker))))
            .collect();
        for greeted in started? {
            let (ready, worker) = greeted.join().map_err(|_| io::Error::other("a thread broke"))??;
            figures.add(ready);
            // As with the daemon, the ready ones live on while the others start.
            lives.push(worker);
        }
        Ok::<(), io::Error>(())
    })?;
    Ok(figures)
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}
