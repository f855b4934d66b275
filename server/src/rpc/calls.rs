//! The service that runs tools.

mod carried;
mod feeding;
mod keyed;
mod running;

pub(crate) use carried::Outliving;
pub(crate) use keyed::Told;

use super::outcome;
use super::parse::{self, Beside, Parsed, bad};
use super::{not_admitted, said, values};
use crate::endings::{Endings, Key};
use crate::lifecycle::Mode;
use crate::pool::{Conversation, Guard, Lost, Pools};
use crate::presence::{Caller, Register};
use crate::worker::words::Value;
use feeding::Feeding;
use keyed::{KEY_MAX, refuse};
use running::{Items, Running};
use sidewinder_core::OnAbandon;
use sidewinder_edge::outcome::{Failure, Outcome};
use sidewinder_edge::peer::Identity;
use sidewinder_edge::status;
use sidewinder_proto::v1;
use sidewinder_proto::v1::calls_server::Calls;
use tonic::{Request, Response, Status, Streaming};

/// Items that a generator may be ahead of its reader.
const WINDOW: u32 = 32;

/// Answers questions about calls.
#[derive(Clone, Debug)]
pub(crate) struct CallsDoor {
    pools: Pools,
    register: Register,
    endings: Endings<Told>,
    mode: Mode,
    outliving: Outliving,
}

/// A call that may come in.
struct Admitted {
    parsed: Parsed,
    caller: Caller,
    key: Option<Key>,
}

impl CallsDoor {
    pub(crate) fn new(
        pools: Pools,
        register: Register,
        endings: Endings<Told>,
        mode: Mode,
        outliving: Outliving,
    ) -> Self {
        Self { pools, register, endings, mode, outliving }
    }

    /// Whether a call may come in at all, and what it is.
    fn admit(
        &self,
        call: Option<v1::Call>,
        arguments: Option<v1::Payload>,
        beside: &Beside,
        credit: u32,
    ) -> Result<Admitted, Status> {
        let call = call.ok_or_else(|| said(bad("call", "be there")))?;
        if call.idempotency_key.len() > KEY_MAX {
            return Err(said(bad("call.idempotency_key", "be at most 256 bytes")));
        }
        let caller = self.register.admit(&call.lease, call.epoch, &beside.who).map_err(not_admitted)?;
        let key = key(&call.idempotency_key, caller.name(), &beside.who);
        let usual = self.mode.on_abandon(caller.is_attached());
        let mut parsed = parse::call(&self.pools, call, arguments, beside, credit, usual).map_err(said)?;
        parsed.request.key = key.as_ref().map(parse::call_key);
        if let Some(client) = caller.fairness() {
            parsed.request.client = client;
        }
        parsed.ask.memo = self.outliving.memo(&parsed.request, &parsed.whose, key.as_ref());
        Ok(Admitted { parsed, caller, key })
    }

    /// Begins a call that nobody can join.
    async fn begin(&self, admitted: Admitted, beside: &Beside) -> Result<Running, Status> {
        let Admitted { parsed, mut caller, key } = admitted;
        let Parsed { pool, mut whose, request, mut ask, origin } = parsed;
        let hold = |key| self.endings.hold(key, &format!("{} {}", whose.pool, whose.tool));
        if key.is_some() {
            self.outliving.all_known().await;
        }
        let alone = key.map(hold).transpose().map_err(|taken| refuse(&taken))?;
        // The key is held for as long as the call runs, which may be longer than anybody waits for it.
        let alone = alone.map(|alone| Box::new(alone) as Guard);
        let mut meter = pool.meter().call(&ask.tool, beside.deadline, &origin);
        ask.traceparent = meter.traceparent().or_else(|| ask.traceparent.take());
        let lost = match request.on_abandon {
            OnAbandon::FinishIfLost => caller.lost(beside.pulse.clone()),
            OnAbandon::Cancel | OnAbandon::Finish => Lost::never(),
        };
        let begun = tokio::select! {
            biased;
            begun = Conversation::begin(&pool, request, ask, lost, alone) => {
                begun.map_err(|refused| outcome::refused(&refused))
            }
            () = caller.ended() => Err(Outcome::Failed(Failure::LeaseEnded)),
        };
        let conversation = begun.map_err(|outcome| {
            meter.end(status::reason(&outcome));
            status::status(&outcome, &whose)
        })?;
        conversation.worker().clone_into(&mut whose.worker);
        meter.began(&whose.worker);
        let (deadline, caller) = (beside.deadline, Some(caller));
        Ok(Running { caller, ..Running::alone(conversation, meter, whose, deadline) })
    }

