//! The fork server of one generation of a pool: kept standing for as long as anybody could be forked from it.
//!
//! ```text
//!   Importing ──preloaded──▶ Ready ──dies, or does not fork──▶ Importing (at once the first time, then later and later)
//!       │ unfit, dies, or too slow ─▶ Down for a while ─▶ Importing
//!       └ unforkable ─▶ Down for good
//! ```
//!
//! While it imports, lives wait for it: to import everything in each of them would be slower. While it is down they
//! start by themselves, so what cannot be imported is told as it is told without a fork server.

use super::frame::{Assembler, Message, VERSION};
use super::life::Spec;
use super::output::voice::Voice;
use super::output::{self, LastLines, Tap};
use super::socket::Socket;
use super::words::{self, Notice, ToWorker};
use crate::own::hold::{Hold, News, SERVERS_FROM};
use crate::telemetry::{Event, Events, What};
use rustix::pipe::PipeFlags;
use sidewinder_core::Life;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// Its name among the workers of the pool.
const NAME: &str = "fork-server";
/// Between two tries, at least and at most. Each is twice as long as the one before.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// One that stood for so long has stood well.
const STOOD_WELL: Duration = Duration::from_secs(10);
/// Lives that are being forked at a time; others wait. One midwife is busy with half of them, the rest is at hand. Wishes lie
/// in the socket of the fork server until it reads them, and a few hundred fill it: then it would be taken for one that
/// does not fork.
const FORKS_MAX: usize = 32;
/// Complaints that wait to be heard; further ones are about the same.
const COMPLAINTS: usize = 16;

/// How it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    Importing,
    /// Under this number.
    Ready(u32),
    Down(Arc<str>),
}

/// A way to the fork server. When the last one is dropped, it ends.
#[derive(Clone, Debug)]
pub(crate) struct Brood {
    standing: watch::Receiver<Standing>,
    room: Arc<Semaphore>,
    complaints: mpsc::Sender<u32>,
    teller: Teller,
}

/// A life may be forked from the fork server of this number. Held until that is done.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) from: u32,
    _room: OwnedSemaphorePermit,
}

/// Tells what becomes of it.
#[derive(Clone, Debug)]
struct Teller {
    pool: Arc<str>,
    events: Events,
}

/// Keeps it standing.
struct Keep {
    spec: Spec,
    hold: Hold,
    teller: Teller,
    standing: watch::Sender<Standing>,
    complaints: mpsc::Receiver<u32>,
    /// From its start until it has imported everything.
    patience: Duration,
    number: u32,
}

/// How one of them ended.
enum End {
    /// Nobody wants it any more.
    Unwanted,
    /// It must not be forked.
    Unforkable(String),
    /// It is no more. It was ready for so long.
    Gone(String, Option<Duration>),
}

/// One process of it, while it runs.
struct Process {
    control: Socket,
    frames: Assembler,
    last: LastLines,
    since: Instant,
    ready_since: Option<Instant>,
    why: Option<String>,
    unforkable: bool,
}

impl Brood {
    /// Starts a fork server, if one is wished for. A life has `start_timeout` to be ready: what of it is left when
    /// importing takes too long must be enough to start by itself.
    pub(crate) fn start(
        spec: &Spec,
        hold: &Hold,
        events: &Events,
        start_timeout: Duration,
        number: u32,
    ) -> Option<Self> {
        if !spec.command.fork_server {
            return None;
        }
        let (standing, watched) = watch::channel(Standing::Importing);
        let (complaints, heard) = mpsc::channel(COMPLAINTS);
        let teller = Teller { pool: Arc::from(spec.pool.as_str()), events: events.clone() };
        let keep = Keep {
            spec: spec.clone(),
            hold: hold.clone(),
            teller: teller.clone(),
            standing,
            complaints: heard,
            patience: start_timeout / 2,
            number,
        };
        tokio::spawn(keep.run());
        let room = Arc::new(Semaphore::new(FORKS_MAX));
        Some(Self { standing: watched, room, complaints, teller })
    }

    /// Waits for a turn, once it has imported everything; nothing when it is down.
    pub(super) async fn turn(&self) -> Option<Turn> {
        self.ready().await?;
        let room = self.room.clone().acquire_owned().await.ok()?;
        // It may have ended meanwhile.
        Some(Turn { from: self.ready().await?, _room: room })
    }

