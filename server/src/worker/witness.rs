//! Where a tool is that does not say so itself when its call is over.
//!
//! A tool that gives up says where it was. One that waits in C hears nothing, but the control thread of its worker does,
//! and tells where every thread is. When that is silent as well, something holds the interpreter's lock (a loop in C, a
//! regular expression that never ends), and only a signal handler written in C gets through: it writes the stack of the
//! main thread to standard error, where it is read here, between whatever else is printed.
//!
//! A signal that a process does not catch would end it, so only those are asked that do. Threads beside the main one are
//! not shown while one of them runs: Python cannot read the frames of a running thread safely.

use super::link::Link;
use crate::own::hold::WeakHold;
use std::fs;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// So long a tool has for its own words.
const OWN_WORDS: Duration = Duration::from_millis(150);
/// So long the control thread has to say where every thread is.
const CONTROL_WORDS: Duration = Duration::from_millis(100);
/// So long a worker that is about to be killed has to begin with its stack.
const LAST_CHANCE: Duration = Duration::from_millis(500);
/// So long its other threads have to show themselves, which they cannot while one of them holds the interpreter.
const OTHERS: Duration = Duration::from_millis(100);
/// A stack is written in one go. When nothing more has come for so long, it is whole.
const QUIET: Duration = Duration::from_millis(20);
/// Bytes of a stack. What was called last is kept.
const STACK_MAX: usize = 8 * 1024;
/// What a stack begins with, as faulthandler writes it, and how that line ends.
const HEADS: [&str; 3] = ["Stack ", "Current thread 0x", "Thread 0x"];
const HEAD_END: &str = "(most recent call first):";

/// Asks one life where it is.
#[derive(Debug)]
pub(crate) struct Witness {
    hold: WeakHold,
    number: u32,
    pid: OnceLock<u32>,
    shown: Shown,
}

impl Witness {
    pub(crate) fn new(hold: WeakHold, number: u32, shown: Shown) -> Self {
        Self { hold, number, pid: OnceLock::new(), shown }
    }

    /// The process runs.
    pub(super) fn is_process(&self, pid: Option<u32>) {
        if let Some(pid) = pid {
            let _ = self.pid.set(pid);
        }
    }

    /// Where the worker of this link is, from the most distant caller to what it does now. It may never answer.
    pub(crate) async fn stack(link: &Link) -> String {
        let this = &link.witness;
        // It may be shown for another reason meanwhile, such as its kill.
        let mut shown = this.shown.listen();
        sleep(OWN_WORDS).await;
        if let Ok(Ok(stacks)) = timeout(CONTROL_WORDS, link.dump()).await {
            return stacks;
        }
        if this.catches(libc::SIGUSR1) {
            this.hold.signal(this.number, libc::SIGUSR1).await;
        }
        until_whole(&mut shown).await;
        shown.borrow().to_string()
    }

    /// Has every thread show its stack on standard error, before the worker is killed. A worker that cannot is not waited
    /// for.
    pub(crate) async fn last_stack(&self) {
        if self.catches(libc::SIGUSR1) {
            let mut shown = self.shown.listen();
            self.hold.signal(self.number, libc::SIGUSR1).await;
            let _ = tokio::join!(sleep(OTHERS), timeout(LAST_CHANCE, until_whole(&mut shown)));
        }
    }

    /// Whether the process does something of its own with a signal.
    fn catches(&self, signal: i32) -> bool {
        let status = self.pid.get().and_then(|pid| fs::read_to_string(format!("/proc/{pid}/status")).ok());
        status.is_some_and(|status| caught(&status) >> (signal - 1) & 1 == 1)
    }
}

/// Waits for a stack, and then until nothing more comes.
async fn until_whole(shown: &mut watch::Receiver<Stack>) {
    if shown.wait_for(|stack| !stack.frames.is_empty()).await.is_ok() {
        while let Ok(Ok(())) = timeout(QUIET, shown.changed()).await {}
    }
}

