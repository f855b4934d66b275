//! What a worker prints: read to its end, whatever becomes of it, and cut into lines.
//!
//! A line belongs to the call that runs, where there is only one. Pipes and frames come on different ways, so before the
//! ending of a call is heard, what its worker had written until then is read: [`dry`].

pub(crate) mod voice;

use super::link::Link;
use super::witness::Shown;
use crate::own::watched::watched;
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::task::{JoinHandle, consume_budget};
use tokio::time::timeout;
use voice::{Stream, Voice, printable};

/// A longer line is cut here, and its rest is another line.
const LINE_MAX: usize = 8 * 1024;
/// An ending waits so long for what was printed before it. A machine that is this busy has lines without their call.
const DRY_PATIENCE: Duration = Duration::from_millis(50);
/// The last lines of standard error are evidence when the worker dies.
const LAST_LINES: usize = 40;

/// The last lines of standard error, and the stack that is shown among them.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastLines {
    pub(super) shown: Shown,
    lines: Arc<Mutex<VecDeque<Vec<u8>>>>,
}

impl LastLines {
    pub(crate) fn take(&self) -> Vec<String> {
        let lines = std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner));
        lines.iter().map(|line| printable(line)).collect()
    }

    fn push(&self, line: &[u8]) {
        self.shown.line(line);
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let mut oldest =
            if lines.len() < LAST_LINES { Vec::new() } else { lines.pop_front().unwrap_or_default() };
        oldest.clear();
        oldest.extend_from_slice(line);
        lines.push_back(oldest);
    }
}

/// One pipe, and how much of it was said.
#[derive(Debug)]
pub(crate) struct Tap {
    pipe: AsyncFd<OwnedFd>,
    /// Locked from a read until what was read is said.
    lines: Mutex<Lines>,
    said: watch::Sender<u64>,
}

impl Tap {
    pub(crate) fn on(pipe: OwnedFd) -> io::Result<Arc<Self>> {
        rustix::io::ioctl_fionbio(&pipe, true)?;
        let pipe = watched(pipe, Interest::READABLE)?;
        Ok(Arc::new(Self { pipe, lines: Mutex::default(), said: watch::Sender::new(0) }))
    }

    /// Another handle on the pipe.
    pub(super) fn copy(&self) -> io::Result<OwnedFd> {
        self.pipe.get_ref().try_clone()
    }

    /// Waits until all is said that is in the pipe now.
    async fn dry(&self) {
        let target = {
            let _said = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            *self.said.borrow() + rustix::io::ioctl_fionread(self.pipe.get_ref()).unwrap_or(0)
        };
        if *self.said.borrow() < target {
            // Nobody can be waited for who has stopped reading.
            let _ = timeout(DRY_PATIENCE, self.said.subscribe().wait_for(|said| *said >= target)).await;
        }
    }

    /// Reads some, and says it. False at the end.
    fn flow(&self, buffer: &mut [u8], say: impl Fn(&[u8])) -> io::Result<bool> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let length = rustix::io::read(self.pipe.get_ref(), &mut *buffer)?;
        lines.take(&buffer[..length], say);
        self.said.send_modify(|said| *said += length as u64);
        Ok(length > 0)
    }
}

/// Waits until all is said that was printed until now.
pub(crate) async fn dry(taps: &[Arc<Tap>]) {
    for tap in taps {
        tap.dry().await;
    }
}

/// A task that reads a pipe to its end.
pub(crate) type Reading = JoinHandle<io::Result<()>>;

/// Begins to read standard output and standard error, of a process that has calls if there is a link to it.
pub(crate) fn read_all(
    taps: &[Arc<Tap>; 2],
    last: &LastLines,
    voice: &Voice,
    link: Option<&Arc<Link>>,
) -> Vec<Reading> {
    let both = taps.iter().zip([Stream::Stdout, Stream::Stderr]);
    let begin = |(tap, stream): (&Arc<Tap>, Stream)| {
        tokio::spawn(read(tap.clone(), stream, last.clone(), voice.clone(), link.cloned()))
    };
    both.map(begin).collect()
}

/// Reads a pipe to its end, and says every line.
async fn read(
    tap: Arc<Tap>,
    stream: Stream,
    last: LastLines,
    voice: Voice,
    link: Option<Arc<Link>>,
) -> io::Result<()> {
    let mut buffer = vec![0; LINE_MAX];
    let say = |line: &[u8]| {
        voice.printed(stream, line, link.as_ref().and_then(|link| link.only_call()));
        if stream == Stream::Stderr {
            last.push(line);
        }
    };
    while tap.pipe.async_io(Interest::READABLE, |_| tap.flow(&mut buffer, say)).await? {
        // A pipe that is never empty must not keep a thread of the runtime to itself.
        consume_budget().await;
    }
    let lines = tap.lines.lock().unwrap_or_else(PoisonError::into_inner);
    if !lines.begun.is_empty() {
        say(&lines.begun);
    }
    Ok(())
}

/// Cuts bytes into lines. Pure.
#[derive(Debug, Default)]
struct Lines {
    /// A line without its end.
    begun: Vec<u8>,
}

impl Lines {
    fn take(&mut self, mut bytes: &[u8], say: impl Fn(&[u8])) {
        while !bytes.is_empty() {
            let room = &bytes[..bytes.len().min(LINE_MAX - self.begun.len())];
            let end = room.iter().position(|byte| *byte == b'\n');
            self.begun.extend_from_slice(&room[..end.unwrap_or(room.len())]);
            bytes = &bytes[end.map_or(room.len(), |end| end + 1)..];
            if end.is_some() || self.begun.len() == LINE_MAX {
                say(&self.begun);
                self.begun.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn cut(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, usize) {
        let said = RefCell::new(Vec::new());
        let mut lines = Lines::default();
        for piece in pieces {
            lines.take(piece, |line| said.borrow_mut().push(line.to_vec()));
        }
        (said.into_inner(), lines.begun.len())
    }

    #[test]
    fn lines_are_cut_at_their_ends_and_at_the_bound() {
        assert_eq!(cut(&[b"a\nb", b"c\n\n", b"d"]), (vec![b"a".to_vec(), b"bc".to_vec(), vec![]], 1));
        let long = vec![b'x'; LINE_MAX + 5];
        let (said, begun) = cut(&[&long]);
        assert_eq!((said.len(), said[0].len(), begun), (1, LINE_MAX, 5));
    }
}
