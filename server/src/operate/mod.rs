//! Orders to the whole daemon: start pools, reload, quit.
//!
//! One at a time: a second reload waits for the first. A reload that cannot be carried out changes nothing, so
//! everything that may fail is done before anything that can be seen. A wish to stop waits for nobody: it is heard
//! between any two steps of a reload, which then has changed nothing.

pub(crate) mod attend;
mod bulletin;
mod closing;
mod estate;
mod found;
mod proof;
mod rules;
pub(crate) mod sight;
mod succession;

use crate::config::{Change, Changes, PoolSettings, Settings, Source};
use crate::handover::Handover;
use crate::lifecycle::{Evidence, Mode};
use crate::pool::{Handle, Pools};
use crate::presence::Register;
use crate::systemd::Herald;
use crate::telemetry::events::PROBLEMS;
use crate::telemetry::{Event, Events, What};
pub(crate) use estate::Estate;
pub(crate) use found::Founder;
use found::{Leaving, Member};
use sidewinder_core::presence::Fact;
use sidewinder_edge::server::{Crowd, Wish};
use sidewinder_edge::tls::{Fresh, Tls};
use sidewinder_keeper_wire::Welcome;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;
pub(crate) use succession::Handing;
use tokio::sync::{Mutex, watch};

/// Why a reload is not carried out any more.
const STOPPING: &str = "the daemon is stopping";

/// Whoever may tell the daemon what to do.
#[derive(Clone, Debug)]
pub(crate) struct Operator {
    pools: Pools,
    events: Events,
    herald: Herald,
    wish: Arc<watch::Sender<Wish>>,
    drain: Duration,
    whole: Whole,
    handover: Handover,
    handing: Arc<watch::Sender<Handing>>,
    state: Arc<Mutex<State>>,
}

/// What the daemon has as a whole, and what a reload may renew of it.
#[derive(Clone, Debug)]
pub(crate) struct Whole {
    pub(crate) register: Register,
    /// Decided when the daemon started.
    pub(crate) mode: Mode,
    pub(crate) evidence: Evidence,
    pub(crate) tls: Option<Tls>,
    /// Who is at the doors.
    pub(crate) crowd: Crowd,
}

#[derive(Debug)]
struct State {
    source: Source,
    settings: Settings,
    founder: Founder,
    members: BTreeMap<String, Member>,
    /// Pools that are not served any more, and may still have workers.
    leaving: Vec<Leaving>,
    /// Pools that end with the daemon.
    ending: Vec<Handle>,
}

