//! Calls: how long one takes, how many there are in a second, items, large bodies.

pub(crate) mod attached;

use crate::load::{Ask, alone, items, together};
use crate::python::Worker;
use crate::rows::names;
use crate::rows::{Name, Rows};
use crate::served::Served;
use sidewinder_tests::figures::Figures;
use std::io;
use std::time::{Duration, Instant};

pub(crate) const RAW: Ask<'static> =
    Ask { tool: "echo", content_type: "application/octet-stream", body: b"0123456789" };
const JSON: Ask<'static> = Ask { tool: "add", content_type: "application/json", body: b"{\"a\":1,\"b\":2}" };
const MIB: usize = 1024 * 1024;

/// How much is done in a round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// How long each figure is measured.
    pub(crate) span: Duration,
    /// Items of a stream.
    pub(crate) items: usize,
}

/// Both servers, in the order of this round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sides<'a> {
    pub(crate) ours: &'a Served,
    pub(crate) beside: &'a Served,
    pub(crate) ours_first: bool,
}

impl Sides<'_> {
    /// Measures both; the daemon's figure comes first.
    async fn each<T>(&self, measure: impl AsyncFn(&Served) -> io::Result<T>) -> io::Result<(T, T)> {
        if self.ours_first {
            let ours = measure(self.ours).await?;
            Ok((ours, measure(self.beside).await?))
        } else {
            let beside = measure(self.beside).await?;
            Ok((measure(self.ours).await?, beside))
        }
    }
}

/// One round of every row about calls.
pub(crate) async fn round(
    sides: Sides<'_>,
    worker: Option<&mut Worker>,
    effort: Effort,
    rows: &mut Rows,
) -> io::Result<()> {
    let span = effort.span;
    let (ours, beside) = sides.each(async |served| alone(served.calls(), RAW, span).await).await?;
    percentiles(rows, [names::RAW_P50, names::RAW_P99], &ours, &beside);
    if let Some(worker) = worker {
        let socket = micros(direct(worker, span)?.median());
        rows.add(names::SOCKET, socket, micros(beside.median()));
        rows.add(names::ADDED, micros(ours.median()) - socket, micros(beside.median()));
    }

    let (ours, beside) = sides.each(async |served| alone(served.calls(), JSON, span).await).await?;
    percentiles(rows, [names::JSON_P50, names::JSON_P99], &ours, &beside);

    for (callers, name) in [(16, names::CALLS_16), (32, names::CALLS_32)] {
        let ask = async |served: &Served| {
            let before = served.processor_time()?;
            let done = together(&served.calls(), RAW, callers, span).await?;
            Ok((done, micros(served.processor_time()?.saturating_sub(before)) / count(done.calls)))
        };
        let ((ours, our_time), (beside, their_time)) = sides.each(ask).await?;
        rows.add(name, ours.rate(), beside.rate());
        if callers == 16 {
            rows.add(names::TIME, our_time, their_time);
        }
    }
    let both = sides.each(async |served| items(served.calls(), effort.items).await).await?;
    rows.add(names::ITEMS, both.0, both.1);
    for (size, name) in [(MIB, names::MIB_1), (16 * MIB, names::MIB_16)] {
        let body = vec![7; size];
        let ask = Ask::raw("echo", &body);
        let ask = async |served: &Served| {
            let before = served.processor_time()?;
            let figures = alone(served.calls(), ask, span).await?;
            let time = micros(served.processor_time()?.saturating_sub(before)) / count(figures.count());
            Ok((micros(figures.median()) / 1e3, time / 1e3))
        };
        let ((ours, our_time), (beside, their_time)) = sides.each(ask).await?;
        rows.add(name, ours, beside);
        if size > MIB {
            rows.add(names::MIB_16_TIME, our_time, their_time);
        }
    }
    Ok(())
}

/// The same round trip over the worker's own socket.
fn direct(worker: &mut Worker, span: Duration) -> io::Result<Figures> {
    let mut figures = Figures::default();
    let end = Instant::now() + span;
    while figures.count() == 0 || Instant::now() < end {
        let begun = Instant::now();
        worker.call(RAW.tool, RAW.content_type, RAW.body)?;
        figures.add(begun.elapsed());
    }
    Ok(figures)
}

fn percentiles(rows: &mut Rows, names: [Name; 2], ours: &Figures, beside: &Figures) {
    for (name, percent) in names.into_iter().zip([50, 99]) {
        rows.add(name, micros(ours.percentile(percent)), micros(beside.percentile(percent)));
    }
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than two to the power of 52")]
fn count(calls: usize) -> f64 {
    calls as f64
}

pub(crate) fn micros(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}
