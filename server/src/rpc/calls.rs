//! The service that runs tools.

use super::outcome::{self, Spoken};
use super::parse::{self, Beside, Parsed, bad};
use super::{said, values};
use crate::pool::{Conversation, Heard, Inputs, Pools};
use crate::worker::words::Value;
use futures_util::stream::{Stream, unfold};
use sidewinder_edge::outcome::{Failure, Outcome};
use sidewinder_proto::v1;
use sidewinder_proto::v1::calls_server::Calls;
use std::pin::Pin;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tonic::{Request, Response, Status, Streaming};

/// Items that a generator may be ahead of its reader.
const WINDOW: u32 = 32;
/// Credit is given back in portions, not for each item.
const PORTION: u32 = 16;

/// Answers questions about calls.
#[derive(Clone, Debug)]
pub(crate) struct CallsDoor {
    pools: Pools,
}

type Items<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// A call that a worker has, with what its answer says about it.
struct Running {
    conversation: Conversation,
    waited: Duration,
    began: Instant,
    /// Brings further inputs, for as long as the call lives.
    feeding: Option<Feeding>,
    unpaid: u32,
}

/// A task that ends with whoever holds it.
struct Feeding(JoinHandle<()>);

impl Drop for Feeding {
    fn drop(&mut self) {
        self.0.abort();
    }
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
    ) -> Result<Running, Outcome> {
        let Parsed { pool, request, mut ask } = parse::call(&self.pools, call, arguments, beside, credit)?;
        ask.input = input;
        let asked = Instant::now();
        let conversation =
            Conversation::begin(&pool, request, ask).await.map_err(|refused| outcome::refused(&refused))?;
        let began = Instant::now();
        Ok(Running { conversation, waited: began - asked, began, feeding: None, unpaid: 0 })
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
        let mut running = self.begin(open.call, open.arguments, &beside, credit, true).await.map_err(said)?;
        running.feeding = Some(Feeding(tokio::spawn(feed(inputs, running.conversation.inputs()))));
        Ok(running)
    }
}

async fn feed(mut inputs: Streaming<v1::Input>, worker: Inputs) {
    // A client that breaks off has dropped the call, too: nobody needs to be told.
    while let Ok(Some(input)) = inputs.message().await {
        if let Some(v1::input::Part::Item(item)) = input.part {
            worker.give(item.data).await;
        }
    }
    worker.end().await;
}

impl Running {
    /// The next item, or nothing at the end of the stream.
    async fn item(&mut self) -> Result<Option<Value>, Outcome> {
        match self.hear().await? {
            Spoken::Want => Err(broken("that it wants inputs where none are given")),
            Spoken::End => Ok(None),
            Spoken::Answer(_) => Err(broken("an answer where a stream was asked for")),
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

    async fn answer(&mut self) -> Result<Value, Outcome> {
        match self.hear().await? {
            Spoken::Answer(value) => Ok(value),
            Spoken::Item(_) | Spoken::End | Spoken::Want => {
                Err(broken("a stream where one answer was asked for"))
            }
        }
    }

    async fn hear(&mut self) -> Result<Spoken, Outcome> {
        match self.conversation.hear().await {
            Heard::Said(said) => outcome::spoken(said),
            Heard::Verdict(verdict) => Err(outcome::failed(verdict)),
        }
    }

    fn ran(&self) -> v1::Ran {
        let span = |span: Duration| span.try_into().ok();
        v1::Ran {
            worker: self.conversation.life().to_string(),
            waited: span(self.waited),
            took: span(self.began.elapsed()),
        }
    }

    /// The items as a stream that can be asked for one at a time: who does not ask stops the generator.
    fn into_items<T: Send + 'static>(
        self,
        show: impl Fn(Value) -> Result<T, Outcome> + Send + Copy + 'static,
    ) -> Items<T> {
        Box::pin(unfold(Some(self), move |running| async move {
            let mut running = running?;
            match running.item().await.and_then(|item| item.map(show).transpose()) {
                Ok(Some(item)) => Some((Ok(item), Some(running))),
                Ok(None) => None,
                Err(outcome) => Some((Err(said(outcome)), None)),
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
        let mut running = self.begin(call, arguments, &beside, 0, false).await.map_err(said)?;
        respond(&mut running).await
    }

    async fn stream(&self, request: Request<v1::CallRequest>) -> Result<Response<Items<v1::Item>>, Status> {
        let beside = Beside::of(request.metadata(), request.extensions());
        let v1::CallRequest { call, arguments } = request.into_inner();
        let running = self.begin(call, arguments, &beside, WINDOW, false).await.map_err(said)?;
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
        let mut running = self.begin(call, Some(arguments), &beside, 0, false).await.map_err(said)?;
        let value = running.answer().await.map_err(said)?;
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
        let running = self.begin(call, Some(arguments), &beside, WINDOW, false).await.map_err(said)?;
        let show = |value: Value| Ok(v1::StructItem { value: Some(values::from_value(&value)?) });
        Ok(Response::new(running.into_items(show)))
    }
}

async fn respond(running: &mut Running) -> Result<Response<v1::CallResponse>, Status> {
    let value = running.answer().await.map_err(said)?;
    let value = Some(payload(value));
    Ok(Response::new(v1::CallResponse { value, ran: Some(running.ran()) }))
}

fn item(value: Value) -> v1::Item {
    v1::Item { value: Some(payload(value)) }
}

fn payload(value: Value) -> v1::Payload {
    v1::Payload { data: value.body, content_type: value.content_type }
}

fn broken(what: &str) -> Outcome {
    Outcome::Failed(Failure::Broken { what: format!("the worker said {what}") })
}
