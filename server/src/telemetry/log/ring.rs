//! The last lines of the log, for whoever asks for them, and those to come, for whoever stays.

use super::line::Line;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::broadcast;

/// Bytes of lines that are remembered.
const RING_MAX: usize = 4 << 20;
/// Lines that a slow follower may be behind.
const BACKLOG: usize = 4096;

/// The last lines of the log.
#[derive(Debug)]
pub(super) struct Ring {
    state: Mutex<State>,
    followers: broadcast::Sender<Arc<Line>>,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Arc<Line>>,
    bytes: usize,
    count: u64,
}

impl Default for Ring {
    fn default() -> Self {
        Self { state: Mutex::default(), followers: broadcast::Sender::new(BACKLOG) }
    }
}

impl Ring {
    /// Gives the line its number and remembers it.
    pub(super) fn push(&self, mut line: Line) -> Arc<Line> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.count += 1;
        line.sequence = state.count;
        let line = Arc::new(line);
        state.bytes += line.weight();
        state.lines.push_back(line.clone());
        while state.bytes > RING_MAX {
            let Some(oldest) = state.lines.pop_front() else { break };
            state.bytes -= oldest.weight();
        }
        // Under the lock, so that a follower sees each line once. Nobody may be following.
        let _ = self.followers.send(line.clone());
        line
    }

    /// What is remembered, oldest first, and a way to everything that comes after it.
    pub(super) fn follow(&self) -> (Vec<Arc<Line>>, broadcast::Receiver<Arc<Line>>) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.lines.iter().cloned().collect(), self.followers.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[tokio::test]
    async fn the_newest_are_remembered_and_the_next_are_followed() {
        let ring = Ring::default();
        let text = "x".repeat(8 * 1024);
        for _ in 0..RING_MAX / 1024 {
            ring.push(Line::note(Level::INFO, text.clone()));
        }
        let (lines, mut next) = ring.follow();
        assert!(lines.len() < RING_MAX / text.len(), "{} lines are more than the bound", lines.len());
        let newest = lines.last().expect("lines").sequence;
        assert_eq!(newest, RING_MAX as u64 / 1024);
        ring.push(Line::note(Level::INFO, String::new()));
        assert_eq!(next.recv().await.expect("a line").sequence, newest + 1);
    }
}
