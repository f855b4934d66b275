//! What must hold after each step: nothing is owed, nothing is late, nobody waits beside a free seat, and
//! a snapshot shows what the simulation knows.

use crate::ensure;
use crate::fact::finishes;
use crate::model::{Model, Phase, Proc, State, least, open};
use sidewinder_core::{AffinityMode, CallId, Event, Leave, Phase as Shows, SlotId, Snapshot, State as Shown};
use std::time::Instant;

impl Model {
    pub(crate) fn after(&mut self, snapshot: Snapshot, next: Option<Instant>) {
        self.check_rests(&snapshot);
        self.check_endings();
        self.check_shown(&snapshot);
        self.condemn();
        self.check_time(&snapshot, next);
        self.check_leaving(&snapshot);
        self.check_strays(&snapshot);
        if self.drain.is_none() {
            self.check_work(&snapshot);
        }
        ensure!(
            self,
            self.waiting.len() <= self.policy.line.waiting_max,
            "{} calls wait",
            self.waiting.len()
        );
        let waiting: Vec<_> = self.waiting.iter().map(|call| self.calls[call].request).collect();
        let parked: Vec<_> =
            self.overtaken.keys().filter(|(client, _)| self.parked(*client)).copied().collect();
        self.overtaken.retain(|of, _| {
            !parked.contains(of) && waiting.iter().any(|request| (request.client, request.priority) == *of)
        });
        self.before = snapshot;
        self.bereft = false;
        self.strays.clear();
        self.event = None;
    }

    fn check_endings(&self) {
        if let Some(Event::Abandoned { call, lost }) = self.event {
            let kept = self.calls.get(&call).filter(|held| !finishes(held.request.on_abandon, lost));
            let ended = kept.is_none_or(|held| matches!(held.state, State::Ghost(..)));
            ensure!(self, ended, "{call:?} is abandoned and goes on: {kept:?}");
        }
        for (call, held) in &self.calls {
            ensure!(self, !matches!(held.state, State::Owed(_)), "{call:?} has no ending: {held:?}");
        }
        if let Some(Event::Submitted(request)) = &self.event
            && self.waiting.contains(&request.call)
            && let Some(max) = self.policy.line.client_waiting_max
        {
            let waiting = self.client_waiting(request.client);
            ensure!(
                self,
                waiting <= usize::try_from(max).expect("it fits"),
                "{waiting} calls of one client wait"
            );
        }
    }

    /// A snapshot says what is known.
    fn check_shown(&self, snapshot: &Snapshot) {
        ensure!(self, snapshot.waiting == self.waiting.len(), "{} calls wait", self.waiting.len());
        ensure!(self, snapshot.processes == self.procs.len(), "{} processes", self.procs.len());
        ensure!(self, snapshot.generation == self.generation, "{:?}", self.generation);
        ensure!(
            self,
            (snapshot.phase == Shows::Drained) == (self.drain.is_some() && self.halted),
            "{snapshot:?}"
        );
        for (life, proc) in &self.procs {
            let view = snapshot.slots.iter().find(|slot| slot.life == Some(*life));
            let state = match proc.phase {
                Phase::Starting { .. } => Shown::Starting,
                Phase::Ready => Shown::Running,
                Phase::Stopping { .. } | Phase::Killed { .. } => Shown::Stopping,
            };
            let known = (state, proc.calls.len(), proc.suspect_since.filter(|_| state == Shown::Running));
            let seen = view.map(|view| (view.state, view.busy, view.suspect_since));
            ensure!(self, seen == Some(known), "{life} is {known:?}, shown as {seen:?}");
            let counts = (proc.begun, proc.served, proc.resident);
            let shown = view.map(|view| (view.begun, view.served, view.resident));
            ensure!(
                self,
                state != Shown::Running || shown == Some(counts),
                "{life}: {counts:?}, shown as {shown:?}"
            );
        }
    }

