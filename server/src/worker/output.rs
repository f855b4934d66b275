//! What a worker prints: read to its end, bounded, each line tagged with the life it came from.

use crate::own::watched::watched;
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::Interest;

/// A longer line is cut here, and its rest is another line.
const LINE_MAX: usize = 8 * 1024;
/// The last lines of standard error are evidence when the worker dies.
const LAST_LINES: usize = 40;

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// The last lines of standard error.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastLines {
    lines: Arc<Mutex<VecDeque<String>>>,
}

impl LastLines {
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner)).into()
    }

    fn push(&self, line: String) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LAST_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

/// What a worker prints must not drive the terminal of whoever reads the daemon's log.
fn printable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.chars().map(|c| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Reads a pipe to its end, and hands every line on.
pub(crate) async fn read(
    pipe: OwnedFd,
    stream: Stream,
    last: LastLines,
    print: impl Fn(Stream, &str),
) -> io::Result<()> {
    rustix::io::ioctl_fionbio(&pipe, true)?;
    let pipe = watched(pipe, Interest::READABLE)?;
    let mut buffer = vec![0; LINE_MAX];
    let mut line = Vec::new();
    let say = |line: &mut Vec<u8>| {
        let text = printable(line);
        print(stream, &text);
        if stream == Stream::Stderr {
            last.push(text);
        }
        line.clear();
    };
    loop {
        let length = pipe.async_io(Interest::READABLE, |fd| Ok(rustix::io::read(fd, &mut buffer)?)).await?;
        if length == 0 {
            break;
        }
        for byte in &buffer[..length] {
            if *byte == b'\n' {
                say(&mut line);
            } else {
                line.push(*byte);
                if line.len() == LINE_MAX {
                    say(&mut line);
                }
            }
        }
    }
    if !line.is_empty() {
        say(&mut line);
    }
    Ok(())
}
