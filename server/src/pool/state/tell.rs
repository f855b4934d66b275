//! What the pool tells operators: facts and decisions in sentences.

use super::State;
use crate::telemetry::{self, What};
use crate::worker::life::LastWords;
use sidewinder_core::{Event, Life, Notice, Phase};
use sidewinder_keeper_wire::Ending;
use std::sync::Arc;

impl State {
    pub(super) fn tell(&self, what: What, worker: Option<Life>, text: impl Into<String>) {
        self.tell_event(worker, telemetry::Event::new(what, text));
    }

    pub(super) fn tell_event(&self, worker: Option<Life>, mut event: telemetry::Event) {
        event.pool = Some(Arc::from(self.spec.pool.as_str()));
        event.worker = worker;
        self.events.tell(event);
    }

    /// What lives tell of themselves. Measurements and endings of calls come too often to be events.
    pub(super) fn tell_fact(&self, event: &Event) {
        match event {
            Event::Ready { life, .. } => self.tell(What::WorkerReady, Some(*life), "takes calls"),
            Event::Suspected { life } => {
                self.tell(What::WorkerSuspected, Some(*life), "its control thread is silent");
            }
            Event::Recovered { life } => self.tell(What::WorkerRecovered, Some(*life), "has spoken again"),
            Event::Resized { size } => {
                let text = format!("has {} to {} workers from now on", size.min(), size.max());
                let event = telemetry::Event::new(What::PoolResized, text);
                self.tell_event(None, event.with("min", size.min()).with("max", size.max()));
            }
            Event::Submitted(_)
            | Event::Abandoned { .. }
            | Event::Extended { .. }
            | Event::Finished { .. }
            | Event::Exited { .. }
            | Event::SpawnFailed { .. }
            | Event::Measured { .. }
            | Event::RestartRequested { .. }
            | Event::Amended { .. }
            | Event::Reloaded { .. }
            | Event::DrainRequested { .. }
            | Event::ResumeRequested
            | Event::Deserted { .. }
            | Event::Attended
            | Event::Adopted { .. }
            | Event::Resumed { .. } => {}
        }
    }

    pub(super) fn tell_gone(&self, life: Life, words: &LastWords) {
        if let Some((message, traceback)) = &words.unfit {
            let event =
                telemetry::Event::new(What::WorkerUnfit, format!("cannot serve its tools: {message}"));
            self.tell_event(Some(life), event.with("traceback", traceback));
        }
        let (text, fact) = match words.ending {
            Some(Ending::Code(code)) => (format!("exited with status {code}"), Some(("exit_status", code))),
            Some(Ending::Signal(signal)) => (format!("ended by signal {signal}"), Some(("signal", signal))),
            None => ("gone".to_owned(), None),
        };
        let oom = if words.oom { ", at its memory limit" } else { "" };
        let text = match &words.fault {
            Some(fault) => format!("was ended: {fault}"),
            None => format!("{text}{oom}"),
        };
        let mut event = telemetry::Event::new(What::WorkerGone, text);
        if let Some((name, value)) = fact {
            event = event.with(name, value);
        }
        if words.oom {
            event = event.with("out_of_memory", true);
        }
        if let Some(fault) = &words.fault {
            event = event.with("fault", fault);
        }
        self.tell_event(Some(life), event);
    }

    pub(super) fn tell_notice(&self, notice: Notice) {
        match notice {
            Notice::SlotFatal { slot } => {
                let text = format!(
                    "slot {} has given up until a restart is requested: `sidewinder restart`, once what ends its \
                     workers is mended",
                    slot.0
                );
                let event = telemetry::Event::new(What::SlotFatal, text).with("slot", slot.0);
                self.tell_event(None, event);
            }
            Notice::GenerationFatal { generation } => {
                let text = format!("generation {} never came up, and no further one is tried", generation.0);
                self.tell(What::SlotFatal, None, text);
            }
            Notice::Unkillable { life } => {
                self.tell(What::WorkerUnkillable, Some(life), "was killed and is still there");
            }
            Notice::Quarantined { key } => {
                let text = "calls of an idempotency key have killed too many workers and are refused";
                self.tell_event(None, telemetry::Event::new(What::KeyQuarantined, text).with("key", key.0));
            }
            Notice::Saturated => self.tell(What::PoolSaturated, None, "the line is full: calls are refused"),
            Notice::Recovered => self.tell(What::PoolRecovered, None, "half of the line is free again"),
            Notice::Renewed { generation } => {
                let text = format!("generation {} serves, and nothing older is left", generation.0);
                self.tell(What::PoolRenewed, None, text);
            }
        }
    }

    /// Says what the pool does, when that is something else than before.
    pub(in crate::pool) fn tell_phase(&mut self) {
        let phase = self.core.phase();
        if std::mem::replace(&mut self.phase, phase) == phase {
            return;
        }
        let (name, text) = match phase {
            Phase::Serving => ("serving", "takes calls"),
            Phase::Fatal => ("fatal", "no worker lives, and none will until an operator acts"),
            Phase::Draining => ("draining", "is on its way out"),
            Phase::Drained => ("drained", "is out: nothing of it is left"),
        };
        self.tell_event(None, telemetry::Event::new(What::PoolPhase, text).with("phase", name));
    }
}
