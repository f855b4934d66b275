//! What the core has decided, carried out: one arm an effect. Nothing here waits.

use super::super::errand::Errand;
use super::super::handle::{Refused, Verdict};
use super::{Known, Parting, Running, State};
use crate::telemetry::{Event, What};
use crate::worker::life;
use crate::worker::link::Link;
use crate::worker::start::Start;
use crate::worker::words::ToWorker;
use sidewinder_core::{CallId, Effect, Event as Fact, Failure, KillCause, Leave, Life, Refusal};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

impl State {
    pub(in crate::pool) fn carry_out(&mut self, effects: &mut Vec<Effect>) {
        // What is carried out may be a fact for the core, which has further wishes then.
        while !effects.is_empty() {
            for effect in std::mem::take(effects) {
                self.carry_out_one(effect, effects);
            }
        }
    }

    fn carry_out_one(&mut self, effect: Effect, further: &mut Vec<Effect>) {
        match effect {
            Effect::Spawn { life, .. } => self.spawn(life),
            Effect::Assign { call, life } => self.assign(call, life),
            Effect::Refuse { call, refusal } => self.refuse(call, refusal),
            Effect::Fail { call, failure } => self.fail(call, failure),
            Effect::Answer { call } | Effect::Forget { call } => self.forget(call),
            Effect::Interrupt { life, call } => self.interrupt(life, call, further),
            Effect::Stop { life, why } => self.stop(life, why),
            Effect::Kill { life, why } => self.kill(life, why),
            Effect::Report(notice) => self.tell_notice(notice),
            // Seen as the phase.
            Effect::Halt => {}
        }
    }

    fn spawn(&mut self, life: Life) {
        self.tell(What::WorkerStarted, Some(life), "is starting");
        let number = self.next_number;
        self.next_number += 1;
        self.measure_spawn(life);
        self.lives.insert(life, Known::begin(number));
        let Some(pool) = self.listener() else { return };
        let start = Start { life, number, spec: self.spec.clone(), hold: self.hold.clone() };
        tokio::spawn(life::live(start, self.brood.clone(), pool));
    }

    fn assign(&mut self, call: CallId, life: Life) {
        let link = self.lives.get(&life).and_then(|known| known.link.clone());
        let (Some(waiting), Some(link)) = (self.waiting.remove(&call), link) else { return };
        let (sender, verdict) = oneshot::channel();
        self.running.insert(call, Running { life, verdict: sender });
        link.lend(call.0);
        let let_go = waiting.reply.is_closed() && !waiting.is_left;
        let errand = Errand::Give { call, waiting, link, verdict };
        if let_go {
            self.unheard.insert(call, errand);
        } else {
            self.errands.push(errand);
        }
    }

    fn refuse(&mut self, call: CallId, refusal: Refusal) {
        if let Some(waiting) = self.waiting.remove(&call) {
            let refused = Refused { refusal, unfit: self.unfit.clone() };
            self.errands.push(Errand::Refuse { waiting, refused });
        }
    }

    fn fail(&mut self, call: CallId, failure: Failure) {
        if let Some(Running { life, verdict }) = self.running.remove(&call) {
            let words = self.words.get(&life).cloned();
            let _ = verdict.send(Verdict { failure, words, traceback: String::new() });
        }
    }

    fn forget(&mut self, call: CallId) {
        if let Some(waiting) = self.waiting.remove(&call) {
            self.errands.push(Errand::Forget { _waiting: waiting });
        }
        self.running.remove(&call);
    }

    /// The first steps of the ladder: the cancel frame now, SIGINT when half of the grace has passed.
    fn interrupt(&mut self, life: Life, call: CallId, further: &mut Vec<Effect>) {
        let Some((number, link)) = self.way(life) else { return };
        if !link.cancel(call.0, "cancelled") {
            // Its caller let go before the worker heard of it: the seat is free already.
            self.core.handle(Instant::now(), Fact::Finished { life, call }, further);
            return;
        }
        // The grace may be long, and the pool may end before it is over.
        let (hold, half) = (self.hold.weak(), self.spec.interrupt_grace / 2);
        tokio::spawn(async move {
            tokio::time::sleep(half).await;
            if link.is_open(call.0) {
                hold.signal(number, libc::SIGINT).await;
            }
        });
    }

