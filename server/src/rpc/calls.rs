//! The service that runs tools.

use super::outcome::{self, Spoken};
use super::parse::{self, Beside, Parsed, bad};
use super::{said, values};
use crate::pool::{Conversation, Heard, Inputs, Pools};
use crate::telemetry::metrics::CallMeter;
use crate::worker::words::Value;
use futures_util::stream::{Stream, unfold};
use sidewinder_core::OnAbandon;
use sidewinder_edge::outcome::{Failure, Outcome};
use sidewinder_edge::status::{self, Whose};
use sidewinder_proto::v1;
use sidewinder_proto::v1::calls_server::Calls;
use std::future::pending;
use std::pin::Pin;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::{Request, Response, Status, Streaming};

/// Items that a generator may be ahead of its reader.
const WINDOW: u32 = 32;
/// Credit is given back in portions, not for each item.
const PORTION: u32 = 16;

/// The outcome of a call with a value.
const OK: &str = "OK";

/// Answers questions about calls.
#[derive(Clone, Debug)]
pub(crate) struct CallsDoor {
    pools: Pools,
}

type Items<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A call that a worker has, with what its answer says about it.
struct Running {
    conversation: Conversation,
    meter: CallMeter,
    whose: Whose,
    deadline: Option<Instant>,
    /// Brings further inputs, for as long as the call lives.
    feeding: Option<Feeding>,
    unpaid: u32,
}

/// A task that brings inputs, and ends with whoever holds it.
struct Feeding {
    task: JoinHandle<()>,
    /// Why the inputs broke off. They were not all, so what the tool makes of them is no answer. Nothing, once they
    /// have come to their end.
    trouble: Option<oneshot::Receiver<Status>>,
}

impl Drop for Feeding {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Feeding {
    fn start(inputs: Streaming<v1::Input>, worker: Inputs, content_type: String) -> Self {
        let (tell, trouble) = oneshot::channel();
        let task = tokio::spawn(async move {
            if let Err(status) = feed(inputs, worker, &content_type).await {
                let _ = tell.send(status);
            }
        });
        Self { task, trouble: Some(trouble) }
    }
}

/// When the inputs break off; never, when they come to their end.
async fn trouble(feeding: &mut Option<Feeding>) -> Status {
    if let Some(trouble) = feeding.as_mut().and_then(|feeding| feeding.trouble.as_mut())
        && let Ok(status) = trouble.await
    {
        return status;
    }
    if let Some(feeding) = feeding {
        feeding.trouble = None;
    }
    pending().await
}

impl CallsDoor {
    pub(crate) fn new(pools: Pools) -> Self {
        Self { pools }
    }

    async fn begin(
        &self,
        call: Option<v1::Call>,
        arguments: Option<v1::Payload>,
        beside: &Beside,
        credit: u32,
        input: bool,
    ) -> Result<Running, Status> {
        let parsed = parse::call(&self.pools, call, arguments, beside, credit).map_err(said)?;
        let Parsed { pool, mut whose, request, mut ask } = parsed;
        if input && request.on_abandon == OnAbandon::Finish {
            return Err(said(bad("call.on_abandon", "not be finish where inputs come from the caller")));
        }
        ask.input = input;
        let mut meter = pool.meter().call(&ask.tool, beside.deadline);
        let conversation = match Conversation::begin(&pool, request, ask).await {
            Ok(conversation) => conversation,
            Err(refused) => return Err(measured(&mut meter, &outcome::refused(&refused), &whose)),
        };
        meter.began();
        whose.worker = conversation.life().to_string();
        Ok(Running { conversation, meter, whose, deadline: beside.deadline, feeding: None, unpaid: 0 })
    }

