//! The ledger: every call that has been submitted and still matters.
//!
//! A call waits, runs, and ends. One that was interrupted has had its ending and stays as a *ghost* until
//! its seat is free, because the seat is what is scarce.

pub(crate) mod affinity;
pub(crate) mod line;
pub(crate) mod poison;
pub(crate) mod ring;

use crate::event::Request;
use crate::id::{CallId, Life};
use crate::timer::{Alarm, Timers};
use line::Spot;
use std::collections::BTreeMap;
use std::time::Instant;

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) request: Request,
    pub(crate) stage: CallStage,
    /// Nobody waits for it, and it is to finish all the same.
    left: bool,
    armed: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallStage {
    Waiting(Spot),
    Running {
        life: Life,
        /// The drain has asked it to give up; it may still answer.
        interrupted: bool,
    },
    Ghost {
        life: Life,
        kill_at: Option<Instant>,
    },
}

impl Call {
    fn due_at(&self) -> Option<Instant> {
        match self.stage {
            CallStage::Waiting(_) | CallStage::Running { .. } => self.request.deadline,
            CallStage::Ghost { kill_at, .. } => kill_at,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Calls {
    by_id: BTreeMap<CallId, Call>,
}

impl Calls {
    pub(crate) fn get(&self, id: CallId) -> Option<&Call> {
        self.by_id.get(&id)
    }

    pub(crate) fn admit(&mut self, request: Request, spot: Spot, timers: &mut Timers) {
        let mut call = Call { request, stage: CallStage::Waiting(spot), left: false, armed: None };
        timers.set(Alarm::Call(request.call), &mut call.armed, request.deadline);
        self.by_id.insert(request.call, call);
    }

    /// A call that runs already.
    pub(crate) fn resume(&mut self, request: Request, life: Life, timers: &mut Timers) {
        let stage = CallStage::Running { life, interrupted: false };
        let mut call = Call { request, stage, left: false, armed: None };
        timers.set(Alarm::Call(request.call), &mut call.armed, request.deadline);
        self.by_id.insert(request.call, call);
    }

    pub(crate) fn turn(&mut self, id: CallId, stage: CallStage, timers: &mut Timers) {
        if let Some(call) = self.by_id.get_mut(&id) {
            call.stage = stage;
            let due = call.due_at();
            timers.set(Alarm::Call(id), &mut call.armed, due);
        }
    }

    pub(crate) fn remove(&mut self, id: CallId, timers: &mut Timers) -> Option<Call> {
        let mut call = self.by_id.remove(&id)?;
        timers.set(Alarm::Call(id), &mut call.armed, None);
        Some(call)
    }

    /// Its answer is of use for longer, unless it has had its ending.
    pub(crate) fn extend(&mut self, id: CallId, deadline: Option<Instant>, timers: &mut Timers) {
        let Some(call) = self.by_id.get_mut(&id) else { return };
        if let CallStage::Ghost { .. } = call.stage {
            return;
        }
        call.request.deadline = call.request.deadline.zip(deadline).map(|(one, other)| one.max(other));
        timers.set(Alarm::Call(id), &mut call.armed, call.request.deadline);
    }

    /// Nobody waits for this call any more.
    pub(crate) fn leave_alone(&mut self, id: CallId) {
        if let Some(call) = self.by_id.get_mut(&id) {
            call.left = true;
        }
    }

    /// Those that nobody waits for.
    pub(crate) fn abandoned(&self) -> Vec<CallId> {
        self.by_id.iter().filter(|(_, call)| call.left).map(|(id, _)| *id).collect()
    }

    /// The alarm of this call has rung.
    pub(crate) fn rung(&mut self, id: CallId) -> Option<&Call> {
        let call = self.by_id.get_mut(&id)?;
        call.armed = None;
        Some(call)
    }
}
