//! How often to look again while processes die.
//!
//! Each death is a signal, so a look in between is only for what sends none. A process in uninterruptible sleep dies when
//! it wakes: after a while, rounds are rare.

use std::time::Duration;

const EARLY: Duration = Duration::from_millis(5);
const LATER: Duration = Duration::from_millis(250);
const EARLY_ROUNDS: u32 = 400;

/// Counts the rounds of a killing, and how many of the last found nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rounds {
    count: u32,
    quiet: u32,
}

impl Rounds {
    /// One more round is over. Says whether nobody is left: a list of children may skip one while others exit, so twice
    /// nobody is nobody.
    pub fn end(&mut self, nobody: bool) -> bool {
        self.count = self.count.saturating_add(1);
        self.quiet = if nobody { self.quiet + 1 } else { 0 };
        self.quiet >= 2
    }

    /// How long to wait for a death before the next round.
    pub fn patience(self) -> Duration {
        if self.count < EARLY_ROUNDS { EARLY } else { LATER }
    }
}