    async fn ready(&self) -> Option<u32> {
        let mut standing = self.standing.clone();
        let settled = standing.wait_for(|standing| *standing != Standing::Importing).await;
        match *settled.ok()? {
            Standing::Ready(number) => Some(number),
            Standing::Importing | Standing::Down(_) => None,
        }
    }

    /// A life could not be forked: this fork server is of no use.
    pub(super) fn failed(&self, number: u32, life: Life, why: &str) {
        self.teller.down(format!("did not fork worker {life}, which starts by itself: {why}"), why);
        // A full line of complaints says it too.
        let _ = self.complaints.try_send(number);
    }

    /// In a word, or in a sentence.
    pub(crate) fn shown(&self) -> String {
        match &*self.standing.borrow() {
            Standing::Importing => "importing".to_owned(),
            Standing::Ready(_) => "ready".to_owned(),
            Standing::Down(why) => why.to_string(),
        }
    }
}

impl Teller {
    fn down(&self, text: String, why: &str) {
        self.tell(Event::new(What::ForkServerDown, text).with("why", why));
    }

    fn tell(&self, mut event: Event) {
        event.pool = Some(self.pool.clone());
        self.events.tell(event);
    }
}

impl Keep {
    async fn run(mut self) {
        let mut pause = Duration::ZERO;
        loop {
            let _ = self.standing.send(Standing::Importing);
            let end = self.one().await;
            self.number = self.number.checked_add(1).unwrap_or(SERVERS_FROM);
            match end {
                End::Unwanted => return,
                End::Unforkable(why) => {
                    self.down(&why, "the fork server is not used, and workers start by themselves");
                    while self.complaints.recv().await.is_some() {}
                    return;
                }
                End::Gone(why, stood) => {
                    pause = match stood {
                        Some(stood) if stood >= STOOD_WELL => Duration::ZERO,
                        Some(_) if pause.is_zero() => Duration::ZERO,
                        Some(_) | None => (pause * 2).clamp(PAUSE_MIN, PAUSE_MAX),
                    };
                    self.down(&why, "the fork server is gone, and another one is started");
                    if !self.wait(pause).await {
                        return;
                    }
                    // One that dies as soon as it stands is not started without end.
                    pause = pause.max(PAUSE_MIN / 2);
                }
            }
        }
    }

    fn down(&self, why: &str, what: &str) {
        self.teller.down(format!("{what}: {why}"), why);
        let _ = self.standing.send(Standing::Down(Arc::from(why)));
    }

    /// Waits before the next try. False when there is none.
    async fn wait(&mut self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            tokio::select! {
                complaint = self.complaints.recv() => if complaint.is_none() { return false },
                () = sleep_until(until) => return true,
            }
        }
    }

    /// From the start of one to its end.
    async fn one(&mut self) -> End {
        let (mut process, mut news) = match self.begin().await {
            Ok(begun) => begun,
            Err(error) => return End::Gone(error.to_string(), None),
        };
        let mut open = true;
        loop {
            let patience = process.since + self.patience;
            tokio::select! {
                biased;
                message = process.control.next(&mut process.frames), if open => {
                    let taken = match message {
                        Ok(Some(message)) => process.take(message, &self.spec).await,
                        Ok(None) => { open = false; continue }
                        Err(error) => Err(error.to_string()),
                    };
                    match taken {
                        Ok(true) => self.preloaded(&mut process),
                        Ok(false) => {}
                        Err(why) => { open = false; process.blame(why); self.hold.kill(self.number).await }
                    }
                }
                told = news.recv() => match told {
                    Some(News::Spawned(..) | News::Exited(_)) => {}
                    Some(News::Failed(failure)) => {
                        process.blame(failure.message);
                        return process.end();
                    }
                    Some(News::Gone(_)) | None => return process.end(),
                },
                complaint = self.complaints.recv() => match complaint {
                    Some(number) if number == self.number => {
                        process.blame("it did not fork".to_owned());
                        self.hold.kill(self.number).await;
                    }
                    Some(_) => {}
                    None => { self.hold.kill(self.number).await; return End::Unwanted }
                },
                () = sleep_until(patience), if process.ready_since.is_none() && process.why.is_none() => {
                    process.blame(format!("it has not imported everything after {:?}", self.patience));
                    self.hold.kill(self.number).await;
                }
            }
        }
    }

    fn preloaded(&self, process: &mut Process) {
        process.ready_since = Some(Instant::now());
        let took = process.since.elapsed();
        let event = Event::new(What::ForkServerReady, format!("the fork server stands after {took:.1?}"));
        self.teller.tell(event.with("took_ms", took.as_millis()));
        let _ = self.standing.send(Standing::Ready(self.number));
    }

    async fn begin(&self) -> io::Result<(Process, mpsc::Receiver<News>)> {
        let (control, their_control) = Socket::pair()?;
        let (stdout, their_stdout) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let (stderr, their_stderr) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let request = self.spec.command.fork_server_request()?;
        let theirs = vec![their_stdout, their_stderr, their_control];
        let news = self.hold.spawn(self.number, request, theirs).await;
        let last = LastLines::default();
        let voice = Voice::new(&self.spec.pool, NAME, self.spec.meter.clone());
        output::read_all(&[Tap::on(stdout)?, Tap::on(stderr)?], &last, &voice, None);
        let process = Process {
            control,
            frames: Assembler::new(1, self.spec.message_max),
            last,
            since: Instant::now(),
            ready_since: None,
            why: None,
            unforkable: false,
        };
        Ok((process, news))
    }
}

