//! From a spawn to the proof that everybody is gone: one task a life.
//!
//! It asks the keeper for the process, hears hello and ready, passes on what the worker says, and notices when it
//! says nothing. Whatever the worker does wrong ends its life; nothing it does ends the task.

mod last_words;
mod left;
mod parcel;
mod pulse;

use super::brood::Brood;
use super::command::Command;
use super::frame::{Assembler, Message, VERSION};
use super::link::{Link, Unasked};
use super::output::voice::Voice;
use super::output::{self, Reading, Tap};
use super::start::{Start, Started};
use super::words::{self, Ask, CANARY_CALL, Notice, Said, ToWorker};
use crate::handover::Handover;
use crate::own::hold::{Hold, News};
use crate::telemetry::metrics::PoolMeter;
use bytes::Bytes;
pub(crate) use last_words::LastWords;
use left::Asked;
pub(crate) use left::{Reply, Standing, Word, resume};
pub(crate) use parcel::Pipes;
use sidewinder_core::{Event, Jitter, Life};
use sidewinder_keeper_wire::Gone;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// After the death of the tree its pipes are at their end; this bounds the wait for a descendant of somebody else.
const OUTPUT_PATIENCE: Duration = Duration::from_millis(100);

/// What every life of a pool has in common.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) pool: String,
    pub(crate) meter: Arc<PoolMeter>,
    pub(crate) command: Command,
    pub(crate) message_max: usize,
    /// From the wish that a call ends to the kill.
    pub(crate) interrupt_grace: Duration,
    /// From the order to leave to the kill.
    pub(crate) stop_grace: Duration,
    /// It was said that Python has another version of `sidewinder` than the daemon.
    pub(crate) installed_said: Arc<AtomicBool>,
    /// Where a successor of the daemon finds lives that are ready.
    pub(crate) handover: Handover,
    /// A digest of what lives are started by.
    pub(crate) rules: u64,
    /// The first call of this daemon: lower ones were given by an earlier one.
    pub(crate) first_call: u64,
}

/// What a life tells its pool.
#[derive(Debug)]
pub(crate) enum Told {
    /// Something for the core to know.
    Fact(Event),
    /// The process runs; this is the way to it.
    Opened(Arc<Link>, Option<u32>),
    /// It is ready, and offers these tools.
    Offers(Bytes),
    /// It was there before this daemon, and has these calls.
    Resumed(Life, Vec<Standing>),
    /// It never started, and why.
    NotStarted(Life, String),
    /// Nothing of it is left.
    Ended(Life, Box<LastWords>),
}

/// Who is told what becomes of lives.
pub(crate) trait Listener: fmt::Debug + Send + Sync {
    /// It waits for nothing.
    fn hear(&self, told: Told);
}

struct Living {
    life: Life,
    number: u32,
    hold: Hold,
    pool: Arc<dyn Listener>,
    link: Arc<Link>,
    /// What it prints.
    taps: [Arc<Tap>; 2],
    voice: Voice,
    calls: Assembler,
    control: Assembler,
    greeted: bool,
    ready: bool,
    /// What it offers, until it has answered the canary.
    offer: Option<Bytes>,
    words: LastWords,
    pings: u64,
    /// The first ping that was not answered.
    unanswered: Option<Instant>,
    suspected: bool,
    gone: Option<Box<Gone>>,
    /// It has closed a socket: it is on its way out, or it plays dead.
    closed: Option<Instant>,
    /// The run of its keeper.
    run: String,
    /// What is to be parked when it is ready.
    parcel: Option<Pipes>,
    /// What it was asked in the place of an earlier daemon, until it has answered.
    asked: Option<Asked>,
    /// What it says of lower calls was meant for an earlier daemon.
    strict_from: u64,
    spec: Arc<Spec>,
}

/// Lives one life.
pub(crate) async fn live(start: Start, brood: Option<Brood>, pool: Arc<dyn Listener>) {
    let started = start.begin(brood).await;
    let Start { life, number, spec, hold } = start;
    match started {
        Ok(started) => {
            pool.hear(Told::Opened(started.link.clone(), started.pid));
            live_on(started, number, spec, hold, pool, |_| {}).await;
        }
        Err(why) => pool.hear(Told::NotStarted(life, why)),
    }
}

