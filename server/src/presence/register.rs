//! The register of those who are there.

use super::attached::Attached;
use super::caller::Caller;
use super::held::{Client, Held, Seen};
use crate::telemetry::{Event, Events, What};
use sidewinder_core::presence::{
    Asked, Attendance, CheckedPresence, Deed, Denied, Epoch, Fact, Fenced, LeaseId, Parting, Presence,
};
use sidewinder_edge::peer::Identity;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{Notify, watch};

/// Digits of the daemon's run that the name of a lease begins with: one of an earlier run is not mistaken.
const RUN_DIGITS: usize = 12;

/// What is wanted of the pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Workers.
    Workers,
    /// Nobody. Calls that were told to finish have so long. The number tells one such time from the next.
    Nobody { within: Option<Duration>, number: u64 },
    /// Nobody, and no daemon either.
    Nothing,
}

/// Why a call does not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAdmitted {
    Expired,
    Stale,
    /// Only calls of attached clients are taken.
    LeaseRequired,
}

/// Knows who is there.
#[derive(Clone, Debug)]
pub(crate) struct Register {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    /// The next deadline has come nearer.
    nearer: Notify,
    wanted: watch::Sender<Wanted>,
    events: Events,
    run: String,
    lease_required: AtomicBool,
}

#[derive(Debug)]
pub(super) struct State {
    core: Presence,
    held: HashMap<LeaseId, Arc<Held>>,
    /// What the task sleeps for.
    armed: Option<Instant>,
    /// How often workers were let go.
    released: u64,
}

impl Register {
    /// Nobody is there. Called within a runtime, which keeps its time from now on.
    pub(crate) fn begin(rules: CheckedPresence, lease_required: bool, run: &str, events: Events) -> Self {
        // Microseconds of the calendar: a daemon that is started again goes on above every epoch of the one before.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let epoch = u64::try_from(since.as_micros()).unwrap_or(0);
        let core = Presence::new(Instant::now(), rules, epoch);
        let state = State { core, held: HashMap::new(), armed: None, released: 0 };
        let inner = Inner {
            state: Mutex::new(state),
            nearer: Notify::new(),
            wanted: watch::Sender::new(Wanted::Workers),
            events,
            run: run.chars().take(RUN_DIGITS).collect(),
            lease_required: AtomicBool::new(lease_required),
        };
        let register = Self { inner: Arc::new(inner) };
        tokio::spawn(register.clone().keep_time());
        register
    }

    /// A client wants a lease.
    pub(crate) fn attach(&self, client: Client) -> Result<Attached, Denied> {
        let asked = Asked {
            run: format!("{:?}\0{}\0{}\0{}", client.who, client.name, client.node, client.run).into(),
            peer: client.account.as_str().into(),
            interval: client.interval,
            ttl: client.ttl,
            remote: client.remote,
        };
        let (granted, held) = self.enter(|now, state, deeds| {
            let granted = state.core.attach(now, asked, deeds)?;
            let held = Arc::new(match state.held.get(&granted.lease) {
                Some(before) => before.again(&granted, client),
                None => Held::new(&granted, client),
            });
            state.held.insert(granted.lease, held.clone());
            let (what, word) = if granted.resumed {
                (What::ClientResumed, "is back")
            } else {
                (What::ClientAttached, "has attached")
            };
            // Under the lock, as all that is told of leases: in the order in which it was so.
            self.tell_client(what, &held.client, granted.lease, word);
            Ok((granted, held))
        })?;
        let lease = held.lease.subscribe();
        Ok(Attached { register: self.clone(), held, granted, lease })
    }

    /// Whether a call may come in, by its lease and epoch or without one.
    pub(crate) fn admit(&self, lease: &str, epoch: u64, who: &Identity) -> Result<Caller, NotAdmitted> {
        if lease.is_empty() {
            if self.inner.lease_required.load(Ordering::Relaxed) {
                return Err(NotAdmitted::LeaseRequired);
            }
            self.tell(Fact::Came);
            return Ok(Caller { register: self.clone(), held: None });
        }
        let id = self.parse(lease).ok_or(NotAdmitted::Expired)?;
        self.enter(|now, state, deeds| {
            // Whoever says somebody else's lease is not heard for it, either.
            let held = state.held.get(&id).filter(|held| held.client.who == *who);
            let held = held.cloned().ok_or(NotAdmitted::Expired)?;
            match state.core.admit(now, id, Epoch(epoch), deeds) {
                Err(Fenced::Expired) => Err(NotAdmitted::Expired),
                Err(Fenced::Stale) => Err(NotAdmitted::Stale),
                Ok(()) => {
                    held.call_begins();
                    let lease = held.lease.subscribe();
                    Ok(Caller { register: self.clone(), held: Some((held, lease)) })
                }
            }
        })
    }