    /// Begins a call whose further inputs follow its first message.
    async fn begin_fed(
        &self,
        request: Request<Streaming<v1::Input>>,
        credit: u32,
    ) -> Result<Running, Status> {
        let beside = Beside::of(request.metadata(), request.extensions());
        let mut inputs = request.into_inner();
        let Some(v1::input::Part::Open(open)) = inputs.message().await?.and_then(|input| input.part) else {
            return Err(said(bad("open", "be the first message")));
        };
        let content_type = open.arguments.as_ref().map(|open| open.content_type.clone()).unwrap_or_default();
        let mut running = self.begin(open.call, open.arguments, &beside, credit, true).await?;
        running.feeding = Some(Feeding::start(inputs, running.conversation.inputs(), content_type));
        Ok(running)
    }
}

/// Brings inputs no faster than the tool wants them. Only inputs that came to their end are said to have ended.
async fn feed(mut inputs: Streaming<v1::Input>, worker: Inputs, content_type: &str) -> Result<(), Status> {
    while let Some(input) = inputs.message().await? {
        let item = match input.part {
            Some(v1::input::Part::Item(item)) => item,
            Some(v1::input::Part::Open(_)) => {
                return Err(said(bad("open", "come once, as the first message")));
            }
            None => return Err(said(bad("part", "be an item"))),
        };
        if !item.content_type.is_empty() && item.content_type != content_type {
            return Err(said(bad("item.content_type", "be that of the arguments, or be left out")));
        }
        worker.give(item.data).await;
    }
    worker.end().await;
    Ok(())
}

impl Running {
    /// The next item, or nothing at the end of the stream.
    async fn item(&mut self) -> Result<Option<Value>, Status> {
        match self.hear().await? {
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

    async fn answer(&mut self) -> Result<Value, Status> {
        match self.hear().await? {
            Spoken::Answer(value) => {
                self.meter.end(OK);
                Ok(value)
            }
            Spoken::Item(_) | Spoken::End | Spoken::Want => {
                Err(self.broken("a stream where one answer was asked for"))
            }
        }
    }

    async fn hear(&mut self) -> Result<Spoken, Status> {
        let heard = tokio::select! {
            biased;
            heard = self.conversation.hear() => heard,
            status = trouble(&mut self.feeding) => return Err(status),
        };
        match heard {
            Heard::Said(said) => outcome::spoken(said, self.is_late()),
            Heard::Verdict(verdict) => Err(outcome::failed(verdict)),
        }
        .map_err(|outcome| measured(&mut self.meter, &outcome, &self.whose))
    }

    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    fn broken(&mut self, what: &str) -> Status {
        let what = format!("the worker said {what}");
        measured(&mut self.meter, &Outcome::Failed(Failure::Broken { what }), &self.whose)
    }

    fn ran(&self) -> v1::Ran {
        let span = |span: Duration| span.try_into().ok();
        v1::Ran {
            worker: self.conversation.life().to_string(),
            waited: span(self.meter.waited()),
            took: span(self.meter.took()),
        }
    }

    /// The items as a stream that can be asked for one at a time: who does not ask stops the generator.
    fn into_items<T: Send + 'static>(
        self,
        show: impl Fn(Value) -> Result<T, Outcome> + Send + Copy + 'static,
    ) -> Items<T> {
        Box::pin(unfold(Some(self), move |running| async move {
            let mut running = running?;
            let item = running.item().await;
            match item.and_then(|item| item.map(show).transpose().map_err(said)) {
                Ok(Some(item)) => Some((Ok(item), Some(running))),
                Ok(None) => None,
                Err(status) => Some((Err(status), None)),
            }
        }))
    }
}

#[tonic::async_trait]
impl Calls for CallsDoor {
    type StreamStream = Items<v1::Item>;
    type ConverseStream = Items<v1::Item>;
    type StreamStructStream = Items<v1::StructItem>;

    async fn call(&self, request: Request<v1::CallRequest>) -> Result<Response<v1::CallResponse>, Status> {
        let beside = Beside::of(request.metadata(), request.extensions());
        let v1::CallRequest { call, arguments } = request.into_inner();
        let mut running = self.begin(call, arguments, &beside, 0, false).await?;
        respond(&mut running).await
    }

    async fn stream(&self, request: Request<v1::CallRequest>) -> Result<Response<Items<v1::Item>>, Status> {
        let beside = Beside::of(request.metadata(), request.extensions());
        let v1::CallRequest { call, arguments } = request.into_inner();
        let running = self.begin(call, arguments, &beside, WINDOW, false).await?;
        Ok(Response::new(running.into_items(|value| Ok(item(value)))))
    }

    async fn upload(
        &self,
        request: Request<Streaming<v1::Input>>,
    ) -> Result<Response<v1::CallResponse>, Status> {
        let mut running = self.begin_fed(request, 0).await?;
        respond(&mut running).await
    }

    async fn converse(
        &self,
        request: Request<Streaming<v1::Input>>,
    ) -> Result<Response<Items<v1::Item>>, Status> {
        let running = self.begin_fed(request, WINDOW).await?;
        Ok(Response::new(running.into_items(|value| Ok(item(value)))))
    }

    async fn call_struct(
        &self,
        request: Request<v1::CallStructRequest>,
    ) -> Result<Response<v1::CallStructResponse>, Status> {
        let beside = Beside::of(request.metadata(), request.extensions());
        let v1::CallStructRequest { call, arguments } = request.into_inner();
        let arguments = values::to_payload(arguments);
        let mut running = self.begin(call, Some(arguments), &beside, 0, false).await?;
        let value = running.answer().await?;
        let value = Some(values::from_value(&value).map_err(said)?);
        Ok(Response::new(v1::CallStructResponse { value, ran: Some(running.ran()) }))
    }

    async fn stream_struct(
        &self,
        request: Request<v1::CallStructRequest>,
    ) -> Result<Response<Items<v1::StructItem>>, Status> {
        let beside = Beside::of(request.metadata(), request.extensions());
        let v1::CallStructRequest { call, arguments } = request.into_inner();
        let arguments = values::to_payload(arguments);
        let running = self.begin(call, Some(arguments), &beside, WINDOW, false).await?;
        let show = |value: Value| Ok(v1::StructItem { value: Some(values::from_value(&value)?) });
        Ok(Response::new(running.into_items(show)))
    }
}

async fn respond(running: &mut Running) -> Result<Response<v1::CallResponse>, Status> {
    let value = Some(payload(running.answer().await?));
    Ok(Response::new(v1::CallResponse { value, ran: Some(running.ran()) }))
}

fn item(value: Value) -> v1::Item {
    v1::Item { value: Some(payload(value)) }
}

fn payload(value: Value) -> v1::Payload {
    v1::Payload { data: value.body, content_type: value.content_type }
}

/// Counts an ending that is an error, and says it.
fn measured(meter: &mut CallMeter, outcome: &Outcome, whose: &Whose) -> Status {
    meter.end(status::reason(outcome));
    status::status(outcome, whose)
}
