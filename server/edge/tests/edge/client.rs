//! A client made of HTTP/2 and nothing else, so that it can do what a well-behaved one would not.

use crate::world::PATIENCE;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request};
use prost::Message;
use prost::bytes::Bytes;
use sidewinder_proto::v1::{Call, CallRequest, CallResponse, Payload};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::Status;

pub(crate) const CALL: &str = "/sidewinder.v1.Calls/Call";
pub(crate) const STREAM: &str = "/sidewinder.v1.Calls/Stream";
pub(crate) const UPLOAD: &str = "/sidewinder.v1.Calls/Upload";
pub(crate) const CONVERSE: &str = "/sidewinder.v1.Calls/Converse";
pub(crate) const WATCH: &str = "/grpc.health.v1.Health/Watch";

pub(crate) struct Client {
    send: SendRequest<Bytes>,
    pub(crate) driver: JoinHandle<Result<(), h2::Error>>,
    freeze: Arc<Notify>,
}

/// A call that has begun.
pub(crate) struct Open {
    pub(crate) response: ResponseFuture,
    pub(crate) request: SendStream<Bytes>,
}

impl Client {
    pub(crate) async fn over<S>(stream: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (send, connection) =
            h2::client::Builder::new().initial_window_size(64 * 1024).handshake(stream).await.unwrap();
        let frozen = Arc::new(Notify::new());
        let freeze = Arc::clone(&frozen);
        let driver = tokio::spawn(async move {
            let mut connection = pin!(connection);
            tokio::select! {
                ended = &mut connection => ended,
                () = frozen.notified() => std::future::pending().await,
            }
        });
        Self { send, driver, freeze }
    }

    /// From now on this client is as good as stopped: it neither reads nor writes, and its socket stays open.
    pub(crate) fn freeze(&self) {
        self.freeze.notify_one();
    }

    /// Sends the headers.
    pub(crate) async fn open(&mut self, path: &str, headers: &[(&str, &str)]) -> Open {
        let mut request = Request::post(format!("http://sidewinder{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        poll_fn(|context| self.send.poll_ready(context)).await.unwrap();
        let (response, request) = self.send.send_request(request.body(()).unwrap(), false).unwrap();
        Open { response, request }
    }

    /// Sends the headers and one message, which is all.
    pub(crate) async fn ask(&mut self, path: &str, headers: &[(&str, &str)], message: &impl Message) -> Open {
        let mut open = self.open(path, headers).await;
        open.request.send_data(framed(message), true).unwrap();
        open
    }

    pub(crate) async fn call(&mut self, tool: &str, data: &'static [u8]) -> Result<Bytes, Status> {
        let body = self.ask(CALL, &[], &call(tool, data)).await.ended().await?;
        let value = CallResponse::decode(body.slice(5..)).unwrap().value;
        Ok(value.map(|value| value.data).unwrap_or_default())
    }
}

impl Open {
    /// Waits for the response headers and for the first piece of the body.
    pub(crate) async fn first(self) -> Result<RecvStream, Status> {
        let mut body = timeout(PATIENCE, self.response).await.expect("no response").unwrap().into_body();
        let _ = timeout(PATIENCE, body.data()).await.expect("no data").unwrap().unwrap();
        Ok(body)
    }

    /// Waits for the end. A reset stream is a status too, of the code `Unknown`.
    pub(crate) async fn ended(self) -> Result<Bytes, Status> {
        match timeout(PATIENCE, self.response).await.expect("no response") {
            Ok(response) => {
                if let Some(status) = Status::from_header_map(response.headers()) {
                    return Err(status);
                }
                end_of(response.into_body()).await
            }
            Err(error) => Err(Status::unknown(error.to_string())),
        }
    }
}

/// Reads a body to its trailers.
pub(crate) async fn end_of(mut body: RecvStream) -> Result<Bytes, Status> {
    let reading = async {
        let mut bytes = Vec::new();
        while let Some(data) = body.data().await {
            let data = data.map_err(|error| Status::unknown(error.to_string()))?;
            body.flow_control().release_capacity(data.len()).unwrap();
            bytes.extend_from_slice(&data);
        }
        let trailers = body.trailers().await.map_err(|error| Status::unknown(error.to_string()))?;
        let trailers: HeaderMap = trailers.unwrap_or_default();
        match Status::from_header_map(&trailers) {
            Some(status) if trailers["grpc-status"] != "0" => Err(status),
            _ => Ok(bytes.into()),
        }
    };
    timeout(PATIENCE, reading).await.expect("the body never ends")
}

pub(crate) fn call(tool: &str, data: &'static [u8]) -> CallRequest {
    CallRequest {
        call: Some(Call { tool: tool.to_owned(), ..Call::default() }),
        arguments: Some(Payload { data: Bytes::from_static(data), content_type: String::new() }),
    }
}

pub(crate) fn framed(message: &impl Message) -> Bytes {
    let encoded = message.encode_to_vec();
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(encoded.len()).unwrap().to_be_bytes());
    bytes.extend(encoded);
    bytes.into()
}