/// From the process to its end.
async fn live_on(
    started: Started,
    number: u32,
    spec: Arc<Spec>,
    hold: Hold,
    pool: Arc<dyn Listener>,
    begin: impl FnOnce(&mut Living),
) {
    let last = started.last.clone();
    let (mut living, news, outputs) = started.into_living(number, spec, hold, pool);
    begin(&mut living);
    living.run(news).await;
    for output in outputs {
        let _ = tokio::time::timeout(OUTPUT_PATIENCE, output).await;
    }
    living.voice.end();
    living.forget();
    living.end(last.take());
}

impl Started {
    fn into_living(
        self,
        number: u32,
        spec: Arc<Spec>,
        hold: Hold,
        pool: Arc<dyn Listener>,
    ) -> (Living, mpsc::Receiver<News>, Vec<Reading>) {
        let seats = usize::from(spec.command.seats.max(1));
        let living = Living {
            life: self.link.life,
            number,
            hold,
            pool,
            calls: Assembler::new(seats, spec.message_max),
            control: Assembler::new(seats + 1, spec.message_max),
            link: self.link,
            taps: self.taps,
            voice: self.voice,
            greeted: false,
            ready: false,
            offer: None,
            words: LastWords::default(),
            pings: 0,
            unanswered: None,
            suspected: false,
            gone: None,
            closed: None,
            run: self.run.to_string(),
            parcel: self.parcel,
            asked: None,
            strict_from: 0,
            spec,
        };
        (living, self.news, self.outputs)
    }
}

impl Living {
    /// Until nothing of the tree is left.
    async fn run(&mut self, mut news: mpsc::Receiver<News>) {
        let link = self.link.clone();
        let (mut calls_open, mut control_open) = (true, true);
        let mut clock = pulse::clock();
        loop {
            tokio::select! {
                biased;
                message = link.calls.next(&mut self.calls), if calls_open && self.asked.is_none() => {
                    calls_open = self.take(message, true).await;
                }
                message = link.control.next(&mut self.control), if control_open => {
                    control_open = self.take(message, false).await;
                }
                told = news.recv() => match told {
                    Some(News::Exited(ending)) => self.words.ending = Some(ending),
                    Some(News::Gone(gone)) => { self.gone = Some(gone); break }
                    Some(News::Spawned(..) | News::Failed(_)) => {}
                    None => { self.words.fault.get_or_insert_with(|| "the keeper was lost".to_owned()); break }
                },
                _ = clock.tick() => self.on_tick().await,
            }
        }
        // What it said before it died is still in the sockets.
        while let Ok(Some(message)) = link.calls.next_now(&mut self.calls) {
            self.take(Ok(Some(message)), true).await;
        }
        while let Ok(Some(message)) = link.control.next_now(&mut self.control) {
            self.take(Ok(Some(message)), false).await;
        }
        link.close();
    }

    /// Takes one message. False when no further one can come.
    async fn take(&mut self, message: io::Result<Option<Message>>, calls: bool) -> bool {
        let result = match message {
            Ok(None) => {
                self.closed.get_or_insert_with(Instant::now);
                return false;
            }
            Ok(Some(message)) if calls => self.on_calls(message).await,
            Ok(Some(message)) => self.on_control(message).await,
            Err(error) => Err(error.to_string()),
        };
        if let Err(fault) = result {
            self.fault(fault).await;
            return false;
        }
        true
    }

    async fn fault(&mut self, fault: String) {
        self.words.fault.get_or_insert(fault);
        self.hold.kill(self.number).await;
    }

