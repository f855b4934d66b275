//! What the pool measures of its workers.

use super::State;
use crate::worker::life::LastWords;
use sidewinder_core::{Event, Life};
use sidewinder_keeper_wire::Ending;

impl State {
    pub(super) fn measure_fact(&self, event: &Event) {
        if let Event::Ready { life, .. } = event
            && let Some(known) = self.lives.get(life)
        {
            self.spec.meter.started(known.since.elapsed());
        }
    }

    /// A life after the first of its slot stands in the place of another.
    pub(super) fn measure_spawn(&self, life: Life) {
        if let Some(cause) = self.causes.get(&life.slot) {
            self.spec.meter.restarted(cause);
        }
    }

    /// It was decided that a life ends. Of several reasons the last is nearest to its end.
    pub(super) fn measure_parting(&mut self, life: Life, why: &'static str) {
        if let Some(known) = self.lives.get_mut(&life) {
            known.parting = Some(why);
        }
    }

    /// What was decided explains an end better than how it looks.
    pub(super) fn measure_gone(&mut self, life: Life, looks: &'static str) {
        let cause = self.lives.get(&life).and_then(|known| known.parting).unwrap_or(looks);
        self.causes.insert(life.slot, cause);
        self.spec.meter.gone(cause);
    }
}

/// How the end of a life looks, in the words of operators.
pub(super) fn cause_of(words: &LastWords) -> &'static str {
    match words.ending {
        _ if words.oom => "out_of_memory",
        _ if words.fault.is_some() => "fault",
        _ if words.unfit.is_some() => "unfit",
        Some(Ending::Signal(_)) => "signal",
        Some(Ending::Code(_)) => "exit",
        None => "gone",
    }
}
