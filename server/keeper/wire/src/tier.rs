//! How strongly a machine lets us hold a process tree.

use std::fmt;
use std::str::FromStr;

/// The strength of ownership, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// The workers live in a PID namespace: the kernel kills them all with its init.
    A,
    /// The workers live in a delegated cgroup: the kernel kills a whole tree on request.
    B,
    /// The workers are held by lineage: subreapers, the lifeline and parent-death signals.
    C,
    /// Development only (macOS): sessions, process groups and the lifeline.
    D,
}

impl Tier {
    const ALL: [Self; 4] = [Self::A, Self::B, Self::C, Self::D];

    /// Whether this tier is at least as strong as `required`.
    pub fn satisfies(self, required: Self) -> bool {
        self <= required
    }

    /// Its number on the wire.
    pub fn number(self) -> u8 {
        self as u8 + 1
    }

    /// The tier with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.number() == number)
    }

    /// What holds the workers, in a few words.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::A => "PID namespace",
            Self::B => "delegated cgroup",
            Self::C => "lineage",
            Self::D => "process groups",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl FromStr for Tier {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|tier| tier.to_string().eq_ignore_ascii_case(text));
        found.ok_or_else(|| format!("`{text}` is no tier: use A, B, C or D (A is the strongest)"))
    }
}
