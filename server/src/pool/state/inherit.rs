//! Lives that an earlier daemon has left, and their calls.
//!
//! A call that goes on is carried to whoever keeps endings by their key. The others are given up as if their callers had
//! gone this very moment, and so they have.

use super::super::conversation::Conversation;
use super::super::desk::Ways;
use super::super::handle::{Abandoned, Lost, Ticket};
use super::{Known, Running, State};
use crate::own::hold::{SERVERS_FROM, Survivor};
use crate::telemetry::{Event, What};
use crate::worker::life::{self, Standing};
use crate::worker::memo::Memo;
use sidewinder_core::{
    Adopted, CallId, CallKey, ClientId, Effect, Event as Fact, Jitter, Life, OnAbandon, Request, SLOTS_MAX,
    SlotId,
};
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// Items that a generator without a reader may be ahead of whoever takes them.
const CREDIT: u32 = 64;
/// Whoever has called before this daemon was there shares one place in the line.
const EARLIER: ClientId = ClientId(u64::MAX);

/// A call of an earlier daemon that goes on, or has ended and is told once more.
#[derive(Debug)]
pub(crate) struct Carried {
    pub(crate) conversation: Conversation,
    pub(crate) memo: Memo,
    pub(crate) streams: bool,
}

/// Where they are carried. When nobody holds it any more, all of them have been.
pub(crate) type Carrier = mpsc::UnboundedSender<Carried>;

/// What a pool begins with.
#[derive(Debug)]
pub(crate) struct Inheritance {
    pub(crate) survivors: Vec<Survivor>,
    /// The first number that no worker of the keeper has.
    pub(crate) next_number: u32,
    /// The same of fork servers.
    pub(crate) next_server: u32,
    pub(crate) carrier: Option<Carrier>,
}

impl Default for Inheritance {
    fn default() -> Self {
        Self { survivors: Vec::new(), next_number: 1, next_server: SERVERS_FROM, carrier: None }
    }
}

/// What a pool keeps of that, until all have spoken or are gone.
#[derive(Debug)]
pub(super) struct Heir {
    carrier: Carrier,
    abandoned: mpsc::UnboundedSender<Abandoned>,
    silent: Vec<Life>,
}

impl State {
    /// Before anything else is decided.
    pub(super) fn inherit(&mut self, inheritance: Inheritance, ways: &Ways, effects: &mut Vec<Effect>) {
        let Inheritance { survivors, next_number, next_server: _, carrier } = inheritance;
        self.next_number = self.next_number.max(next_number);
        let mut lives = Vec::new();
        for survivor in survivors {
            let deed = &survivor.left.deed;
            let life = Life { slot: SlotId(deed.slot), number: deed.life };
            let number = deed.number;
            if deed.slot >= SLOTS_MAX || self.lives.keys().any(|known| known.slot == life.slot) {
                let hold = self.hold.clone();
                tokio::spawn(async move { hold.kill(number).await });
                continue;
            }
            let outdated = deed.rules != self.spec.rules;
            lives.push(Adopted { life, outdated });
            self.lives.insert(life, Known::begin(number));
            let Some(pool) = self.listener() else { continue };
            tokio::spawn(life::resume(life, survivor, self.spec.clone(), self.hold.clone(), pool));
        }
        if lives.is_empty() {
            return;
        }
        if let Some(carrier) = carrier {
            let silent = lives.iter().map(|adopted| adopted.life).collect();
            self.heir = Some(Heir { carrier, abandoned: ways.abandoned.clone(), silent });
        }
        self.core.handle(Instant::now(), Fact::Adopted { lives }, effects);
    }

    /// A life has said what runs on it.
    pub(super) fn on_resumed(&mut self, life: Life, standing: Vec<Standing>, effects: &mut Vec<Effect>) {
        let runs = standing.iter().filter(|standing| !standing.ended);
        let calls: Vec<Request> = runs.map(request).collect();
        let text = format!("goes on after its daemon, with {} calls", calls.len());
        let event = Event::new(What::WorkerReady, text).with("adopted", true).with("calls", calls.len());
        self.tell_event(Some(life), event);
        let jitter = Jitter(crate::worker::dice());
        self.core.handle(Instant::now(), Fact::Resumed { life, calls, jitter }, effects);
        for standing in standing {
            self.carry(life, standing);
        }
        self.has_spoken(life);
    }

    fn carry(&mut self, life: Life, standing: Standing) {
        let link = self.lives.get(&life).and_then(|known| known.link.clone());
        let (Some(heir), Some(link)) = (&self.heir, link) else { return };
        let call = CallId(standing.call);
        let (sender, verdict) = oneshot::channel();
        if !standing.ended {
            self.running.insert(call, Running { life, verdict: sender });
        }
        let Standing { memo, ended, streams, said, .. } = standing;
        let on_abandon = if memo.is_some() { OnAbandon::Finish } else { OnAbandon::Cancel };
        let ticket = Ticket::new(call, heir.abandoned.clone(), on_abandon, Lost::when(|| true));
        let mut conversation = Conversation::resumed(call, link.clone(), said, verdict, ticket);
        if ended {
            conversation.has_ended();
        }
        // Without a memo it is dropped here, and so given up.
        let Some(memo) = memo else { return };
        if streams && !ended {
            tokio::spawn(async move { link.credit(call.0, CREDIT).await });
        }
        let _ = heir.carrier.send(Carried { conversation, memo, streams });
    }

    /// It has spoken, or never will.
    pub(super) fn has_spoken(&mut self, life: Life) {
        let Some(heir) = &mut self.heir else { return };
        heir.silent.retain(|silent| *silent != life);
        if heir.silent.is_empty() {
            self.heir = None;
        }
    }
}

fn request(standing: &Standing) -> Request {
    let mut request = Request::new(CallId(standing.call), EARLIER);
    if let Some(memo) = &standing.memo {
        request.on_abandon = OnAbandon::Finish;
        request.deadline = memo.due();
        request.key = Some(CallKey(memo.call_key)).filter(|_| !memo.key.is_empty());
    }
    request
}