    /// Its teardown hooks now, SIGTERM when half of the grace has passed; the kill is decided elsewhere.
    fn stop(&mut self, life: Life, why: Leave) {
        let text = format!("was asked to leave ({})", leave(why));
        self.tell_event(Some(life), Event::new(What::WorkerLeaving, text).with("why", leave(why)));
        self.measure_parting(life, leave(why));
        if let Some(known) = self.lives.get_mut(&life) {
            known.order = Some(Parting::Asked);
        }
        let Some((number, link)) = self.way(life) else { return };
        let (hold, later, half) = (self.hold.clone(), self.hold.weak(), self.spec.stop_grace / 2);
        tokio::spawn(async move {
            // Before its welcome it would take a drain for a breach of the protocol.
            if link.is_welcomed() && link.control.say_now(ToWorker::Drain.message()).is_ok() {
                drop(hold);
                // Whoever is gone by then is not signalled: its number is nobody else's.
                tokio::time::sleep(half).await;
                later.signal(number, libc::SIGTERM).await;
            } else {
                hold.signal(number, libc::SIGTERM).await;
            }
        });
    }

    /// Says again what may have been said before there was anybody to hear it.
    pub(super) fn say_parting_again(&self, life: Life) {
        let Some(known) = self.lives.get(&life) else { return };
        let (hold, number) = (self.hold.clone(), known.number);
        match known.order {
            None => {}
            Some(Parting::Asked) => _ = tokio::spawn(async move { hold.signal(number, libc::SIGTERM).await }),
            Some(Parting::Killed) => _ = tokio::spawn(async move { hold.kill(number).await }),
        }
    }

    /// The last steps: a traceback of every thread where a call did not give up, then the whole tree.
    fn kill(&mut self, life: Life, why: KillCause) {
        let Some(known) = self.lives.get_mut(&life) else { return };
        known.order = Some(Parting::Killed);
        let (number, link) = (known.number, known.link.clone());
        self.measure_parting(life, killed(why));
        let text = format!("is killed: {}", cause(why));
        self.tell_event(Some(life), Event::new(What::WorkerKilled, text).with("why", cause(why)));
        let dump = matches!(why, KillCause::Overdue { .. } | KillCause::Stuck | KillCause::StartTimeout);
        let hold = self.hold.clone();
        tokio::spawn(async move {
            if let Some(link) = link.filter(|_| dump) {
                link.witness.last_stack().await;
            }
            hold.kill(number).await;
        });
    }

    fn way(&self, life: Life) -> Option<(u32, Arc<Link>)> {
        let known = self.lives.get(&life)?;
        Some((known.number, known.link.clone()?))
    }
}

/// Why a life leaves, in the words of operators.
pub(crate) fn leave(why: Leave) -> &'static str {
    match why {
        Leave::Calls => "calls",
        Leave::Age => "age",
        Leave::Idle => "idle",
        Leave::Memory => "memory",
        Leave::Restart => "restart",
        Leave::Reload => "reload",
        Leave::ScaleDown => "scale_down",
        Leave::Resize => "resize",
        Leave::Overdue => "overdue",
        Leave::Drain => "drain",
        Leave::Deserted => "deserted",
    }
}

/// The same for a kill.
fn killed(why: KillCause) -> &'static str {
    match why {
        KillCause::StartTimeout => "start_timeout",
        KillCause::Overdue { .. } => "overdue",
        KillCause::StopTimeout => "stop_timeout",
        KillCause::Stuck => "stuck",
        KillCause::Drain => "drain_timeout",
    }
}

fn cause(why: KillCause) -> &'static str {
    match why {
        KillCause::StartTimeout => "it was not ready in time",
        KillCause::Overdue { .. } => "a call would not give up",
        KillCause::StopTimeout => "it was asked to leave and did not",
        KillCause::Stuck => "it was idle and silent",
        KillCause::Drain => "the drain reached its bound",
    }
}