    /// Pauses are as long as they must be, and giving up happens when it must.
    fn check_rests(&mut self, snapshot: &Snapshot) {
        let shown = |slot| snapshot.slots.iter().find(|view| view.slot == slot).map(|view| view.state);
        if let Some((slot, certain)) = self.early.take() {
            let seen = shown(slot);
            if certain || matches!(seen, Some(Shown::Backoff | Shown::Fatal)) {
                let wanted = self.charge(slot);
                ensure!(self, seen == Some(wanted), "slot {} must be {wanted}, is {seen:?}", slot.0);
            }
        }
        let now = self.now;
        let late: Vec<_> =
            self.rests.iter().filter(|(_, rest)| rest.1 <= now).map(|(slot, _)| *slot).collect();
        for slot in late {
            ensure!(self, shown(slot) != Some(Shown::Backoff), "slot {} rests too long", slot.0);
        }
        if let Some(Event::Resized { .. } | Event::Amended { .. }) = self.event {
            let gone = |slot: &&SlotId| !matches!(shown(**slot), Some(Shown::Backoff | Shown::Fatal));
            for slot in self.rests.keys().chain(&self.fatal).filter(gone).copied().collect::<Vec<_>>() {
                self.sheets.remove(&slot);
            }
        }
        // Whoever is not wanted any more need not rest.
        self.rests.retain(|slot, _| shown(*slot) == Some(Shown::Backoff));
        if self.resized {
            self.fatal.retain(|slot| shown(*slot) == Some(Shown::Fatal));
        }
        for view in &snapshot.slots {
            let known = match view.state {
                Shown::Backoff => self.rests.contains_key(&view.slot),
                Shown::Fatal => self.fatal.contains(&view.slot),
                Shown::Starting | Shown::Running | Shown::Stopping => true,
            };
            ensure!(self, known, "slot {} is {} for no reason", view.slot.0, view.state);
        }
        for slot in &self.fatal {
            ensure!(self, shown(*slot) == Some(Shown::Fatal), "slot {} must be FATAL", slot.0);
        }
    }

    /// When the first ghost on this life is to be gone, and whether there is anybody else on it.
    fn ghosts(&self, proc: &Proc) -> (Option<Instant>, bool) {
        let graced = |call: &CallId| match self.calls.get(call).map(|held| held.state) {
            Some(State::Ghost(_, at)) => Some(at),
            Some(State::Waiting | State::Running(_) | State::Owed(_)) | None => None,
        };
        let first = proc.calls.iter().filter_map(graced).min();
        (first, proc.calls.iter().all(|call| graced(call).is_some()))
    }

    /// Siblings of a call that is overdue have their time from when that was seen.
    fn condemn(&mut self) {
        for life in self.procs.keys().copied().collect::<Vec<_>>() {
            let (first, _) = self.ghosts(&self.procs[&life]);
            let until = self.now + self.policy.grace.sibling;
            let proc = self.procs.get_mut(&life).expect("it is there");
            match first {
                None => proc.condemned = None,
                Some(at) if at <= self.now => _ = proc.condemned.get_or_insert(until),
                Some(_) => {}
            }
        }
    }