    /// One value, of a call of its own or of one that is joined.
    async fn answer(
        &self,
        call: Option<v1::Call>,
        arguments: Option<v1::Payload>,
        beside: &Beside,
    ) -> Result<(Value, v1::Ran), Status> {
        let mut admitted = self.admit(call, arguments, beside, 0)?;
        if let Some(key) = admitted.key.take() {
            return self.keyed(key, admitted.parsed, beside, admitted.caller).await;
        }
        let mut running = self.begin(admitted, beside).await?;
        let value = running.answer().await?;
        Ok((value, running.ran()))
    }

    async fn items(
        &self,
        call: Option<v1::Call>,
        arguments: Option<v1::Payload>,
        beside: &Beside,
    ) -> Result<Running, Status> {
        let admitted = self.admit(call, arguments, beside, WINDOW)?;
        self.begin(admitted, beside).await
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
        let finishes = open.call.as_ref().is_some_and(|call| call.on_abandon() == v1::OnAbandon::Finish);
        if finishes {
            return Err(said(bad("call.on_abandon", "not be finish where inputs come from the caller")));
        }
        let mut admitted = self.admit(open.call, open.arguments, &beside, credit)?;
        admitted.parsed.ask.input = true;
        admitted.parsed.request.on_abandon = OnAbandon::Cancel;
        let mut running = self.begin(admitted, &beside).await?;
        running.feeding = Some(Feeding::start(inputs, running.conversation.inputs(), content_type));
        Ok(running)
    }
}

fn key(key: &str, client: &str, who: &Identity) -> Option<Key> {
    (!key.is_empty()).then(|| Key { who: who.clone(), client: client.to_owned(), word: key.to_owned() })
}

#[tonic::async_trait]
impl Calls for CallsDoor {
    type StreamStream = Items<v1::Item>;
    type ConverseStream = Items<v1::Item>;
    type StreamStructStream = Items<v1::StructItem>;

    async fn call(&self, request: Request<v1::CallRequest>) -> Result<Response<v1::CallResponse>, Status> {
        let beside = Beside::of(request.metadata(), request.extensions());
        let v1::CallRequest { call, arguments } = request.into_inner();
        self.answer(call, arguments, &beside).await.map(respond)
    }

    async fn stream(&self, request: Request<v1::CallRequest>) -> Result<Response<Items<v1::Item>>, Status> {
        let beside = Beside::of(request.metadata(), request.extensions());
        let v1::CallRequest { call, arguments } = request.into_inner();
        let running = self.items(call, arguments, &beside).await?;
        Ok(Response::new(running.into_items(|value| Ok(item(value)))))
    }

    async fn upload(
        &self,
        request: Request<Streaming<v1::Input>>,
    ) -> Result<Response<v1::CallResponse>, Status> {
        let mut running = self.begin_fed(request, 0).await?;
        let value = running.answer_fed().await?;
        Ok(respond((value, running.ran())))
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
        let (value, ran) = self.answer(call, Some(arguments), &beside).await?;
        let value = Some(values::from_value(&value).map_err(said)?);
        Ok(Response::new(v1::CallStructResponse { value, ran: Some(ran) }))
    }

    async fn stream_struct(
        &self,
        request: Request<v1::CallStructRequest>,
    ) -> Result<Response<Items<v1::StructItem>>, Status> {
        let beside = Beside::of(request.metadata(), request.extensions());
        let v1::CallStructRequest { call, arguments } = request.into_inner();
        let arguments = values::to_payload(arguments);
        let running = self.items(call, Some(arguments), &beside).await?;
        let show = |value: Value| Ok(v1::StructItem { value: Some(values::from_value(&value)?) });
        Ok(Response::new(running.into_items(show)))
    }

    async fn result(
        &self,
        request: Request<v1::ResultRequest>,
    ) -> Result<Response<v1::CallResponse>, Status> {
        let beside = Beside::of(request.metadata(), request.extensions());
        let v1::ResultRequest { idempotency_key, name, lease, epoch } = request.into_inner();
        let caller = self.register.admit(&lease, epoch, &beside.who).map_err(not_admitted)?;
        let name = if name.is_empty() { caller.name().to_owned() } else { name };
        let Some(key) = key(&idempotency_key, &name, &beside.who) else {
            return Err(said(bad("idempotency_key", "name the call that is asked for")));
        };
        self.result_of(key, &beside, caller).await.map(respond)
    }
}

fn respond((value, ran): (Value, v1::Ran)) -> Response<v1::CallResponse> {
    Response::new(v1::CallResponse { value: Some(payload(value)), ran: Some(ran) })
}

fn item(value: Value) -> v1::Item {
    v1::Item { value: Some(payload(value)) }
}

fn payload(value: Value) -> v1::Payload {
    v1::Payload { data: value.body, content_type: value.content_type }
}
