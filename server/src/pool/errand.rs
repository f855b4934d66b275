//! What is decided about a call, said to its worker and its caller. Not under any lock: whoever hears it may answer.

use super::conversation::{Begun, Guard};
use super::handle::{Refused, Verdict};
use crate::worker::link::Link;
use crate::worker::words::Ask;
use sidewinder_core::CallId;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

/// A worker has the call, or it is refused.
pub(super) type Answer = Result<Begun, Refused>;

/// A call in the line, with all that it takes to give it to a worker: its caller may be gone by then.
pub(super) struct Waiting {
    pub(super) ask: Box<Ask>,
    pub(super) deadline: Option<Instant>,
    pub(super) guard: Option<Guard>,
    pub(super) reply: oneshot::Sender<Answer>,
    /// It goes on without its caller.
    pub(super) is_left: bool,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Waiting").field("tool", &self.ask.tool).finish_non_exhaustive()
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