    async fn on_calls(&mut self, message: Message) -> Result<(), String> {
        let (call, said) = words::said(message).map_err(told)?;
        let earlier = call < self.strict_from || (call == CANARY_CALL && self.strict_from > 0);
        if earlier && !self.link.is_open(call) {
            // Meant for an earlier daemon, or said twice.
            return Ok(());
        }
        if call == CANARY_CALL {
            return self.on_canary(said);
        }
        let ending = said.is_ending();
        if ending {
            output::dry(&self.taps).await;
        }
        self.link.pass_on(call, said).map_err(|unasked| match unasked {
            Unasked::UnknownCall => format!("it spoke about call {call}, which it does not have"),
            Unasked::BeyondCredit => format!("it said more items of call {call} than it had credit for"),
        })?;
        if ending {
            let call = sidewinder_core::CallId(call);
            self.tell(Told::Fact(Event::Finished { life: self.life, call }));
        }
        Ok(())
    }

    /// The worker said that it is ready; the canary shows that calls come through.
    fn on_canary(&mut self, said: Said) -> Result<(), String> {
        let lives = match &said {
            Said::Answer(_) => true,
            Said::Rejected(reason, _) => reason == "UNKNOWN_TOOL",
            Said::Item(_) | Said::Want(_) | Said::End | Said::Raised(_) => false,
        };
        let Some(offer) = self.offer.take().filter(|_| lives) else {
            return Err(format!("it did not answer the canary, but said {said:?}"));
        };
        self.link.pass_on(CANARY_CALL, said).map_err(|_| "it answered the canary twice".to_owned())?;
        self.words.was_ready = true;
        self.park(&offer);
        self.tell(Told::Offers(offer));
        let jitter = Jitter(super::dice());
        self.tell(Told::Fact(Event::Ready { life: self.life, jitter }));
        Ok(())
    }

    async fn on_control(&mut self, message: Message) -> Result<(), String> {
        match words::notice(message).map_err(told)? {
            Notice::Hello { .. } if self.greeted => return Err("it said hello twice".to_owned()),
            Notice::Hello { oldest, newest, language, runtime, installed } => {
                if !(oldest..=newest).contains(&VERSION) {
                    return Err(format!(
                        "it speaks versions {oldest} to {newest} of the worker protocol and this daemon {VERSION} \
                         ({language}, runtime {runtime}): install a sidewinder of this version, or none"
                    ));
                }
                self.greeted = true;
                self.voice.runs_another(&runtime, &installed, &self.spec.installed_said);
                let welcome = ToWorker::Welcome {
                    message_max: self.spec.message_max as u64,
                    pool: self.spec.pool.clone(),
                    life: self.life.to_string(),
                };
                self.link.control.say(welcome.message()).await.map_err(told)?;
                self.link.welcome();
            }
            _ if !self.greeted => return Err("it spoke before it said hello".to_owned()),
            Notice::Ready { .. } if self.ready => return Err("it said ready twice".to_owned()),
            Notice::Ready { offer, .. } => {
                self.ready = true;
                self.offer = Some(offer);
                self.link.lend(CANARY_CALL);
                let (_, rest) = self.link.open(CANARY_CALL, Box::new(Ask::canary())).map_err(told)?;
                self.link.calls.say_rest(rest).await.map_err(told)?;
            }
            Notice::Unfit { message, traceback } => self.words.unfit = Some((message, traceback)),
            Notice::Pong { resident, .. } => self.on_pong(resident),
            Notice::Log { call, level, message } => self.voice.logged(call, &level, &message),
            Notice::Stacks { number, text } => self.link.dumped(number, text),
            Notice::Standing(reply) => self.on_reply(reply)?,
            Notice::Progress { .. } | Notice::Heartbeat { .. } => self.unanswered = None,
            Notice::Preloaded | Notice::Unforkable { .. } => {
                return Err("it spoke as a fork server".to_owned());
            }
        }
        Ok(())
    }

    fn end(mut self, stderr: Vec<String>) {
        self.words.stderr = stderr;
        if let Some(gone) = self.gone.take() {
            self.words.oom = gone.oom_kills > 0;
            self.words.ending = gone.ending.or(self.words.ending);
        }
        let words = std::mem::take(&mut self.words);
        self.tell(Told::Ended(self.life, Box::new(words)));
    }

    fn tell(&self, told: Told) {
        self.pool.hear(told);
    }
}

fn told(error: impl fmt::Display) -> String {
    error.to_string()
}
