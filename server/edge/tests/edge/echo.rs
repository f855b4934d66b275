//! The smallest service: what a tool would do is done here, by its name.

use sidewinder_edge::call::{Deadline, beside};
use sidewinder_edge::peer::Peer;
use sidewinder_proto::v1::calls_server::Calls;
use sidewinder_proto::v1::{
    CallRequest, CallResponse, CallStructRequest, CallStructResponse, Input, Item, Payload, StructItem,
};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::sync::Notify;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

/// What the service saw.
#[derive(Clone, Default)]
pub(crate) struct Facts(pub(crate) Arc<Inner>);

#[derive(Default)]
pub(crate) struct Inner {
    /// Calls that are running now.
    pub(crate) running: AtomicUsize,
    /// The most there were at a time.
    pub(crate) most: AtomicUsize,
    /// Items that were taken from streams.
    pub(crate) items: AtomicUsize,
    /// Inputs that were heard beside an answer.
    pub(crate) heard: AtomicUsize,
    /// Lets one waiting call end.
    pub(crate) release: Notify,
    pub(crate) peer: Mutex<Option<Peer>>,
    pub(crate) deadline: Mutex<Option<Instant>>,
}

impl Facts {
    pub(crate) fn running(&self) -> usize {
        self.0.running.load(Ordering::SeqCst)
    }

    fn enter(&self) -> Inside {
        let now = self.0.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most.fetch_max(now, Ordering::SeqCst);
        Inside(self.clone())
    }
}

/// Dropped when the call is.
struct Inside(Facts);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(crate) struct Echo(pub(crate) Facts);

impl Inside {
    fn repeat(self, value: Option<Payload>) -> Items<Item> {
        Box::pin(tokio_stream::iter(std::iter::repeat(value)).map(move |value| {
            self.0.0.items.fetch_add(1, Ordering::SeqCst);
            Ok(Item { value })
        }))
    }
}

type Items<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Calls for Echo {
    /// `wait` waits to be released, everything else echoes.
    async fn call(&self, request: Request<CallRequest>) -> Result<Response<CallResponse>, Status> {
        let _inside = self.0.enter();
        *self.0.0.peer.lock().unwrap() = request.extensions().get::<Peer>().cloned();
        *self.0.0.deadline.lock().unwrap() =
            request.extensions().get::<Deadline>().map(|deadline| deadline.0);
        let CallRequest { call, arguments } = request.into_inner();
        if call.is_some_and(|call| call.tool == "wait") {
            self.0.0.release.notified().await;
        }
        Ok(Response::new(CallResponse { value: arguments, ran: None }))
    }

    type StreamStream = Items<Item>;

    /// Says its argument for ever: `silent` says nothing for ever.
    async fn stream(&self, request: Request<CallRequest>) -> Result<Response<Self::StreamStream>, Status> {
        let inside = self.0.enter();
        let CallRequest { call, arguments } = request.into_inner();
        if call.is_some_and(|call| call.tool == "silent") {
            let nothing = tokio_stream::pending().map(move |item| {
                let _inside = &inside;
                item
            });
            return Ok(Response::new(Box::pin(nothing)));
        }
        Ok(Response::new(inside.repeat(arguments)))
    }

    /// Answers with the number of inputs.
    async fn upload(&self, request: Request<Streaming<Input>>) -> Result<Response<CallResponse>, Status> {
        let _inside = self.0.enter();
        let mut inputs = request.into_inner();
        let mut count = 0_u32;
        while inputs.message().await?.is_some() {
            count += 1;
        }
        let data = count.to_string().into();
        let value = Some(Payload { data, content_type: String::new() });
        Ok(Response::new(CallResponse { value, ran: None }))
    }

    type ConverseStream = Items<Item>;

    /// Hears its inputs beside an answer that never ends.
    async fn converse(&self, inputs: Request<Streaming<Input>>) -> Result<Response<Items<Item>>, Status> {
        let (mut inputs, facts) = (inputs.into_inner(), self.0.clone());
        let hearing = async move {
            while let Ok(Some(_)) = inputs.message().await {
                facts.0.heard.fetch_add(1, Ordering::SeqCst);
            }
        };
        beside(hearing).map_err(|_| Status::internal("there is no call"))?;
        let value = Some(Payload { data: vec![0; 10_000].into(), content_type: String::new() });
        Ok(Response::new(self.0.enter().repeat(value)))
    }

    async fn call_struct(
        &self,
        request: Request<CallStructRequest>,
    ) -> Result<Response<CallStructResponse>, Status> {
        let arguments = request.into_inner().arguments.unwrap_or_default();
        let value = prost_types::Value { kind: Some(prost_types::value::Kind::StructValue(arguments)) };
        Ok(Response::new(CallStructResponse { value: Some(value), ran: None }))
    }

    type StreamStructStream = Items<StructItem>;

    async fn stream_struct(
        &self,
        _: Request<CallStructRequest>,
    ) -> Result<Response<Self::StreamStructStream>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn result(
        &self,
        _: Request<sidewinder_proto::v1::ResultRequest>,
    ) -> Result<Response<CallResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}
