//! A warden as its parent has it: something to be told, heard, woken and killed.

use rustix::process::Pid;
use sidewinder_keeper_kernel::link::{Link, Received};
use sidewinder_keeper_kernel::sys;
use sidewinder_keeper_wire::{Broken, Report, Said, Word};
use std::os::fd::OwnedFd;

/// The largest frame a warden says to its keeper.
const REPORT_MAX: usize = 1024;
/// A worker of the same user can stop its warden. It is woken so many times; then it should be given up.
const STOPS_MAX: u32 = 3;

/// The socket to a warden, and its process.
#[derive(Debug)]
pub struct Leash {
    /// Until it is closed, or the warden was given up.
    link: Option<Link>,
    /// As long as it is a child that was not reaped. That of a forked worker is not known before it has shown itself.
    warden: Option<i32>,
    stops: u32,
}

/// What a warden has said.
#[derive(Debug)]
pub enum Heard {
    /// Of its worker, perhaps with a pidfd.
    Report(Report, Option<OwnedFd>),
    /// Around a fork, with the process that said it, where the kernel was asked to sign.
    Word(Word, Option<Pid>),
    /// Its end: it is gone.
    End,
}

impl Leash {
    pub(crate) fn new(link: Link, warden: Option<i32>) -> Self {
        Self { link: Some(link), warden, stops: 0 }
    }

    /// The socket, if anybody may be heard on it.
    pub fn link(&self) -> Option<&Link> {
        self.link.as_ref()
    }

    /// The process id of the warden, as long as it cannot be that of somebody else.
    pub fn warden(&self) -> Option<i32> {
        self.warden
    }

    /// This child is the warden.
    pub fn recognise(&mut self, warden: i32) {
        self.warden = Some(warden);
    }

    /// The warden was reaped.
    pub fn forget_warden(&mut self) {
        self.warden = None;
    }

    /// Says something to the warden. One that is gone, or stopped, needs other means.
    pub fn say(&self, frame: Result<Vec<u8>, Broken>) {
        if let (Some(link), Ok(frame)) = (&self.link, frame) {
            let _ = link.send(&frame, &[]);
        }
    }

    /// The next thing that the warden has said; `None` when it says nothing now.
    pub fn hear(&mut self) -> Option<Heard> {
        let mut buffer = [0; REPORT_MAX];
        match self.link.as_ref()?.receive_signed(&mut buffer) {
            Ok((Received::Nothing, _)) => None,
            Ok((Received::Frame(length, mut fds), sender)) => match Said::decode(&buffer[..length]).ok()? {
                Said::Report(report) => Some(Heard::Report(report, fds.pop())),
                Said::Word(word) => Some(Heard::Word(word, sender)),
            },
            Ok((Received::Closed, _)) | Err(_) => {
                self.link = None;
                Some(Heard::End)
            }
        }
    }

    /// Wakes a warden that somebody has stopped. Says whether that goes on, and it should be given up.
    pub fn wake(&mut self) -> bool {
        self.stops += 1;
        self.warden.into_iter().for_each(|warden| drop(sys::kill(warden, libc::SIGCONT)));
        self.stops > STOPS_MAX && self.link.is_some()
    }

    /// Kills the warden, and does not listen to it any more.
    pub fn give_up(&mut self) {
        self.link = None;
        self.warden.into_iter().for_each(|warden| drop(sys::kill(warden, libc::SIGKILL)));
    }
}
