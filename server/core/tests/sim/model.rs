//! What the simulation knows, kept beside the core and never asked from it.

use sidewinder_core::{
    AffinityKey, CallId, CallKey, ClientId, Event, Failure, Generation, Life, Policy, Priority, Request,
    SlotId, Snapshot,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting { ready_by: Instant },
    Ready,
    Stopping { kill_at: Instant, early: bool },
    Killed { report_at: Option<Instant>, early: bool },
}

#[derive(Clone, Debug)]
pub(crate) struct Proc {
    pub(crate) phase: Phase,
    pub(crate) generation: Generation,
    /// The policy under which it became ready.
    pub(crate) policy: Policy,
    pub(crate) calls: BTreeSet<CallId>,
    pub(crate) begun: u32,
    pub(crate) served: u32,
    pub(crate) ready_at: Instant,
    pub(crate) idle_since: Instant,
    pub(crate) suspect_since: Option<Instant>,
    pub(crate) resident: u64,
    /// A call on it was seen to be overdue; its siblings have until then.
    pub(crate) condemned: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Waiting,
    Running(Life),
    Ghost(Life, Instant),
    /// Its worker is gone or has answered: this ending is owed in this very step.
    Owed(Option<Failure>),
}

#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) request: Request,
    pub(crate) state: State,
    pub(crate) interrupted: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Sheet {
    pub(crate) streak: u32,
    pub(crate) early: Vec<Instant>,
    pub(crate) fruitless: u32,
}

#[expect(clippy::struct_excessive_bools, reason = "facts about a run, not the states of a machine")]
pub(crate) struct Model {
    pub(crate) seed: u64,
    pub(crate) now: Instant,
    pub(crate) policy: Policy,
    pub(crate) generation: Generation,
    pub(crate) procs: BTreeMap<Life, Proc>,
    pub(crate) calls: BTreeMap<CallId, Held>,
    pub(crate) waiting: BTreeSet<CallId>,
    /// A full line was told, and no recovery since.
    pub(crate) saturated: bool,
    pub(crate) deadlines: BTreeSet<(Instant, CallId)>,
    /// Seats held by each client.
    pub(crate) seated: BTreeMap<ClientId, u32>,
    pub(crate) numbers: BTreeMap<SlotId, u32>,
    pub(crate) strikes: BTreeMap<CallKey, (u8, Instant)>,
    pub(crate) bound: BTreeMap<AffinityKey, Life>,
    /// Keys of which it is no longer known where they are bound.
    pub(crate) vague: BTreeSet<AffinityKey>,
    pub(crate) sheets: BTreeMap<SlotId, Sheet>,
    pub(crate) pool_sheet: Sheet,
    pub(crate) proved: bool,
    pub(crate) pool_fatal: bool,
    /// When the next life of a slot may and must come.
    pub(crate) rests: BTreeMap<SlotId, (Instant, Instant)>,
    pub(crate) fatal: BTreeSet<SlotId>,
    pub(crate) drain: Option<Instant>,
    pub(crate) halted: bool,
    /// Nobody is there.
    pub(crate) deserted: bool,
    /// Until when abandoned calls may finish then.
    pub(crate) forsaken_at: Option<Instant>,
    /// Abandoned, and to finish all the same.
    pub(crate) left: BTreeSet<CallId>,
    /// How often each other client was served since this one waits at the head of its lane.
    pub(crate) overtaken: BTreeMap<(ClientId, Priority), BTreeMap<ClientId, u32>>,
    pub(crate) passed: BTreeMap<Priority, u32>,
    /// Calls have no wish for a life: then the line is simple enough for exact checks of its order.
    pub(crate) plain: bool,
    /// Resizes make some exact expectations vague.
    pub(crate) resized: bool,
    pub(crate) before: Snapshot,
    pub(crate) event: Option<Event>,
    /// A life ended in this step for no fault of the line.
    pub(crate) bereft: bool,
    /// A death in this step that may have been early, and whether that is certain.
    pub(crate) early: Option<(SlotId, bool)>,
    /// Calls that were given another life than their key had, to be judged when all is known.
    pub(crate) strays: Vec<(Request, Life, Life, bool)>,
    /// Everything decided so far, as one number.
    pub(crate) digest: std::hash::DefaultHasher,
}