/// The signals that a process catches, by what the kernel says of it.
fn caught(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// What is shown of stacks among the lines of standard error. Nothing is kept while nobody listens.
#[derive(Clone, Debug)]
pub(crate) struct Shown(watch::Sender<Stack>);

impl Default for Shown {
    fn default() -> Self {
        Self(watch::Sender::new(Stack::default()))
    }
}

impl Shown {
    /// The worker wrote a line.
    pub(super) fn line(&self, line: &[u8]) {
        if self.0.receiver_count() > 0 {
            self.0.send_if_modified(|stack| stack.take(&String::from_utf8_lossy(line)));
        }
    }

    fn listen(&self) -> watch::Receiver<Stack> {
        if self.0.receiver_count() == 0 {
            self.0.send_replace(Stack::default());
        }
        self.0.subscribe()
    }
}

/// The first stack that is shown. Pure.
#[derive(Debug, Default)]
struct Stack {
    begun: bool,
    /// What was called last comes first.
    frames: Vec<String>,
    size: usize,
    ended: bool,
}

impl Stack {
    /// Takes a line. False when it tells nothing.
    fn take(&mut self, line: &str) -> bool {
        let is_head = HEADS.iter().any(|head| line.starts_with(head)) && line.ends_with(HEAD_END);
        if self.ended || !(self.begun || is_head) {
            return false;
        }
        if !self.begun {
            self.begun = true;
        } else if line.starts_with("  ") && self.size + line.len() <= STACK_MAX {
            self.size += line.len();
            self.frames.push(super::output::voice::printable(line.as_bytes()));
        } else {
            self.ended = true;
        }
        true
    }
}

/// In the order of Python's tracebacks.
impl std::fmt::Display for Stack {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.frames.is_empty() {
            out.write_str("the main thread, which holds the interpreter (most recent call last):")?;
        }
        self.frames.iter().rev().try_for_each(|frame| write!(out, "\n{frame}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: &str = "noise\nStack (most recent call first):\n  File \"a.py\", line 2 in \
                           inner\n  File \"a.py\", line 9 in outer\nThread 0x00007f2 (most recent call first):\n  File \
                           \"b.py\", line 1 in other\n";

    #[test]
    fn the_first_stack_is_found_and_turned_round() {
        let mut stack = Stack::default();
        assert!(!stack.take("  File \"before.py\", line 1 in nobody"));
        for line in WRITTEN.lines() {
            stack.take(line);
        }
        let shown = stack.to_string();
        let (outer, inner) =
            (shown.find("in outer").expect("a frame"), shown.find("in inner").expect("a frame"));
        assert!(outer < inner && shown.ends_with("in inner") && !shown.contains("other"), "{shown}");
    }

    #[test]
    fn a_stack_without_end_keeps_what_was_called_last() {
        let mut stack = Stack::default();
        stack.take("Current thread 0x1 (most recent call first):");
        for line in 0..10_000 {
            stack.take(&format!("  File \"a.py\", line {line} in f"));
        }
        let shown = stack.to_string();
        assert!(shown.len() <= 2 * STACK_MAX && shown.ends_with("line 0 in f"), "{} bytes", shown.len());
    }

    #[test]
    fn nothing_is_kept_for_nobody() {
        let shown = Shown::default();
        let tell = || WRITTEN.lines().for_each(|line| shown.line(line.as_bytes()));
        tell();
        let listening = shown.listen();
        assert_eq!(listening.borrow().to_string(), "");
        tell();
        assert!(listening.borrow().to_string().contains("in inner"));
    }

    #[test]
    fn the_mask_of_the_kernel_is_read() {
        let status = "Name:\tpython3\nSigIgn:\t0000000001001000\nSigCgt:\t0000000000000200\n";
        assert_eq!(caught(status) >> (libc::SIGUSR1 - 1) & 1, 1);
        assert_eq!(caught(status) >> (libc::SIGUSR2 - 1) & 1, 0);
        assert_eq!(caught("Name:\tpython3\n"), 0);
    }
}