impl Operator {
    /// Starts every pool.
    pub(crate) async fn begin(
        source: Source,
        settings: Settings,
        founder: Founder,
        (events, herald): (Events, Herald),
        wish: watch::Sender<Wish>,
        whole: Whole,
        mut estate: Estate,
    ) -> io::Result<(Self, Vec<Welcome>)> {
        let pools = Pools::default();
        let (mut members, mut welcomes) = (BTreeMap::new(), Vec::new());
        for (name, pool) in &settings.pools {
            let (member, welcome) = founder.found(name, pool, &settings, &events, &mut estate).await?;
            pools.add(name.clone(), member.handle.clone());
            members.insert(name.clone(), member);
            welcomes.push(welcome);
        }
        estate.close(&founder.handover, &events);
        let (drain, handover) = (settings.drain, founder.handover.clone());
        let state = State { source, settings, founder, members, leaving: Vec::new(), ending: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let (wish, handing) = (Arc::new(wish), Arc::new(watch::Sender::new(Handing::Nothing)));
        Ok((Self { pools, events, herald, wish, drain, whole, handover, handing, state }, welcomes))
    }

    /// The pools that are served.
    pub(crate) fn pools(&self) -> &Pools {
        &self.pools
    }

    /// Reads the settings again and carries out what has changed. The text names every problem.
    ///
    /// It is carried out to its end even if whoever asked does not wait for that.
    pub(crate) async fn reload(&self, renew: BTreeSet<String>) -> Result<Changes, String> {
        let operator = self.clone();
        let reloading = tokio::spawn(async move { operator.reload_whole(renew).await });
        reloading.await.unwrap_or_else(|error| Err(error.to_string()))
    }

    async fn reload_whole(&self, renew: BTreeSet<String>) -> Result<Changes, String> {
        let mut state = self.state.lock().await;
        self.herald.reloading();
        let done = self.try_reload(&mut state, &renew).await;
        self.herald.reloaded();
        let (text, bad) = match &done {
            Ok(changes) => (summary(changes), None),
            Err(problems) => {
                (format!("nothing was changed: {}", problems.replace('\n', "; ")), Some(problems))
            }
        };
        let mut event = Event::new(What::Reloaded, text);
        if let Some(problems) = bad {
            event = event.with(PROBLEMS, problems);
        }
        self.events.tell(event);
        done
    }

    async fn try_reload(&self, state: &mut State, renew: &BTreeSet<String>) -> Result<Changes, String> {
        let (mut new, fresh) = self.read(&state.source).await?;
        if let Some(unknown) = renew.iter().find(|name| !new.pools.contains_key(*name)) {
            return Err(format!("no pool is called `{unknown}`"));
        }
        let changes = Changes::between(&state.settings, &new, renew);
        new.keep_fixed(&state.settings);
        let rules = new.lifecycle.accepted(self.whole.mode, self.whole.evidence)?;
        let mut added = Vec::new();
        let founded = self.found_all(state, &new, &changes, &mut added).await;
        let ready = match founded {
            Ok(()) => Self::limit_all(state, &new, &changes).await,
            Err(why) => Err(why),
        };
        let ready = ready.and_then(|()| self.may_go_on());
        if let Err(why) = ready {
            for (_, member) in added {
                Self::dismiss(state, member, Duration::ZERO).await;
            }
            return Err(why);
        }
        if let (Some(tls), Some(fresh)) = (&self.whole.tls, fresh) {
            tls.renew(fresh);
        }
        for (name, member) in added {
            self.pools.add(name.clone(), member.handle.clone());
            state.members.insert(name, member);
        }
        for (name, change) in &changes.pools {
            match change {
                Change::Add => {}
                Change::Remove => self.remove(state, name).await,
                Change::Amend | Change::Renew => {
                    if let (Some(member), Some(pool)) = (state.members.get(name), new.pools.get(name)) {
                        let spec = state.founder.spec(name, pool, &new);
                        let renew = *change == Change::Renew;
                        member.handle.reload(spec, pool.policy.clone(), renew).await;
                    }
                }
            }
        }
        if changes.daemon.contains(&"clients") {
            self.whole.register.amend(rules, new.lifecycle.lease_required);
        }
        state.settings = new;
        Ok(changes)
    }

    /// Reads the settings, and the certificates. A file can be a pipe that nobody writes to.
    async fn read(&self, source: &Source) -> Result<(Settings, Option<Fresh>), String> {
        let (source, tls) = (source.clone(), self.whole.tls.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let settings = source.read().map_err(|problems| problems.to_string())?;
            let fresh = tls.map(|tls| tls.read()).transpose().map_err(|bad| bad.to_string())?;
            Ok((settings, fresh))
        });
        let mut wish = self.wish.subscribe();
        tokio::select! {
            biased;
            _ = wish.wait_for(|wish| matches!(wish, Wish::StopWithin(_))) => Err(STOPPING.to_owned()),
            read = reading => read.map_err(|error| error.to_string())?,
        }
    }

    fn may_go_on(&self) -> Result<(), String> {
        if self.is_stopping() { Err(STOPPING.to_owned()) } else { Ok(()) }
    }

    async fn found_all(
        &self,
        state: &State,
        new: &Settings,
        changes: &Changes,
        added: &mut Vec<(String, Member)>,
    ) -> Result<(), String> {
        for name in changes.of(Change::Add) {
            self.may_go_on()?;
            let Some(pool) = new.pools.get(&name) else { continue };
            let (member, _) = state
                .founder
                .found(&name, pool, new, &self.events, &mut Estate::default())
                .await
                .map_err(|error| format!("pool {name} cannot be started: {error}"))?;
            added.push((name, member));
        }
        Ok(())
    }

