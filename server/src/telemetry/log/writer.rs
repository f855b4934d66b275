//! Writes the log without making anybody wait.
//!
//! Lines go through a queue to a thread of its own. A reader that stops reading, or a disk that is slow, costs lines
//! and never time: what does not fit into the queue is dropped, counted, and said when there is room again.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes of lines that may wait to be written.
const QUEUE_MAX: usize = 4 << 20;

/// The way to the thread that writes.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    queue: Arc<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// A batch is on its way.
    writing: bool,
    /// Lines that were dropped and not said yet.
    unsaid: u64,
    lost: u64,
}

impl Writer {
    /// Starts the thread. `note` makes the line that says how many were dropped.
    pub(super) fn start(
        mut to: impl Write + Send + 'static,
        note: impl Fn(u64) -> Vec<u8> + Send + 'static,
    ) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let theirs = queue.clone();
        let name = "log".to_owned();
        std::thread::Builder::new().name(name).spawn(move || {
            loop {
                let (mut batch, lost) = theirs.take();
                if lost > 0 {
                    batch.extend_from_slice(&note(lost));
                }
                // Nobody is left who could be told that the log cannot be written.
                let _ = to.write_all(&batch).and_then(|()| to.flush());
                theirs.written();
            }
        })?;
        Ok(Self { queue })
    }

    /// Takes a line with its end, or drops it.
    pub(super) fn write(&self, line: &[u8]) {
        let mut state = self.queue.lock();
        if state.waiting.len() + line.len() >= QUEUE_MAX {
            state.unsaid += 1;
            state.lost += 1;
            return;
        }
        state.waiting.extend_from_slice(line);
        drop(state);
        self.queue.changed.notify_all();
    }

    /// Lines that were dropped since the start.
    pub(super) fn lost(&self) -> u64 {
        self.queue.lock().lost
    }

    /// Waits until everything is written, at most this long.
    pub(super) fn finish(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let mut state = self.queue.lock();
        while state.writing || !state.waiting.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.queue.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to write; also tells how many lines were dropped after it.
    fn take(&self) -> (Vec<u8>, u64) {
        let mut state = self.lock();
        while state.waiting.is_empty() {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.writing = true;
        (std::mem::take(&mut state.waiting), std::mem::take(&mut state.unsaid))
    }

    fn written(&self) {
        self.lock().writing = false;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};

    #[test]
    fn who_does_not_read_costs_lines_and_no_time() {
        let (theirs, ours) = std::io::pipe().expect("a pipe");
        let writer = Writer::start(ours, |lost| format!("lost {lost}\n").into_bytes()).expect("a thread");
        let line = "x".repeat(1023) + "\n";
        let count = 3 * QUEUE_MAX / 1024;
        for _ in 0..count {
            writer.write(line.as_bytes());
        }
        let lost = writer.lost();
        assert!(lost > 0, "nothing was lost of twice as much as fits");
        writer.finish(Duration::from_millis(1));
        // Whoever reads again gets the rest, and learns what is missing.
        let mut lines = BufReader::new(theirs).lines().map(|line| line.expect("a line"));
        let (mut whole, mut said) = (0, 0);
        while whole + said < count as u64 {
            let next = lines.next().expect("an open pipe");
            match next.strip_prefix("lost ") {
                Some(number) => said += number.parse::<u64>().expect("a number"),
                None => whole += 1,
            }
        }
        assert_eq!(said, lost);
        writer.finish(Duration::from_mins(1));
    }
}
