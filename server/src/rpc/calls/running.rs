//! A call that a worker has, as the one who asked for it sees it.

use super::feeding::{Feeding, trouble};
use crate::pool::{Conversation, Heard};
use crate::presence::Caller;
use crate::rpc::outcome::{self, Spoken};
use crate::telemetry::metrics::CallMeter;
use crate::worker::words::Value;
use futures_util::stream::{Stream, unfold};
use sidewinder_edge::outcome::{Failure, Outcome};
use sidewinder_edge::status::{self, Whose};
use sidewinder_proto::v1;
use std::future::pending;
use std::pin::Pin;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tonic::Status;

/// Credit is given back in portions, not for each item.
const PORTION: u32 = 16;

/// The outcome of a call with a value.
const OK: &str = "OK";

pub(super) type Items<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A call that a worker has, with what its answer says about it.
pub(super) struct Running {
    pub(super) conversation: Conversation,
    pub(super) meter: CallMeter,
    pub(super) whose: Whose,
    pub(super) deadline: Option<Instant>,
    /// Brings further inputs, for as long as the call lives.
    pub(super) feeding: Option<Feeding>,
    /// Whose end is the end of this call. A call that is joined has several, who look after themselves.
    pub(super) caller: Option<Caller>,
    pub(super) unpaid: u32,
}

impl Running {
    /// A call whose inputs, if there are any, are there already, and whose askers look after themselves.
    pub(super) fn alone(
        conversation: Conversation,
        meter: CallMeter,
        whose: Whose,
        deadline: Option<Instant>,
    ) -> Self {
        Self { conversation, meter, whose, deadline, feeding: None, caller: None, unpaid: 0 }
    }

    /// The next item, or nothing at the end of the stream.
    async fn item(&mut self) -> Result<Option<Value>, Status> {
        match self.spoken().await? {
            Spoken::Want => Err(self.broken("that it wants inputs where none are given")),
            Spoken::End => {
                self.meter.end(OK);
                Ok(None)
            }
            Spoken::Answer(_) => Err(self.broken("an answer where a stream was asked for")),
            Spoken::Item(value) => {
                self.unpaid += 1;
                if self.unpaid == PORTION {
                    self.unpaid = 0;
                    self.conversation.credit(PORTION).await;
                }
                Ok(Some(value))
            }
        }
    }

    /// The one value of a call whose inputs may break off.
    pub(super) async fn answer_fed(&mut self) -> Result<Value, Status> {
        match self.spoken().await? {
            Spoken::Answer(value) => {
                self.meter.end(OK);
                Ok(value)
            }
            Spoken::Item(_) | Spoken::End | Spoken::Want => {
                Err(self.broken("a stream where one answer was asked for"))
            }
        }
    }

    pub(super) async fn answer(&mut self) -> Result<Value, Status> {
        let answer = self.ending().await;
        answer.map_err(|outcome| status::status(&outcome, &self.whose))
    }

    /// The one value, or whatever else it ends with.
    pub(super) async fn ending(&mut self) -> Result<Value, Outcome> {
        match self.hear().await {
            Ok(Spoken::Answer(value)) => {
                self.meter.end(OK);
                Ok(value)
            }
            Ok(Spoken::Item(_) | Spoken::End | Spoken::Want) => {
                let what = "the worker said a stream where one answer was asked for".to_owned();
                Err(self.measured(Outcome::Failed(Failure::Broken { what })))
            }
            Err(outcome) => Err(outcome),
        }
    }

    async fn spoken(&mut self) -> Result<Spoken, Status> {
        tokio::select! {
            biased;
            spoken = Self::hear_of(&mut self.conversation, self.deadline) => spoken,
            status = trouble(&mut self.feeding) => return Err(status),
            () = ended(&mut self.caller) => Err(Outcome::Failed(Failure::LeaseEnded)),
        }
        .map_err(|outcome| {
            let outcome = self.measured(outcome);
            status::status(&outcome, &self.whose)
        })
    }

    async fn hear(&mut self) -> Result<Spoken, Outcome> {
        let heard = tokio::select! {
            biased;
            spoken = Self::hear_of(&mut self.conversation, self.deadline) => spoken,
            () = ended(&mut self.caller) => Err(Outcome::Failed(Failure::LeaseEnded)),
        };
        heard.map_err(|outcome| self.measured(outcome))
    }

    async fn hear_of(conversation: &mut Conversation, deadline: Option<Instant>) -> Result<Spoken, Outcome> {
        match conversation.hear().await {
            Heard::Said(said) => outcome::spoken(said, deadline.is_some_and(|at| at <= Instant::now())),
            Heard::Verdict(verdict) => Err(outcome::failed(verdict)),
        }
    }

    fn broken(&mut self, what: &str) -> Status {
        let what = format!("the worker said {what}");
        let outcome = self.measured(Outcome::Failed(Failure::Broken { what }));
        status::status(&outcome, &self.whose)
    }

    /// Counts an ending that is an error.
    fn measured(&mut self, outcome: Outcome) -> Outcome {
        self.meter.end(status::reason(&outcome));
        outcome
    }

    pub(super) fn ran(&self) -> v1::Ran {
        let span = |span: Duration| span.try_into().ok();
        v1::Ran {
            worker: self.whose.worker.clone(),
            waited: span(self.meter.waited()),
            took: span(self.meter.took()),
        }
    }

    /// The items as a stream that can be asked for one at a time: who does not ask stops the generator.
    pub(super) fn into_items<T: Send + 'static>(
        self,
        show: impl Fn(Value) -> Result<T, Outcome> + Send + Copy + 'static,
    ) -> Items<T> {
        let watching = Watching::over(&self);
        Box::pin(unfold(Some((self, watching)), move |running| async move {
            let (mut running, watching) = running?;
            let item = running.item().await;
            match item.and_then(|item| item.map(show).transpose().map_err(crate::rpc::said)) {
                Ok(Some(item)) => Some((Ok(item), Some((running, watching)))),
                Ok(None) => None,
                Err(status) => Some((Err(status), None)),
            }
        }))
    }
}

async fn ended(caller: &mut Option<Caller>) {
    match caller {
        Some(caller) => caller.ended().await,
        None => pending().await,
    }
}

/// A stream is asked for nothing while its reader takes nothing, and its lease may end meanwhile: somebody else sees that.
struct Watching(Option<JoinHandle<()>>);

impl Watching {
    fn over(running: &Running) -> Self {
        let end = running.caller.as_ref().and_then(Caller::end_of_lease);
        Self(end.map(|end| {
            let leave = running.conversation.leaver();
            tokio::spawn(async move {
                end.await;
                leave();
            })
        }))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}
