//! Lines on standard error, from processes that must never wait for whoever reads them.
//!
//! A log that nobody reads fills up, and the next write would stop the keeper in the middle of a kill, or the daemon in
//! the middle of a call. So each piece is written only where there is room for it, and what has no room is dropped and
//! counted; the next line that has room says so.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fmt::{Arguments, Write as _};
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A pipe with room takes so many bytes at once (`PIPE_BUF`).
const PIECE: usize = 4096;
const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

static LOST: AtomicU64 = AtomicU64::new(0);
/// The last line has no end, because there was no room for it.
static BROKEN: AtomicBool = AtomicBool::new(false);

/// Says a line if there is room for it now.
pub fn say(words: Arguments<'_>) {
    let mut text = String::new();
    let out = io::stderr().lock();
    if BROKEN.load(Ordering::Relaxed) {
        text.push('\n');
    }
    let lost = LOST.load(Ordering::Relaxed);
    if lost > 0 {
        // Into a text, so nothing fails.
        let _ = writeln!(text, "sidewinder: {lost} lines are lost: nobody read them");
    }
    let _ = writeln!(text, "sidewinder: {words}");
    match write(out, text.as_bytes()) {
        Ok(true) => {
            LOST.store(0, Ordering::Relaxed);
            BROKEN.store(false, Ordering::Relaxed);
        }
        Ok(false) => _ = LOST.fetch_add(1, Ordering::Relaxed),
        // Nobody is there to be told.
        Err(_) => {}
    }
}

/// Whether all of it was written.
fn write(mut out: impl io::Write + AsFd, text: &[u8]) -> io::Result<bool> {
    for (number, piece) in text.chunks(PIECE).enumerate() {
        let mut ready = [PollFd::new(&out, PollFlags::OUT)];
        if poll(&mut ready, Some(&NOW))? == 0 {
            BROKEN.fetch_or(number > 0, Ordering::Relaxed);
            return Ok(false);
        }
        out.write_all(piece)?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;

    #[test]
    fn a_full_pipe_loses_lines_and_delays_nobody() {
        let (read, write_end) = rustix::pipe::pipe().unwrap();
        let line = [b'x'; PIECE + 1];
        let mut written = 0;
        while write(File::from(write_end.try_clone().unwrap()), &line).unwrap() {
            written += line.len();
        }
        assert!(written > 0, "an empty pipe has room");
        let mut read = File::from(read);
        read.read_exact(&mut [0; 3 * PIECE]).unwrap();
        assert!(write(File::from(write_end), &line).unwrap(), "it has room again");
    }
}