    /// A fact that the pools know.
    pub(crate) fn tell(&self, fact: Fact) {
        self.enter(|now, state, deeds| state.core.handle(now, fact, deeds));
    }

    /// Other rules from now on.
    pub(crate) fn amend(&self, rules: CheckedPresence, lease_required: bool) {
        self.inner.lease_required.store(lease_required, Ordering::Relaxed);
        self.enter(|now, state, deeds| state.core.amend(now, rules, deeds));
    }

    /// What is wanted of the pools, now and from now on.
    pub(crate) fn wanted(&self) -> watch::Receiver<Wanted> {
        self.inner.wanted.subscribe()
    }

    /// Who is there.
    pub(crate) fn look(&self) -> (Attendance, Vec<Seen>) {
        let state = self.lock();
        let attendance = state.core.snapshot(Instant::now());
        let seen = attendance.leases.iter().filter_map(|(id, view)| {
            let held = state.held.get(id)?;
            Some(held.seen(self.name_of(*id), *view))
        });
        let seen = seen.collect();
        (attendance, seen)
    }

    pub(super) fn name_of(&self, lease: LeaseId) -> String {
        format!("{}-{}", self.inner.run, lease.0)
    }

    fn parse(&self, lease: &str) -> Option<LeaseId> {
        let number = lease.strip_prefix(&self.inner.run)?.strip_prefix('-')?;
        number.parse().ok().map(LeaseId)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one door to the core: what it decides is carried out before the lock is given back, in its order.
    fn enter<R>(&self, act: impl FnOnce(Instant, &mut State, &mut Vec<Deed>) -> R) -> R {
        let mut deeds = Vec::new();
        let mut state = self.lock();
        let result = act(Instant::now(), &mut state, &mut deeds);
        for deed in deeds {
            self.perform(&mut state, deed);
        }
        let next = state.core.next_deadline();
        if next.is_some_and(|next| state.armed.is_none_or(|armed| next < armed)) {
            state.armed = next;
            self.inner.nearer.notify_one();
        }
        result
    }

    fn perform(&self, state: &mut State, deed: Deed) {
        match deed {
            Deed::End { lease, why } => {
                let Some(held) = state.held.remove(&lease) else { return };
                held.lease.send_modify(|standing| standing.ended = Some(why));
                let (what, word) = match why {
                    Parting::Expired => (What::ClientExpired, "was not heard for as long as its lease holds"),
                    Parting::Died => (What::ClientDied, "is dead"),
                    Parting::Left => (What::ClientDetached, "has left"),
                };
                self.tell_client(what, &held.client, lease, word);
            }
            Deed::Overtake { lease, epoch } => {
                if let Some(held) = state.held.get(&lease) {
                    held.lease.send_modify(|standing| standing.epoch = epoch);
                }
            }
            Deed::Release { within } => {
                self.inner.events.tell(Event::new(What::Released, "nobody is there: workers leave"));
                state.released += 1;
                self.inner.wanted.send_replace(Wanted::Nobody { within, number: state.released });
            }
            Deed::Recall => {
                self.inner.wanted.send_replace(Wanted::Workers);
            }
            Deed::Exit => {
                self.inner.wanted.send_replace(Wanted::Nothing);
            }
            Deed::TellNobody { leaves_in } => {
                let text = match leaves_in {
                    Some(span) => format!("the last client has gone: workers leave in {span:?}"),
                    None => "the last client has gone: workers stay".to_owned(),
                };
                self.inner.events.tell(Event::new(What::Nobody, text));
            }
            Deed::TellSomebody => {
                self.inner.events.tell(Event::new(What::Somebody, "somebody is there"));
            }
            Deed::TellStalled(span) => {
                let text = format!("the daemon stood still for {span:?}: leases were extended by that");
                let event = Event::new(What::Stalled, text).with("stood_ms", span.as_millis());
                self.inner.events.tell(event);
            }
        }
    }

    fn tell_client(&self, what: What, client: &Client, lease: LeaseId, word: &str) {
        let text = format!("client {} ({}) {word}", client.name, client.origin);
        let event = Event::new(what, text)
            .with("client", &client.name)
            .with("lease", self.name_of(lease))
            .with("node", &client.node)
            .with("run", &client.run);
        self.inner.events.tell(event);
    }

    async fn keep_time(self) {
        loop {
            let due = self.lock().armed;
            let due = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {
                    self.lock().armed = None;
                    self.enter(|now, state, deeds| {
                        state.core.handle_timeout(now, deeds);
                        state.held.values().for_each(|held| held.come_by(now));
                    });
                }
                () = self.inner.nearer.notified() => {}
            }
        }
    }
}
