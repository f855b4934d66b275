//! Which cases run: every combination, or a reduced choice that leaves no row empty.

use std::fmt;
use std::io;

use sidewinder_tests::arena::Tier;
use sidewinder_tests::seed::Dice;

/// Every nasty worker, by the name of its file.
pub(crate) const ZOO: [&str; 19] = [
    "fork_child",
    "setsid_child",
    "double_fork",
    "deaf",
    "stopped_child",
    "fork_storm",
    "vfork_child",
    "mp_fork",
    "mp_spawn",
    "mp_forkserver",
    "popen_daemon",
    "closes_fds",
    "leaks_sockets",
    "kills_parent",
    "stops_parent",
    "holds_parent",
    "clears_pdeathsig",
    "hides_proc",
    "gibibyte",
];

/// One process that is struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Victim {
    Caller,
    Owner,
    Keeper,
    Worker,
}

impl Victim {
    const ALL: [Self; 4] = [Self::Caller, Self::Owner, Self::Keeper, Self::Worker];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Owner => "owner",
            Self::Keeper => "keeper",
            Self::Worker => "worker",
        }
    }
}

/// A row of victims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    One(Victim),
    OwnerAndKeeper,
    RandomPair,
}

impl Target {
    pub(crate) const ALL: [Self; 6] = [
        Self::One(Victim::Caller),
        Self::One(Victim::Owner),
        Self::One(Victim::Keeper),
        Self::One(Victim::Worker),
        Self::OwnerAndKeeper,
        Self::RandomPair,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::One(victim) => victim.name(),
            Self::OwnerAndKeeper => "owner+keeper",
            Self::RandomPair => "random pair",
        }
    }

    fn victims(self, dice: &mut Dice) -> Vec<Victim> {
        match self {
            Self::One(victim) => vec![victim],
            Self::OwnerAndKeeper => vec![Victim::Owner, Victim::Keeper],
            Self::RandomPair => {
                let mut order = Victim::ALL;
                dice.shuffle(&mut order);
                order[..2].to_vec()
            }
        }
    }
}

/// What the victims get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    Kill,
    StopThenKill,
    Segv,
    Abort,
    Term,
}

impl Blow {
    pub(crate) const ALL: [Self; 5] = [Self::Kill, Self::StopThenKill, Self::Segv, Self::Abort, Self::Term];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kill => "KILL",
            Self::StopThenKill => "STOP+KILL",
            Self::Segv => "SEGV",
            Self::Abort => "ABRT",
            Self::Term => "TERM",
        }
    }
}

/// One case. Its name holds everything that decides what happens.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) worker: &'static str,
    pub(crate) target: Target,
    pub(crate) victims: Vec<Victim>,
    pub(crate) blow: Blow,
    pub(crate) tier: Tier,
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let victims: Vec<&str> = self.victims.iter().map(|victim| victim.name()).collect();
        write!(formatter, "{}/{}/{}/{}", self.worker, victims.join("+"), self.blow.name(), self.tier)
    }
}

/// How much of the matrix runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    Reduced,
    Full,
}

impl Extent {
    pub(crate) fn from_environment() -> io::Result<Self> {
        match std::env::var("MATRIX").as_deref() {
            Err(_) | Ok("reduced") => Ok(Self::Reduced),
            Ok("full") => Ok(Self::Full),
            Ok(other) => {
                Err(io::Error::other(format!("MATRIX={other} is unknown: it is `reduced` or `full`")))
            }
        }
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Reduced => "reduced",
            Self::Full => "full",
        })
    }
}

/// The cases of one run, in order.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) cases: Vec<Case>,
}

/// Cases whose outcome hangs on a race or on a guardian that cannot act: always part of the reduced choice.
const ALWAYS: [(&str, Target, Blow); 15] = [
    ("fork_storm", Target::OwnerAndKeeper, Blow::Kill),
    ("fork_storm", Target::One(Victim::Keeper), Blow::StopThenKill),
    ("leaks_sockets", Target::One(Victim::Owner), Blow::Kill),
    ("leaks_sockets", Target::One(Victim::Keeper), Blow::Kill),
    ("leaks_sockets", Target::OwnerAndKeeper, Blow::Kill),
    ("stops_parent", Target::One(Victim::Owner), Blow::Kill),
    ("stops_parent", Target::One(Victim::Keeper), Blow::Kill),
    ("stops_parent", Target::OwnerAndKeeper, Blow::Kill),
    ("stops_parent", Target::One(Victim::Worker), Blow::Kill),
    ("hides_proc", Target::One(Victim::Worker), Blow::Kill),
    ("holds_parent", Target::One(Victim::Owner), Blow::Kill),
    ("holds_parent", Target::One(Victim::Keeper), Blow::Kill),
    ("holds_parent", Target::One(Victim::Worker), Blow::Kill),
    ("holds_parent", Target::OwnerAndKeeper, Blow::Kill),
    ("kills_parent", Target::OwnerAndKeeper, Blow::Kill),
];

impl Plan {
    /// Draws the cases. Filtered by name last, so that a filter does not change a choice.
    pub(crate) fn draw(extent: Extent, tiers: &[Tier], seed: u64, only: &str) -> Self {
        let mut drawn = Vec::new();
        for tier in crate::in_order(tiers) {
            match extent {
                Extent::Full => drawn.extend(every_combination(tier)),
                Extent::Reduced => drawn.extend(reduced_choice(tier, seed)),
            }
        }
        let cases = drawn.into_iter().enumerate().map(|(number, (worker, target, blow, tier))| {
            let mut dice = Dice::new(seed, &format!("{number} {worker} {}", blow.name()));
            Case { worker, target, victims: target.victims(&mut dice), blow, tier }
        });
        Self { cases: cases.filter(|case| case.to_string().contains(only)).collect() }
    }
}

type Draft = (&'static str, Target, Blow, Tier);

fn blows_on_targets() -> Vec<(Target, Blow)> {
    Target::ALL.iter().flat_map(|target| Blow::ALL.map(|blow| (*target, blow))).collect()
}

fn every_combination(tier: Tier) -> Vec<Draft> {
    let on_each =
        |worker| blows_on_targets().into_iter().map(move |(target, blow)| (worker, target, blow, tier));
    ZOO.into_iter().flat_map(on_each).collect()
}

/// Every blow on every target once, dealt over the whole zoo, and the cases that must not be left to luck.
fn reduced_choice(tier: Tier, seed: u64) -> Vec<Draft> {
    let mut dice = Dice::new(seed, tier.letter());
    let mut strikes = blows_on_targets();
    dice.shuffle(&mut strikes);
    let mut workers = ZOO;
    dice.shuffle(&mut workers);
    let dealt = strikes.into_iter().zip(workers.into_iter().cycle());
    let dealt = dealt.map(|((target, blow), worker)| (worker, target, blow, tier));
    dealt.chain(ALWAYS.map(|(worker, target, blow)| (worker, target, blow, tier))).collect()
}