impl Process {
    /// Takes one message. True when it says that workers can be forked.
    async fn take(&mut self, message: Message, spec: &Spec) -> Result<bool, String> {
        match words::notice(message).map_err(|broken| broken.to_string())? {
            Notice::Hello { oldest, newest, .. } if (oldest..=newest).contains(&VERSION) => {
                let welcome = ToWorker::Welcome {
                    message_max: spec.message_max as u64,
                    pool: spec.pool.clone(),
                    life: NAME.to_owned(),
                };
                self.control.say(welcome.message()).await.map_err(|error| error.to_string())?;
            }
            Notice::Hello { .. } => return Err("it speaks another version of the worker protocol".to_owned()),
            Notice::Preloaded => return Ok(self.why.is_none()),
            Notice::Unforkable { why } => {
                self.unforkable = true;
                self.blame(why);
            }
            Notice::Unfit { message, .. } => self.blame(format!("its modules cannot be imported: {message}")),
            Notice::Ready { .. }
            | Notice::Pong { .. }
            | Notice::Log { .. }
            | Notice::Progress { .. }
            | Notice::Heartbeat { .. }
            | Notice::Standing(_)
            | Notice::Stacks { .. } => return Err("it spoke as a worker does".to_owned()),
        }
        Ok(false)
    }

    fn blame(&mut self, why: String) {
        self.why.get_or_insert(why);
    }

    fn end(mut self) -> End {
        // What it said last may still be on its way.
        while let Ok(Some(message)) = self.control.next_now(&mut self.frames) {
            if let Ok(Notice::Unforkable { why }) = words::notice(message) {
                self.unforkable = true;
                self.blame(why);
            }
        }
        let why = self.why.unwrap_or_else(|| {
            let last = self.last.take().pop();
            last.map_or_else(
                || "it ended".to_owned(),
                |last| format!("it ended; the last that it said: {last}"),
            )
        });
        if self.unforkable {
            End::Unforkable(why)
        } else {
            End::Gone(why, self.ready_since.map(|at| at.elapsed()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn only_so_many_lives_are_forked_at_a_time() {
        let (_keep, standing) = watch::channel(Standing::Ready(7));
        let (complaints, _heard) = mpsc::channel(COMPLAINTS);
        let teller = Teller { pool: Arc::from("a pool"), events: Events::default() };
        let brood = Brood { standing, room: Arc::new(Semaphore::new(FORKS_MAX)), complaints, teller };
        let mut turns = Vec::new();
        for _ in 0..FORKS_MAX {
            turns.push(brood.turn().now_or_never().flatten().expect("there is room"));
        }
        assert!(turns.iter().all(|turn| turn.from == 7));
        assert!(brood.turn().now_or_never().is_none(), "one more has to wait");
        turns.pop();
        assert!(brood.turn().now_or_never().is_some());
    }
}
