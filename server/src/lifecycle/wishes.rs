//! What somebody wished for of modes, leases and leaving, before it is known in which mode it is to hold.

use super::{Evidence, Mode};
use sidewinder_core::Flaw;
use sidewinder_core::presence::{Bounds, CheckedPresence, PresenceRules};
use std::time::Duration;

/// A daemon that nobody starts again must not end by itself.
const FOR_EVER: &str = "exit_when_idle: no sockets were handed to this process, so nobody would start it again. Run it \
                        as a socket-activated unit, or leave that out: the daemon without workers costs a few MiB";

/// How long to wait, or for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    Never,
    For(Duration),
}

impl Patience {
    fn span(self) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::For(span) => Some(span),
        }
    }
}

/// A mode, or whichever the evidence speaks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wish {
    #[default]
    Auto,
    Is(Mode),
}

/// Everything that can be wished for. What is absent is as the mode has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wishes {
    pub(crate) mode: Wish,
    pub(crate) no_client: Option<Patience>,
    pub(crate) startup: Option<Patience>,
    pub(crate) finish_grace: Patience,
    pub(crate) exit_when_idle: bool,
    pub(crate) lease_required: bool,
    pub(crate) clients_max: usize,
    pub(crate) per_peer: usize,
    pub(crate) interval: Option<Duration>,
    pub(crate) interval_min: Duration,
    pub(crate) interval_max: Duration,
    pub(crate) ttl: Option<Duration>,
    pub(crate) ttl_min: Duration,
    pub(crate) ttl_max: Duration,
}

impl Default for Wishes {
    fn default() -> Self {
        let rules = PresenceRules::default();
        Self {
            mode: Wish::Auto,
            no_client: None,
            startup: None,
            finish_grace: rules.finish_grace.map_or(Patience::Never, Patience::For),
            exit_when_idle: rules.exit_when_idle,
            lease_required: false,
            clients_max: rules.clients_max,
            per_peer: rules.per_peer,
            interval: None,
            interval_min: rules.interval.least,
            interval_max: rules.interval.most,
            ttl: None,
            ttl_min: rules.ttl.least,
            ttl_max: rules.ttl.most,
        }
    }
}

impl Wishes {
    /// The rules in this mode, if a daemon with this evidence may have them.
    pub(crate) fn accepted(&self, mode: Mode, evidence: Evidence) -> Result<CheckedPresence, String> {
        if self.exit_when_idle && !evidence.activated {
            return Err(FOR_EVER.to_owned());
        }
        self.rules(mode).map_err(|flaws| {
            let said = flaws.iter().map(|flaw| format!("{} must {}", flaw.name, flaw.must));
            said.collect::<Vec<_>>().join("; ")
        })
    }

    /// Whether the other's rules are the same, whatever its mode.
    pub(crate) fn rules_as(&self, other: &Self) -> bool {
        *self == Self { mode: self.mode, ..other.clone() }
    }

    /// The rules in this mode, or everything that is wrong with them, by the names of the wishes.
    pub(crate) fn rules(&self, mode: Mode) -> Result<CheckedPresence, Vec<Flaw>> {
        let usual = mode.rules();
        let no_client = self.no_client.map_or(usual.no_client, Patience::span);
        let startup = self.startup.or(self.no_client).map_or(usual.startup, Patience::span);
        let bounds = |wish: Option<Duration>, usual: Bounds, least, most| Bounds {
            least,
            local: wish.unwrap_or(usual.local),
            remote: wish.unwrap_or(usual.remote),
            most,
        };
        let rules = PresenceRules {
            interval: bounds(self.interval, usual.interval, self.interval_min, self.interval_max),
            ttl: bounds(self.ttl, usual.ttl, self.ttl_min, self.ttl_max),
            clients_max: self.clients_max,
            per_peer: self.per_peer,
            no_client,
            startup,
            finish_grace: self.finish_grace.span(),
            exit_when_idle: self.exit_when_idle,
        };
        rules.check().map_err(|flaws| flaws.into_iter().map(by_wish).collect())
    }
}

/// The name that somebody wrote.
fn by_wish(flaw: Flaw) -> Flaw {
    let name = match flaw.name {
        "interval" => "clients.interval",
        "interval.least" => "clients.interval_min",
        "ttl" => "clients.ttl",
        "clients_max" => "clients.max",
        "per_peer" => "clients.per_peer",
        "no_client" => "lifecycle.no_client_timeout",
        "startup" => "lifecycle.startup_client_timeout",
        other => other,
    };
    Flaw { name, ..flaw }
}
