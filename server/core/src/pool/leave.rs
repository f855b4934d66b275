//! The end of a life that is still there: closed, asked to stop, killed. And the alarms of slots.

use super::Pool;
use crate::call::CallStage;
use crate::call::line::Dest;
use crate::effect::{Effect, Failure, KillCause, Leave, Notice, Refusal};
use crate::id::SlotId;
use crate::life::restart::Death;
use crate::life::slot::{Running, Stage, Standing, Step};

impl Pool {
    /// Takes no more calls; is asked to stop when the last has ended.
    pub(super) fn close(&mut self, slot: SlotId, why: Leave, effects: &mut Vec<Effect>) {
        let lingers_at = self.now + self.policy.grace.stop;
        let idle = self.change(slot, |slot| {
            let running = slot.running_mut()?;
            let why = if why == Leave::Drain { why } else { running.leave().unwrap_or(why) };
            running.standing = Standing::Closed(why, lingers_at);
            Some(running.is_idle())
        });
        // Nothing was lost: what waited for this life alone goes to the others, as later calls of its key will.
        self.part(slot, None, effects);
        if idle == Some(true) {
            self.ask(slot, why, effects);
        }
    }

    /// Asks a life without calls to leave.
    pub(super) fn ask(&mut self, slot: SlotId, why: Leave, effects: &mut Vec<Effect>) {
        let step = Step::Asked { kill_at: self.now + self.policy.grace.stop };
        let asked = self.change(slot, |slot| {
            let (generation, why) = match &slot.stage {
                Stage::Starting { generation, .. } => (*generation, why),
                Stage::Running(running) => (running.generation, running.leave().unwrap_or(why)),
                Stage::Empty | Stage::Backoff { .. } | Stage::Stopping { .. } | Stage::Fatal => return None,
            };
            slot.stage = Stage::Stopping { generation, step, death: Death::Late };
            Some(Effect::Stop { life: slot.named(), why })
        });
        effects.extend(asked);
    }

    /// Kills a life, and ends what was on it.
    pub(super) fn kill(&mut self, slot: SlotId, why: KillCause, effects: &mut Vec<Effect>) {
        let step = Step::Killed { report_at: self.now + self.policy.grace.kill };
        let death = if why == KillCause::StartTimeout { Death::Early } else { Death::Late };
        let killed = self.change(slot, |slot| {
            let (generation, death, calls) = match &mut slot.stage {
                Stage::Starting { generation, .. } => (*generation, death, None),
                Stage::Running(running) => {
                    (running.generation, death, Some(std::mem::take(&mut running.seats)))
                }
                Stage::Stopping { generation, death, .. } => (*generation, *death, None),
                Stage::Empty | Stage::Backoff { .. } | Stage::Fatal => return None,
            };
            slot.stage = Stage::Stopping { generation, step, death };
            Some((slot.named(), calls.unwrap_or_default()))
        });
        let Some((life, calls)) = killed else { return };
        effects.push(Effect::Kill { life, why });
        let failure = if why == KillCause::Drain { Failure::Drained } else { Failure::SiblingOverdue };
        for call in calls {
            let Some(ended) = self.calls.remove(call, &mut self.timers) else { continue };
            self.line.unseated(ended.request.client);
            if let CallStage::Running { .. } = ended.stage {
                effects.push(Effect::Fail { call, failure });
            }
        }
        self.part(slot, Some(Refusal::AffinityLost), effects);
    }

    /// Nobody is bound to this slot any more. Those who wait for it are refused, or go to the others.
    pub(super) fn part(&mut self, slot: SlotId, refusal: Option<Refusal>, effects: &mut Vec<Effect>) {
        self.bindings.part(slot);
        for call in self.line.pinned_to(slot) {
            if let Some(refusal) = refusal {
                self.withdraw(call, Effect::Refuse { call, refusal }, effects);
                continue;
            }
            let Some(waiting) = self.calls.get(call) else { continue };
            let request = waiting.request;
            if let CallStage::Waiting(spot) = waiting.stage {
                self.line.remove(&request, spot);
                self.wait_for(&request, Dest::Anyone);
            }
        }
    }

    pub(super) fn on_slot_alarm(&mut self, id: SlotId, effects: &mut Vec<Effect>) {
        self.places.rung(id);
        let slot = self.places.get(id);
        if slot.due_at().is_some_and(|due| due <= self.now) {
            match &slot.stage {
                Stage::Backoff { .. } => self.on_rested(id, effects),
                Stage::Starting { .. } => self.kill(id, KillCause::StartTimeout, effects),
                Stage::Running(_) => self.on_running_due(id, effects),
                Stage::Stopping { step: Step::Asked { .. }, .. } => {
                    self.kill(id, KillCause::StopTimeout, effects);
                }
                Stage::Stopping { .. } => self.on_unkillable(id, effects),
                Stage::Empty | Stage::Fatal => {}
            }
        }
        // Sets the next alarm.
        self.change(id, |_| {});
    }

    fn on_rested(&mut self, id: SlotId, effects: &mut Vec<Effect>) {
        self.change(id, |slot| slot.stage = Stage::Empty);
        self.spawn_if_needed(id, effects);
    }

    fn on_unkillable(&mut self, id: SlotId, effects: &mut Vec<Effect>) {
        let life = self.change(id, |slot| {
            if let Stage::Stopping { step, .. } = &mut slot.stage {
                *step = Step::Unkillable;
            }
            slot.named()
        });
        effects.push(Effect::Report(Notice::Unkillable { life }));
    }

    fn on_running_due(&mut self, id: SlotId, effects: &mut Vec<Effect>) {
        let now = self.now;
        let Some(running) = self.places.get(id).running() else { return };
        let is_due = |at: Option<std::time::Instant>| at.is_some_and(|at| at <= now);
        if let Some(condemned) = running.condemned.filter(|condemned| condemned.kill_at <= now) {
            self.kill(id, KillCause::Overdue { call: condemned.call }, effects);
        } else if is_due(running.stuck_at()) {
            self.kill(id, KillCause::Stuck, effects);
        } else if is_due(running.age_at()) {
            self.want_leave(id, Leave::Age);
        } else if is_due(running.look_at()) {
            self.on_look(id, effects);
        } else if is_due(running.lingers_at()) {
            self.change(id, |slot| {
                if let Some(running) = slot.running_mut()
                    && let Standing::Closed(why, _) = running.standing
                {
                    running.standing = Standing::Lingering(why);
                }
            });
        }
    }

    /// Is an idle life still wanted?
    fn on_look(&mut self, id: SlotId, effects: &mut Vec<Effect>) {
        let now = self.now;
        let surplus = self.is_surplus();
        let Some(running) = self.places.get(id).running() else { return };
        let idle_for = now.saturating_duration_since(running.idle_since);
        if surplus && idle_for >= running.limits.scale_down {
            self.close(id, Leave::ScaleDown, effects);
            return;
        }
        if running.served > 0 && running.limits.idle.is_some_and(|idle| idle_for >= idle) {
            self.want_leave(id, Leave::Idle);
        }
        self.change(id, |slot| {
            if let Some(running) = slot.running_mut() {
                running.look_at = next_look(running, now);
            }
        });
    }
}

/// The next moment at which one of the limits of idleness is reached; then again and again.
fn next_look(running: &Running, now: std::time::Instant) -> std::time::Instant {
    let limits = &running.limits;
    let moments = [limits.idle, Some(limits.scale_down)];
    let next =
        moments.into_iter().flatten().map(|span| running.idle_since + span).filter(|&at| at > now).min();
    next.unwrap_or(now + limits.idle_look())
}