    /// Nothing is late, and the pool wants to be woken in time.
    fn check_time(&self, snapshot: &Snapshot, next: Option<Instant>) {
        let grace = &self.policy.grace;
        let mut soonest = self.deadlines.first().map(|first| (first.0, format!("{:?}", first.1)));
        let mut owe = |at: Instant, what: String| {
            if soonest.as_ref().is_none_or(|soonest| at < soonest.0) {
                soonest = Some((at, what));
            }
        };
        let over = self.forsaken_at;
        let left =
            |call: &CallId| self.calls.get(call).is_some_and(|held| !matches!(held.state, State::Ghost(..)));
        if let Some(by) = over.filter(|_| self.left.iter().any(left)) {
            owe(by, "the end of those that nobody waits for".to_owned());
        }
        for (life, proc) in &self.procs {
            let (first_ghost, all_ghosts) = self.ghosts(proc);
            if let Some(by) = self.drain.filter(|_| !matches!(proc.phase, Phase::Killed { .. })) {
                owe(by, format!("drain of {life}"));
            }
            match proc.phase {
                Phase::Starting { ready_by } => owe(ready_by, format!("start of {life}")),
                Phase::Stopping { kill_at, .. } => owe(kill_at, format!("stop of {life}")),
                Phase::Killed { report_at: Some(at), .. } => owe(at, format!("report of {life}")),
                Phase::Killed { report_at: None, .. } => {}
                Phase::Ready => {
                    if let Some(at) = first_ghost {
                        let at = proc.condemned.filter(|_| !all_ghosts).unwrap_or(at);
                        owe(at, format!("overdue on {life}"));
                    }
                    if let Some(since) = proc.suspect_since.filter(|_| proc.calls.is_empty()) {
                        owe(since.max(proc.idle_since) + grace.suspect, format!("silent {life}"));
                    }
                    let view = snapshot.slots.iter().find(|slot| slot.life == Some(*life));
                    if let Some(age) =
                        proc.policy.recycle.age.filter(|_| view.is_some_and(|view| view.leaving.is_none()))
                    {
                        owe(proc.ready_at + age, format!("age of {life}"));
                    }
                    let deaf = |call: &CallId| {
                        self.calls[call].state == State::Running(*life) && !self.calls[call].interrupted
                    };
                    if let Some(by) =
                        self.drain.filter(|_| !grace.interrupt.is_zero() && proc.calls.iter().any(deaf))
                    {
                        owe(by.checked_sub(grace.interrupt).unwrap_or(by), format!("interrupt on {life}"));
                    }
                }
            }
        }
        if let Some((at, what)) = soonest {
            ensure!(self, at > self.now, "{what} is late");
            ensure!(self, next.is_some_and(|next| next <= at), "{what} will be missed: {next:?}, not {at:?}");
        }
        ensure!(self, next.is_none_or(|next| next > self.now), "what is due was not done");
    }

    /// Limits of lives: a reason that is there is seen, and a reason that is given is there.
    fn check_leaving(&self, snapshot: &Snapshot) {
        for view in snapshot.slots.iter().filter(|view| view.state == Shown::Running) {
            let Some(proc) = view.life.and_then(|life| self.procs.get(&life)) else { continue };
            let rules = &proc.policy.recycle;
            let spread = u64::from(rules.spread_percent);
            let over = rules.resident.is_some_and(|max| proc.resident >= max)
                || rules.calls.is_some_and(|max| proc.begun >= max)
                || proc.generation != self.generation;
            ensure!(self, !over || view.leaving.is_some(), "{view:?} is over a limit and stays");
            ensure!(
                self,
                rules.calls.is_none_or(|max| proc.begun < max || !view.open),
                "{view:?} still takes calls"
            );
            let known = self.before.slots.iter().any(|old| old.life == view.life && old.leaving.is_some());
            let Some(why) = view.leaving.filter(|_| !known) else { continue };
            let fits = match why {
                Leave::Calls => rules.calls.is_some_and(|max| {
                    u64::from(proc.begun) >= (u64::from(max) * (100 - spread) / 100).max(1)
                }),
                Leave::Age => {
                    rules.age.is_some_and(|age| self.now >= proc.ready_at + least(age, rules.spread_percent))
                }
                Leave::Idle => {
                    let idle = self.now - proc.idle_since;
                    let long = rules.idle.is_some_and(|span| idle >= least(span, rules.spread_percent));
                    proc.served > 0 && long
                }
                Leave::Memory => {
                    rules.resident.is_some_and(|max| proc.resident >= max * (100 - spread) / 100)
                }
                Leave::Restart => matches!(self.event, Some(Event::RestartRequested { .. })),
                Leave::Reload => proc.generation != self.generation,
                Leave::Resize => self.resized,
                Leave::Overdue => proc.policy.seats > 1,
                Leave::Drain => self.drain.is_some(),
                Leave::Deserted => self.deserted,
                Leave::ScaleDown => false,
            };
            ensure!(self, fits, "{view:?} leaves for no reason");
        }
    }

