//! Calls: how long one takes, how many there are in a second, items, large bodies.

pub(crate) mod attached;
pub(crate) mod plain;
pub(crate) mod scale;

use self::plain::Plain;
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
/// Just below the largest that a message may be.
const MB_64: usize = 64_000_000;

/// How much is done in a round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// How long each figure is measured.
    pub(crate) span: Duration,
    /// Items of a stream.
    pub(crate) items: usize,
}

/// What a run that is beside the bare echo has besides.
#[derive(Debug, Default)]
pub(crate) struct Baselines {
    pub(crate) worker: Option<Worker>,
    pub(crate) plain: Option<Plain>,
    pub(crate) floor: Option<Served>,
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
    baselines: &mut Baselines,
    effort: Effort,
    rows: &mut Rows,
) -> io::Result<()> {
    let span = effort.span;
    let (ours, beside) = sides.each(async |served| alone(served.calls(), RAW, span).await).await?;
    percentiles(rows, [names::RAW_P50, names::RAW_P99], &ours, &beside);
    if let Some(worker) = &mut baselines.worker {
        let socket = micros(direct(worker, span)?.median());
        rows.add(names::SOCKET, socket, micros(beside.median()));
        rows.add(names::ADDED, micros(ours.median()) - socket, micros(beside.median()));
        rows.add(names::LEAST, socket + micros(beside.median()), micros(beside.median()));
    }
    if let Some(floor) = &baselines.floor {
        let least = micros(alone(floor.calls(), RAW, span).await?.median());
        rows.add(names::FLOOR_P50, least, micros(beside.median()));
        rows.add(names::RAW_P50_FLOOR, micros(ours.median()), least);
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
        match &baselines.floor {
            Some(floor) if callers == 32 => {
                let least = together(&floor.calls(), RAW, callers, span).await?.rate();
                rows.add(names::FLOOR_32, least, beside.rate());
                rows.add(names::CALLS_32_FLOOR, ours.rate(), least);
            }
            _ => {}
        }
        if callers == 16 {
            rows.add(names::TIME, our_time, their_time);
        }
    }
    let both = sides.each(async |served| items(served.calls(), effort.items).await).await?;
    rows.add(names::ITEMS, both.0, both.1);
    large(sides, baselines, span, rows).await
}

/// Large bodies there and back.
async fn large(
    sides: Sides<'_>,
    baselines: &mut Baselines,
    span: Duration,
    rows: &mut Rows,
) -> io::Result<()> {
    for (size, name) in [(MIB, names::MIB_1), (16 * MIB, names::MIB_16), (MB_64, names::MB_64)] {
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
        if size == 16 * MIB {
            rows.add(names::MIB_16_TIME, our_time, their_time);
        }
        if size == MB_64
            && let Some(plain) = &mut baselines.plain
        {
            rows.add(names::MB_64_PLAIN, ours, micros(plain.echoes(&body, span)?.median()) / 1e3);
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
fn count(number: usize) -> f64 {
    number as f64
}

pub(crate) fn micros(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}
