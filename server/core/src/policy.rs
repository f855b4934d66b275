//! Every limit of a pool: a name, a unit, a default.
//!
//! A [`Policy`] is what somebody wrote down; a [`Checked`] one is what a pool accepts. The check
//! reports every flaw at once. Times are bounded so that no sum of an instant and a span can overflow.

use std::ops::Deref;
use std::time::Duration;

/// No pool has more slots than this.
pub const SLOTS_MAX: u16 = 8192;
/// No span in a policy is longer than this.
pub const SPAN_MAX: Duration = Duration::from_hours(10 * 365 * 24);

/// How many workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    min: u16,
    max: u16,
    spare: u16,
    headroom: u16,
}

impl Size {
    /// `min..=max` workers of which `spare` are kept idle and warm, and `headroom` more for as long as a
    /// replacement stands beside the one it replaces. `None` if that cannot be.
    pub fn new(min: u16, max: u16, spare: u16, headroom: u16) -> Option<Self> {
        let size = Self { min, max, spare, headroom };
        let fits = u32::from(max) * 2 + u32::from(headroom) <= SLOTS_MAX.into();
        (max > 0 && min <= max && spare <= max && fits).then_some(size)
    }

    /// Kept even when there is nothing to do.
    pub fn min(self) -> u16 {
        self.min
    }

    /// Never more than this, but for replacements.
    pub fn max(self) -> u16 {
        self.max
    }

    /// Idle workers wanted beyond the busy ones.
    pub fn spare(self) -> u16 {
        self.spare
    }

    /// Processes above `max` while a replacement starts or an old life ends its calls.
    pub fn headroom(self) -> u16 {
        self.headroom
    }

    /// Slots enough for every process there can be and, beside them, for as many that rest or have given up.
    pub(crate) fn slots(self) -> u16 {
        self.ceiling().saturating_add(self.max)
    }

    /// The most processes there can be.
    pub fn ceiling(self) -> u16 {
        self.max.saturating_add(self.headroom)
    }
}

/// The rules of one pool. See [`Policy::default`] for the values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How many workers.
    pub size: Size,
    /// Lives that stay when nobody is there.
    pub warm: u16,
    /// Calls one life runs at a time.
    pub seats: u16,
    /// The waiting line.
    pub line: LineRules,
    /// What follows a death.
    pub restart: RestartRules,
    /// When a life has served long enough.
    pub recycle: RecycleRules,
    /// How long everybody is given to do as asked.
    pub grace: GraceRules,
    /// Calls that kill workers.
    pub poison: PoisonRules,
}

/// The waiting line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineRules {
    /// Calls waiting at a time.
    pub waiting_max: usize,
    /// Calls of one client waiting at a time.
    pub client_waiting_max: Option<u32>,
    /// Seats one client holds at a time; its other calls wait.
    pub client_running_max: Option<u32>,
    /// Affinity keys remembered; the one not used for longest is forgotten first.
    pub affinity_keys_max: usize,
}

/// What follows a death.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestartRules {
    /// From spawn to ready.
    pub start_timeout: Duration,
    /// The pause after the first early death. Each further one doubles it.
    pub delay_min: Duration,
    /// The longest pause.
    pub delay_max: Duration,
    /// Up to this percentage is taken off each pause.
    pub jitter_percent: u8,
    /// A life that dies this soon after it was ready, and without having served, has died early.
    pub early: Duration,
    /// So many early deaths …
    pub deaths_max: u8,
    /// … within this span are FATAL.
    pub deaths_window: Duration,
}

/// When a life has served long enough. Never in mid-call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecycleRules {
    /// Calls begun in one life.
    pub calls: Option<u32>,
    /// Since it was ready.
    pub age: Option<Duration>,
    /// Without a call, after having served at least one.
    pub idle: Option<Duration>,
    /// Resident bytes.
    pub resident: Option<u64>,
    /// Without a call, when there are more lives than needed.
    pub scale_down: Duration,
    /// Each life has up to this percentage taken off each of these limits.
    pub spread_percent: u8,
}

/// How long everybody is given to do as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraceRules {
    /// From `Interrupt` to the kill.
    pub interrupt: Duration,
    /// More time than that for the innocent calls on the same life.
    pub sibling: Duration,
    /// From `Stop` to the kill.
    pub stop: Duration,
    /// From the kill to the notice that it had no effect.
    pub kill: Duration,
    /// For an idle life that is silent.
    pub suspect: Duration,
}

/// Calls that kill workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoisonRules {
    /// Workers one call key may kill before it is quarantined.
    pub strikes_max: u8,
    /// For how long after the last strike.
    pub quarantine: Duration,
    /// Keys remembered; the oldest strike is forgotten first.
    pub keys_max: usize,
}

