//! What a worker prints: read to its end, whatever becomes of it, and cut into lines.

use super::voice::{Stream, Voice, printable};
use super::witness::Shown;
use crate::own::watched::watched;
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::Interest;
use tokio::task::consume_budget;

/// A longer line is cut here, and its rest is another line.
const LINE_MAX: usize = 8 * 1024;
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

/// Reads a pipe to its end, and says every line.
pub(crate) async fn read(pipe: OwnedFd, stream: Stream, last: LastLines, voice: Voice) -> io::Result<()> {
    rustix::io::ioctl_fionbio(&pipe, true)?;
    let pipe = watched(pipe, Interest::READABLE)?;
    let mut buffer = vec![0; LINE_MAX];
    let mut lines = Lines::default();
    let say = |line: &[u8]| {
        voice.printed(stream, line);
        if stream == Stream::Stderr {
            last.push(line);
        }
    };
    loop {
        let length = pipe.async_io(Interest::READABLE, |fd| Ok(rustix::io::read(fd, &mut buffer)?)).await?;
        if length == 0 {
            break;
        }
        lines.take(&buffer[..length], say);
        // A pipe that is never empty must not keep a thread of the runtime to itself.
        consume_budget().await;
    }
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
