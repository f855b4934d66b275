//! How a life begins: forked from the fork server where there is one, or started by itself.
//!
//! A fork that fails costs nobody his call: the same life is started by itself.

use super::brood::Brood;
use super::command::{FDS, explain};
use super::life::{Pipes, Spec};
use super::link::Link;
use super::output::voice::Voice;
use super::output::{self, LastLines, Reading, Tap};
use super::socket::Socket;
use super::witness::Witness;
use crate::own::hold::{Hold, News};
use crate::own::identity;
use rustix::pipe::PipeFlags;
use sidewinder_core::Life;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio::sync::mpsc;

/// A life that is to begin.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) life: Life,
    /// Its number at the keeper.
    pub(crate) number: u32,
    pub(crate) spec: Arc<Spec>,
    pub(crate) hold: Hold,
}

/// A process that runs, and what comes from it.
pub(super) struct Started {
    pub(super) link: Arc<Link>,
    pub(super) pid: Option<u32>,
    pub(super) news: mpsc::Receiver<News>,
    pub(super) outputs: Vec<Reading>,
    pub(super) taps: [Arc<Tap>; 2],
    pub(super) last: LastLines,
    pub(super) voice: Voice,
    /// The run of its keeper.
    pub(super) run: Arc<str>,
    /// Copies of its pipes, for a successor of the daemon.
    pub(super) parcel: Option<Pipes>,
}

/// A process that has begun: what is told of it, its pidfd, and the run of its keeper.
type Begun = (mpsc::Receiver<News>, OwnedFd, Arc<str>);

impl Start {
    pub(super) async fn begin(&self, brood: Option<Brood>) -> Result<Started, String> {
        let last = LastLines::default();
        let prepare = || -> io::Result<_> {
            let (calls, their_calls) = Socket::pair()?;
            let (control, their_control) = Socket::pair()?;
            let (stdout, their_stdout) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
            let (stderr, their_stderr) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
            let theirs = vec![their_stdout, their_stderr, their_calls, their_control];
            let witness = Witness::new(self.hold.weak(), self.number, last.shown.clone());
            let link = Arc::new(Link::new(self.life, calls, control, witness));
            Ok((link, theirs, [Tap::on(stdout)?, Tap::on(stderr)?]))
        };
        let (link, theirs, taps) = prepare().map_err(|error| error.to_string())?;
        let forked = self.fork(brood, &theirs).await;
        let (news, pidfd, run) = match forked {
            Some(forked) => {
                drop(theirs);
                forked
            }
            None => self.spawn(theirs).await?,
        };
        let pid = identity::pid_of(&pidfd).ok().and_then(|pid| u32::try_from(pid).ok());
        link.witness.is_process(pid);
        let voice = Voice::new(&self.spec.pool, &self.life.to_string(), self.spec.meter.clone());
        let copies = || Some([taps[0].copy().ok()?, taps[1].copy().ok()?]);
        let parcel = self.spec.handover.is_on().then(copies).flatten();
        let outputs = output::read_all(&taps, &last, &voice, Some(&link));
        Ok(Started { link, pid, news, outputs, taps, last, voice, run, parcel })
    }

    async fn spawn(&self, theirs: Vec<OwnedFd>) -> Result<Begun, String> {
        let request = self.spec.command.request().map_err(|error| error.to_string())?;
        let program =
            String::from_utf8_lossy(request.arguments.first().map_or(b"", Vec::as_slice)).into_owned();
        let mut news = self.hold.spawn(self.number, request, theirs).await;
        match news.recv().await {
            Some(News::Spawned(pidfd, run)) => Ok((news, pidfd, run)),
            Some(News::Failed(failure)) => Err(explain(&program, &failure)),
            Some(News::Exited(_) | News::Gone(_)) | None => Err("the keeper was lost".to_owned()),
        }
    }

    /// Nothing when there is no fork server now, or when it does not fork.
    async fn fork(&self, brood: Option<Brood>, theirs: &[OwnedFd]) -> Option<Begun> {
        let brood = brood?;
        let turn = brood.turn().await?;
        let copies = theirs.iter().map(OwnedFd::try_clone).collect::<io::Result<Vec<_>>>().ok()?;
        let mut news = self.hold.fork(self.number, turn.from, &FDS, copies).await;
        let why = loop {
            match news.recv().await {
                Some(News::Spawned(pidfd, run)) => return Some((news, pidfd, run)),
                Some(News::Failed(failure)) => break failure.message,
                Some(News::Exited(_)) => {}
                Some(News::Gone(_)) => break "it never began".to_owned(),
                None => break "the keeper was lost".to_owned(),
            }
        };
        brood.failed(turn.from, self.life, &why);
        None
    }
}
