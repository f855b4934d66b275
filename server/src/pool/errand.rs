//! A call that is given to its worker, or refused. Not under any lock: a worker may be slow to take it.

use super::conversation::{Begun, Guard};
use super::handle::{Refused, Verdict};
use crate::worker::link::Link;
use crate::worker::words::Ask;
use sidewinder_core::CallId;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::oneshot;

/// A worker has the call, or it is refused.
pub(super) type Answer = Result<Begun, Refused>;

/// A call in the line, with all that it takes to give it to a worker: its caller may be gone by then.
pub(super) struct Waiting {
    pub(super) ask: Box<Ask>,
    pub(super) deadline: Option<Instant>,
    pub(super) guard: Held,
    pub(super) reply: oneshot::Sender<Answer>,
    /// It goes on without its caller.
    pub(super) is_left: bool,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Waiting").field("tool", &self.ask.tool).finish_non_exhaustive()
    }
}

/// The guard of a call in the line. Its ticket holds it as well, and lets go of it with the call: nobody has to hear of
/// that first.
#[derive(Clone, Default)]
pub(super) struct Held(Option<Arc<Mutex<Option<Guard>>>>);

impl Held {
    pub(super) fn new(guard: Option<Guard>) -> Self {
        Self(guard.map(|guard| Arc::new(Mutex::new(Some(guard)))))
    }

    /// To whoever is first.
    pub(super) fn take(&self) -> Option<Guard> {
        self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Held").finish_non_exhaustive()
    }
}

/// What is to be said.
#[derive(Debug)]
pub(super) enum Errand {
    /// This life is lent to it.
    Give {
        call: CallId,
        waiting: Box<Waiting>,
        link: Arc<Link>,
        verdict: oneshot::Receiver<Verdict>,
    },
    Refuse {
        waiting: Box<Waiting>,
        refused: Refused,
    },
    /// Nobody wants to hear anything.
    Forget {
        _waiting: Box<Waiting>,
    },
}

impl Errand {
    pub(super) fn run(self) {
        match self {
            Self::Give { call, waiting, link, verdict } => give(call, *waiting, link, verdict),
            Self::Refuse { waiting, refused } => {
                // Whoever hears of it may ask again, by the same key.
                drop(waiting.guard.take());
                // A caller that is gone has dropped its ticket: the core will hear of it.
                let _ = waiting.reply.send(Err(refused));
            }
            Self::Forget { _waiting } => {}
        }
    }
}

/// Gives the call to its worker, to its last byte, and then tells its caller.
fn give(call: CallId, waiting: Waiting, link: Arc<Link>, verdict: oneshot::Receiver<Verdict>) {
    let Waiting { mut ask, deadline, guard, reply, .. } = waiting;
    let (was_held, guard) = (guard.0.is_some(), guard.take());
    if was_held && guard.is_none() {
        // In this moment its caller has let go of it, and is about to say so.
        return;
    }
    ask.deadline = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let tell = move |link, said| {
        // Where nobody listens, what has begun sees to its end.
        let _ = reply.send(Ok(Begun::new(call, link, said, verdict, guard)));
    };
    match link.open(call.0, ask) {
        // A worker that is dead already is explained by the verdict.
        Err(_) => tell(link, None),
        Ok((said, rest)) if rest.is_empty() => tell(link, Some(said)),
        Ok((said, rest)) => {
            tokio::spawn(async move {
                let said = link.calls.say_rest(rest).await.ok().map(|()| said);
                tell(link, said);
            });
        }
    }
}
