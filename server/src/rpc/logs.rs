//! The log as a stream: what is remembered, and what comes, until the reader hangs up or the daemon stops.

use super::parse::bad;
use crate::telemetry::Log;
use crate::telemetry::log::Line;
use futures_util::stream::{Stream, unfold};
use sidewinder_edge::outcome::Outcome;
use sidewinder_proto::v1;
use std::collections::{BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tonic::Status;
use tracing::Level;

/// A stream of lines.
pub(super) type Lines = Pin<Box<dyn Stream<Item = Result<v1::LogLine, Status>> + Send>>;

/// Which lines are asked for.
#[derive(Debug, Default)]
struct Wanted {
    pools: BTreeSet<String>,
    worker: String,
}

struct Following {
    remembered: VecDeque<Arc<Line>>,
    next: Option<Receiver<Arc<Line>>>,
    wanted: Wanted,
    lost: u64,
}

pub(super) fn stream(log: &Log, request: v1::LogsRequest) -> Result<Lines, Outcome> {
    if !names_worker(&request.worker) {
        return Err(bad("worker", "be a slot, or a worker as slot.number"));
    }
    let wanted = Wanted { pools: request.pools.into_iter().collect(), worker: request.worker };
    let (lines, next) = log.follow();
    let mut remembered: VecDeque<_> = lines.into_iter().filter(|line| wanted.includes(line)).collect();
    let tail = request.tail.map_or(usize::MAX, |tail| usize::try_from(tail).unwrap_or(usize::MAX));
    remembered.drain(..remembered.len().saturating_sub(tail));
    let following = Following { remembered, next: request.follow.then_some(next), wanted, lost: 0 };
    Ok(Box::pin(unfold(following, |mut following| async move {
        let line = following.next().await?;
        let shown = show(&line, std::mem::take(&mut following.lost));
        Some((Ok(shown), following))
    })))
}

impl Following {
    async fn next(&mut self) -> Option<Arc<Line>> {
        if let Some(line) = self.remembered.pop_front() {
            return Some(line);
        }
        loop {
            match self.next.as_mut()?.recv().await {
                Ok(line) if self.wanted.includes(&line) => return Some(line),
                Ok(_) => {}
                Err(RecvError::Lagged(count)) => self.lost += count,
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

impl Wanted {
    fn includes(&self, line: &Line) -> bool {
        let worker = line.worker.strip_prefix(&self.worker);
        (self.pools.is_empty() || self.pools.contains(&line.pool))
            && (self.worker.is_empty() || worker.is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
    }
}

fn names_worker(worker: &str) -> bool {
    let (slot, number) = worker.split_once('.').unwrap_or((worker, "1"));
    worker.is_empty() || slot.parse::<u16>().is_ok() && number.parse::<u32>().is_ok()
}

fn show(line: &Line, lost: u64) -> v1::LogLine {
    v1::LogLine {
        sequence: line.sequence,
        at: Some(line.at.0.into()),
        level: level(line.level).into(),
        text: line.text.clone(),
        pool: line.pool.clone(),
        worker: line.worker.clone(),
        call: line.call,
        stream: line.stream.clone(),
        what: line.what.clone(),
        fields: line.fields.clone().into_iter().collect(),
        lost,
    }
}

fn level(level: Level) -> v1::Level {
    match level {
        Level::TRACE => v1::Level::Trace,
        Level::DEBUG => v1::Level::Debug,
        Level::INFO => v1::Level::Info,
        Level::WARN => v1::Level::Warn,
        Level::ERROR => v1::Level::Error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_named_by_its_slot_or_its_life() {
        for (name, good) in
            [("", true), ("3", true), ("3.1", true), ("3.", false), ("a", false), ("3.1.1", false)]
        {
            assert_eq!(names_worker(name), good, "{name}");
        }
    }
}