    /// Related calls stay together for as long as their life takes calls.
    fn check_strays(&mut self, snapshot: &Snapshot) {
        let exact = self.policy.line.affinity_keys_max > 100;
        for (request, life, bound, wrong) in std::mem::take(&mut self.strays) {
            let vague = request.affinity.is_some_and(|affinity| self.vague.contains(&affinity.key));
            let stayed = open(&self.before, bound) && open(snapshot, bound);
            let whole = self.procs.get(&bound).is_some_and(|proc| proc.policy.recycle.calls.is_none());
            ensure!(
                self,
                !(wrong && exact && stayed && whole && !vague),
                "{request:?} runs on {life} and belongs to {bound}"
            );
            if let Some(affinity) = request.affinity.filter(|_| !stayed) {
                // Before or after its life closed? From outside nobody can tell where the key is now.
                self.vague.insert(affinity.key);
            }
        }
        let gone: Vec<_> =
            self.bound.iter().filter(|(_, life)| !open(snapshot, **life)).map(|(key, _)| *key).collect();
        for key in gone {
            self.bound.remove(&key);
        }
    }

    /// Nobody waits beside a free seat, and nobody waits for a worker that nobody sends for.
    fn check_work(&self, snapshot: &Snapshot) {
        let free = |life| self.free(life) && open(snapshot, life);
        let somewhere = self.procs.keys().any(|life| free(*life));
        let mut helpless = 0;
        for call in &self.waiting {
            let request = &self.calls[call].request;
            if self.parked(request.client) {
                continue;
            }
            match request.affinity.filter(|affinity| affinity.mode != AffinityMode::Hint) {
                None => {
                    ensure!(self, !somewhere, "{call:?} waits beside a free seat");
                    helpless += 1;
                }
                Some(affinity) => {
                    let bound = self.bound.get(&affinity.key);
                    let exact =
                        self.policy.line.affinity_keys_max > 100 && !self.vague.contains(&affinity.key);
                    let beside = exact && bound.is_some_and(|life| free(*life));
                    ensure!(self, !beside, "{call:?} waits beside its own free seat");
                }
            }
        }
        let count = |state: Shown| snapshot.slots.iter().filter(|view| view.state == state).count();
        let coming = count(Shown::Starting) + count(Shown::Backoff) + count(Shown::Fatal) + self.failing();
        let open = snapshot.slots.iter().filter(|view| view.open).count();
        let size = self.policy.size;
        let least = if self.deserted { self.policy.warm.min(size.max()) } else { size.min() };
        let room = self.procs.len() < usize::from(size.ceiling()) && !self.pool_fatal;
        let hopeless = self.pool_fatal && self.procs.is_empty();
        ensure!(self, !hopeless || snapshot.phase == Shows::Fatal, "all is lost and not said: {snapshot:?}");
        let short = open + coming < usize::from(least);
        ensure!(self, !(room && short), "there are fewer lives than {least}: {snapshot:?}");
        self.check_desert(snapshot, coming);
        let unhelped = helpless > 0 && coming == 0 && open < usize::from(size.max());
        ensure!(self, !(room && unhelped), "{helpless} calls wait, there is room, and nobody is sent for");
    }

    /// Where nobody is, nobody idles.
    fn check_desert(&self, snapshot: &Snapshot, coming: usize) {
        if !self.deserted || !self.waiting.is_empty() {
            return;
        }
        let staying = || snapshot.slots.iter().filter(|view| view.open && !view.replacing);
        let idle = staying().filter(|view| view.busy == 0 && view.suspect_since.is_none()).count();
        let many = staying().count() + coming > usize::from(self.policy.warm.min(self.policy.size.max()));
        ensure!(self, idle == 0 || !many, "nobody is there, and {idle} idle: {snapshot:?}");
    }

    fn failing(&self) -> usize {
        self.procs.values().filter(|proc| matches!(proc.phase, Phase::Killed { early: true, .. })).count()
    }
}