impl Default for Policy {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self {
            size: Size { min: 1, max: 1, spare: 0, headroom: 1 },
            warm: 0,
            seats: 1,
            line: LineRules {
                waiting_max: 1_000,
                client_waiting_max: None,
                client_running_max: None,
                affinity_keys_max: 10_000,
            },
            restart: RestartRules {
                start_timeout: secs(60),
                delay_min: Duration::from_millis(100),
                delay_max: secs(30),
                jitter_percent: 20,
                early: secs(10),
                deaths_max: 5,
                deaths_window: secs(60),
            },
            recycle: RecycleRules {
                calls: None,
                age: None,
                idle: None,
                resident: None,
                scale_down: secs(60),
                spread_percent: 10,
            },
            grace: GraceRules {
                interrupt: secs(2),
                sibling: secs(5),
                stop: secs(5),
                kill: secs(10),
                suspect: secs(10),
            },
            poison: PoisonRules { strikes_max: 2, quarantine: secs(3_600), keys_max: 1_000 },
        }
    }
}

/// A policy without flaws.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked(Policy);

impl Checked {
    pub(crate) fn resize(&mut self, size: Size) {
        self.0.size = size;
    }

    pub(crate) fn keep_seats(&mut self, seats: u16) {
        self.0.seats = seats;
    }
}

impl Deref for Checked {
    type Target = Policy;

    fn deref(&self) -> &Policy {
        &self.0
    }
}

/// What is wrong with a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The field.
    pub name: &'static str,
    /// What it must be.
    pub must: &'static str,
}

impl Policy {
    /// Accepts the policy, or names everything that is wrong with it.
    pub fn check(self) -> Result<Checked, Vec<Flaw>> {
        let mut flaws = Vec::new();
        let mut want = |holds: bool, name, must| {
            if !holds {
                flaws.push(Flaw { name, must });
            }
        };
        want(self.seats > 0, "seats", "be at least 1");
        want(self.warm <= self.size.max, "warm", "not exceed the most workers");
        want(self.line.client_waiting_max != Some(0), "line.client_waiting_max", "be at least 1");
        want(self.line.client_running_max != Some(0), "line.client_running_max", "be at least 1");
        want(self.line.affinity_keys_max > 0, "line.affinity_keys_max", "be at least 1");
        want(self.recycle.calls != Some(0), "recycle.calls", "be at least 1");
        want(self.restart.deaths_max > 0, "restart.deaths_max", "be at least 1");
        want(self.poison.strikes_max > 0, "poison.strikes_max", "be at least 1");
        want(self.poison.keys_max > 0, "poison.keys_max", "be at least 1");
        want(self.restart.jitter_percent < 100, "restart.jitter_percent", "be below 100");
        want(self.recycle.spread_percent < 100, "recycle.spread_percent", "be below 100");
        want(self.restart.delay_min <= self.restart.delay_max, "restart.delay_min", "not exceed delay_max");
        let on_demand = self.size.min == 0 && self.size.spare == 0;
        want(
            !on_demand || self.line.waiting_max > 0,
            "line.waiting_max",
            "be at least 1 when no worker is kept",
        );
        for (name, span) in self.spans() {
            want(span <= SPAN_MAX, name, "be at most ten years");
        }
        for (name, span) in self.pauses() {
            want(span >= Duration::from_millis(1) && span <= SPAN_MAX, name, "be between 1 ms and ten years");
        }
        if flaws.is_empty() { Ok(Checked(self)) } else { Err(flaws) }
    }

    fn spans(&self) -> [(&'static str, Duration); 10] {
        [
            ("restart.start_timeout", self.restart.start_timeout),
            ("restart.delay_max", self.restart.delay_max),
            ("restart.early", self.restart.early),
            ("restart.deaths_window", self.restart.deaths_window),
            ("grace.interrupt", self.grace.interrupt),
            ("grace.sibling", self.grace.sibling),
            ("grace.stop", self.grace.stop),
            ("grace.kill", self.grace.kill),
            ("grace.suspect", self.grace.suspect),
            ("poison.quarantine", self.poison.quarantine),
        ]
    }

    /// Spans that come round again and again, so they must not be nothing.
    fn pauses(&self) -> [(&'static str, Duration); 4] {
        let some = Duration::from_secs(1);
        [
            ("restart.delay_min", self.restart.delay_min),
            ("recycle.scale_down", self.recycle.scale_down),
            ("recycle.age", self.recycle.age.unwrap_or(some)),
            ("recycle.idle", self.recycle.idle.unwrap_or(some)),
        ]
    }
}
