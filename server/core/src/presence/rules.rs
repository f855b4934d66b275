//! Every limit of being there: a name, a unit, a default.

use crate::policy::{Flaw, SPAN_MAX};
use std::ops::Deref;
use std::time::Duration;

/// What a client may wish for, and what it gets without a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// No less.
    pub least: Duration,
    /// Without a wish, on this machine.
    pub local: Duration,
    /// Without a wish, by a network.
    pub remote: Duration,
    /// No more.
    pub most: Duration,
}

impl Bounds {
    fn agree(&self, wish: Option<Duration>, remote: bool) -> Duration {
        let usual = if remote { self.remote } else { self.local };
        wish.unwrap_or(usual).clamp(self.least, self.most)
    }

    fn fit(&self) -> bool {
        let ordered = |usual| self.least <= usual && usual <= self.most;
        ordered(self.local) && ordered(self.remote) && self.most <= SPAN_MAX
    }
}

/// The rules of being there. See [`PresenceRules::default`] for the values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceRules {
    /// How often each side sends a beat.
    pub interval: Bounds,
    /// How long a lease holds after its client was heard.
    pub ttl: Bounds,
    /// Clients attached at a time.
    pub clients_max: usize,
    /// Leases of one peer at a time: one who goes away without a word again and again leaves room for others.
    pub per_peer: usize,
    /// Workers leave when nobody was there for so long. Never, if it is nothing.
    pub no_client: Option<Duration>,
    /// The same before anybody has come, from readiness on.
    pub startup: Option<Duration>,
    /// What calls have that were told to finish, once the workers leave. As long as they want, if it is nothing.
    pub finish_grace: Option<Duration>,
    /// End when nobody is there and the workers have left.
    pub exit_when_idle: bool,
}

impl Default for PresenceRules {
    fn default() -> Self {
        let (ms, secs) = (Duration::from_millis, Duration::from_secs);
        Self {
            interval: Bounds { least: ms(100), local: secs(2), remote: secs(2), most: secs(3_600) },
            ttl: Bounds { least: ms(500), local: secs(10), remote: secs(15), most: secs(24 * 3_600) },
            clients_max: 1_000,
            per_peer: 250,
            no_client: Some(secs(60)),
            startup: Some(secs(60)),
            finish_grace: Some(secs(24 * 3_600)),
            exit_when_idle: false,
        }
    }
}

impl PresenceRules {
    /// Accepts the rules, or names everything that is wrong with them.
    pub fn check(self) -> Result<CheckedPresence, Vec<Flaw>> {
        let mut flaws = Vec::new();
        let mut want = |holds: bool, name, must| {
            if !holds {
                flaws.push(Flaw { name, must });
            }
        };
        let (interval, ttl) = (&self.interval, &self.ttl);
        want(interval.fit(), "interval", "lie within its bounds, which are at most ten years");
        want(ttl.fit(), "ttl", "lie within its bounds, which are at most ten years");
        want(interval.least >= Duration::from_millis(1), "interval.least", "be at least 1 ms");
        want(
            ttl.local >= interval.local * 2 && ttl.remote >= interval.remote * 2,
            "ttl",
            "be at least twice the interval, or one late beat ends a lease",
        );
        want(self.clients_max > 0, "clients_max", "be at least 1");
        want(self.per_peer > 0, "per_peer", "be at least 1");
        let spans =
            [("no_client", self.no_client), ("startup", self.startup), ("finish_grace", self.finish_grace)];
        for (name, span) in spans {
            want(span.is_none_or(|span| span <= SPAN_MAX), name, "be at most ten years");
        }
        if flaws.is_empty() { Ok(CheckedPresence(self)) } else { Err(flaws) }
    }
}

/// Rules without flaws.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckedPresence(PresenceRules);

impl CheckedPresence {
    /// What a client gets: its wishes within bounds, and a lease that outlives one late beat.
    pub(super) fn agree(
        &self,
        interval: Option<Duration>,
        ttl: Option<Duration>,
        remote: bool,
    ) -> (Duration, Duration) {
        let interval = self.interval.agree(interval, remote);
        let ttl = self.ttl.agree(ttl, remote);
        let interval = interval.min((ttl / 2).max(self.interval.least));
        (interval, ttl.max(interval * 2))
    }
}

impl Deref for CheckedPresence {
    type Target = PresenceRules;

    fn deref(&self) -> &PresenceRules {
        &self.0
    }
}
