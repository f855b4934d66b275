//! How tightly Python's life is bound to that of its clients: the mode, how it is found, and what it means.
//!
//! | mode | who starts the daemon | a client is gone | nobody is there |
//! |---|---|---|---|
//! | `coupled` | the client: standard input is its lifeline | everything ends with the lifeline | workers stay |
//! | `supervised` | an init | its calls are released | workers leave after a while |
//! | `independent` | an init, or a hand | its calls go on | workers leave after a while |
//! | `distributed` | a cluster | its calls go on; leases are longer | workers leave after a while |

mod evidence;
mod lifeline;
mod wishes;

pub(crate) use evidence::Evidence;
pub(crate) use lifeline::Lifeline;
pub(crate) use wishes::{Patience, Wish, Wishes};

use sidewinder_core::OnAbandon;
use sidewinder_core::presence::PresenceRules;
use std::fmt;
use std::time::Duration;

/// How tightly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Coupled,
    Supervised,
    Independent,
    Distributed,
}

impl Mode {
    pub(crate) const ALL: [Self; 4] = [Self::Coupled, Self::Supervised, Self::Independent, Self::Distributed];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Coupled => "coupled",
            Self::Supervised => "supervised",
            Self::Independent => "independent",
            Self::Distributed => "distributed",
        }
    }

    /// What the end of its client means for a call that does not say so itself. Whoever never attached cannot be found
    /// again, so nothing goes on for it.
    pub(crate) fn on_abandon(self, attached: bool) -> OnAbandon {
        let goes_on = match self {
            Self::Coupled | Self::Supervised => false,
            Self::Independent | Self::Distributed => attached,
        };
        if goes_on { OnAbandon::FinishIfLost } else { OnAbandon::Cancel }
    }

    /// The rules of being there, where nobody says otherwise.
    pub(crate) fn rules(self) -> PresenceRules {
        let mut rules = PresenceRules::default();
        match self {
            // The lifeline says when nobody is there, and says it for certain.
            Self::Coupled => (rules.no_client, rules.startup) = (None, None),
            Self::Supervised | Self::Independent => {}
            Self::Distributed => {
                let longer = Duration::from_secs(30);
                (rules.ttl.local, rules.ttl.remote) = (longer, longer);
            }
        }
        rules
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// A mode, and why it is that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decided {
    pub(crate) mode: Mode,
    pub(crate) why: String,
}

/// What was asked for, or what the evidence says.
pub(crate) fn decide(wish: Wish, evidence: Evidence) -> Decided {
    let (mode, why) = match wish {
        Wish::Is(mode) => (mode, "it was asked for".to_owned()),
        Wish::Auto => evidence.verdict(),
    };
    Decided { mode, why }
}