impl Model {
    pub(crate) fn client_waiting(&self, client: ClientId) -> usize {
        self.waiting.iter().filter(|call| self.calls[call].request.client == client).count()
    }

    pub(crate) fn parked(&self, client: ClientId) -> bool {
        let seats = self.seated.get(&client).copied().unwrap_or(0);
        self.policy.line.client_running_max.is_some_and(|max| seats >= max)
    }

    /// A life of which nothing is known yet.
    pub(crate) fn starting(&self, generation: Generation) -> Proc {
        Proc {
            phase: Phase::Starting { ready_by: self.now + self.policy.restart.start_timeout },
            generation,
            policy: self.policy.clone(),
            calls: BTreeSet::new(),
            begun: 0,
            served: 0,
            ready_at: self.now,
            idle_since: self.now,
            suspect_since: None,
            resident: 0,
            condemned: None,
        }
    }

    /// By all that is known from outside, this life could take a call.
    pub(crate) fn free(&self, life: Life) -> bool {
        self.procs.get(&life).is_some_and(|proc| {
            proc.phase == Phase::Ready
                && proc.suspect_since.is_none()
                && proc.calls.len() < usize::from(proc.policy.seats)
                && proc.policy.recycle.calls.is_none_or(|max| proc.begun < max)
        })
    }

    /// The time of those that nobody waits for is up.
    pub(crate) fn forsaken(&self) -> bool {
        self.forsaken_at.is_some_and(|by| by <= self.now)
    }

    pub(crate) fn quarantined(&self, key: CallKey) -> bool {
        self.strikes.get(&key).is_some_and(|&(count, last)| {
            count >= self.policy.poison.strikes_max && self.now - last < self.policy.poison.quarantine
        })
    }

    pub(crate) fn unseat(&mut self, client: ClientId) {
        let seats = self.seated.get_mut(&client).expect("a client that holds a seat");
        *seats -= 1;
        if *seats == 0 {
            self.seated.remove(&client);
        }
    }

    /// Ends a call for good, or leaves its ghost on the seat.
    pub(crate) fn conclude(&mut self, call: CallId, ghost: Option<(Life, Instant)>) {
        let held = self.calls.get_mut(&call).expect("a call that is known");
        if let Some(deadline) = held.request.deadline {
            self.deadlines.remove(&(deadline, call));
        }
        self.waiting.remove(&call);
        match ghost {
            Some((life, kill_at)) => held.state = State::Ghost(life, kill_at),
            None => _ = self.calls.remove(&call),
        }
        self.left.remove(&call);
    }

    /// Everything on a life that ended: ghosts go, the others are owed an ending.
    pub(crate) fn bereave(&mut self, calls: BTreeSet<CallId>, failure: Failure, strikes: bool) {
        let mut keys = BTreeSet::new();
        for call in calls {
            let held = self.calls.get_mut(&call).expect("a call on a life is known");
            let request = held.request;
            if let State::Ghost(..) = held.state {
                self.calls.remove(&call);
            } else {
                held.state = State::Owed(Some(failure));
            }
            self.unseat(request.client);
            keys.extend(request.key.filter(|_| strikes));
        }
        for key in keys {
            let fresh = (0, self.now);
            let (count, last) = self.strikes.get(&key).copied().unwrap_or(fresh);
            let count = if self.now - last < self.policy.poison.quarantine { count } else { 0 };
            self.strikes.insert(key, (count + 1, self.now));
        }
    }
}

/// The least that chance may leave of a span.
pub(crate) fn least(whole: Duration, percent: u8) -> Duration {
    (whole * u32::from(100 - percent) / 100).saturating_sub(Duration::from_micros(1))
}

/// Whether this life is shown to take calls.
pub(crate) fn open(snapshot: &Snapshot, life: Life) -> bool {
    snapshot.slots.iter().any(|slot| slot.life == Some(life) && slot.open)
}