    /// Limits can be refused by the machine, so they go first; what was changed is taken back.
    async fn limit_all(state: &State, new: &Settings, changes: &Changes) -> Result<(), String> {
        let mut done: Vec<(&Member, &PoolSettings)> = Vec::new();
        for name in changes.of(Change::Renew) {
            let (Some(member), Some(old), Some(pool)) =
                (state.members.get(&name), state.settings.pools.get(&name), new.pools.get(&name))
            else {
                continue;
            };
            if let Err(why) = member.hold.limit(pool.limits.clone()).await {
                for (member, old) in done {
                    let _ = member.hold.limit(old.limits.clone()).await;
                }
                return Err(format!("pool {name}: {why}"));
            }
            done.push((member, old));
        }
        Ok(())
    }

    async fn remove(&self, state: &mut State, name: &str) {
        self.pools.remove(name);
        if let Some(member) = state.members.remove(name) {
            Self::dismiss(state, member, self.drain).await;
        }
    }

    /// A pool ends by itself from here on; the daemon waits for it when it stops.
    async fn dismiss(state: &mut State, member: Member, within: Duration) {
        member.handle.end(within).await;
        state.leaving.retain(|leaving| !leaving.handle.is_over());
        state.leaving.push(member.leave());
    }

    /// Whether the daemon is on its way out.
    pub(crate) fn is_stopping(&self) -> bool {
        matches!(*self.wish.borrow(), Wish::StopWithin(_))
    }

    /// Stops the daemon: calls may go on for so long. Said again, the shorter bound holds.
    pub(crate) async fn quit(&self, within: Option<Duration>) {
        let within = within.unwrap_or(self.drain);
        let text = match within {
            Duration::ZERO => "stopping: calls end at once".to_owned(),
            within => format!("stopping: calls may go on for {within:?}"),
        };
        self.events.tell(Event::new(What::Stopping, text).with("within_ms", within.as_millis()));
        self.herald.stopping();
        self.stay();
        self.whole.register.tell(Fact::Stopping);
        self.wish.send_replace(Wish::StopWithin(within));
        // Those that are served need no lock, which a reload may have.
        for handle in self.pools.all().into_values() {
            handle.end(within).await;
        }
        // The others may have to wait for the end of a reload. Whoever asked does not: it may have more to say.
        let operator = self.clone();
        tokio::spawn(async move {
            for handle in operator.handles().await {
                handle.end(within).await;
            }
        });
    }

    /// Ends every pool and waits until nothing of them is left.
    pub(crate) async fn end(&self) {
        for handle in self.handles().await {
            handle.end(self.drain).await;
        }
        let all: Vec<Leaving> = {
            let mut state = self.state.lock().await;
            let members = std::mem::take(&mut state.members).into_values().map(Member::leave);
            let all = members.chain(std::mem::take(&mut state.leaving)).collect::<Vec<_>>();
            state.ending = all.iter().map(|leaving| leaving.handle.clone()).collect();
            all
        };
        // Without the lock: whoever loses patience meanwhile may say so.
        for leaving in all {
            leaving.end().await;
        }
    }

    async fn handles(&self) -> Vec<Handle> {
        let state = self.state.lock().await;
        let members = state.members.values().map(|member| &member.handle);
        let leaving = state.leaving.iter().map(|leaving| &leaving.handle);
        members.chain(leaving).chain(&state.ending).cloned().collect()
    }
}

fn summary(changes: &Changes) -> String {
    let kinds = [
        ("changed", Change::Amend),
        ("renewed", Change::Renew),
        ("added", Change::Add),
        ("removed", Change::Remove),
    ];
    let mut parts: Vec<String> = kinds
        .into_iter()
        .map(|(word, change)| (word, changes.of(change)))
        .filter(|(_, names)| !names.is_empty())
        .map(|(word, names)| format!("{word} {}", names.join(", ")))
        .collect();
    if !changes.daemon.is_empty() {
        parts.push(format!("{} of the daemon hold from now on", changes.daemon.join(", ")));
    }
    if !changes.needs_restart.is_empty() {
        parts.push(format!("{} take a new start of the daemon", changes.needs_restart.join(", ")));
    }
    if parts.is_empty() { "nothing has changed".to_owned() } else { parts.join("; ") }
}
