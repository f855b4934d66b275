//! A gRPC client of a daemon under test, on HTTP/2 alone.
//!
//! Each client has a connection of its own, and is one client to the daemon's fairness. It has no clocks: whatever ends
//! because of time was ended by the daemon.

pub mod load;

use crate::daemon::Daemon;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sidewinder_proto::v1::calls_client::CallsClient;
use sidewinder_proto::v1::{Call, CallRequest, Input, Payload, input};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::net;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic_types::{ErrorDetails, StatusExt};

/// The content types that workers know.
pub const JSON: &str = "application/json";
/// Binary and typed.
pub const MSGPACK: &str = "application/msgpack";
/// Bytes as they are.
pub const RAW: &str = "application/octet-stream";

/// Calls over one connection.
pub type Calls = CallsClient<Wire>;

/// One connection.
#[derive(Clone, Debug)]
pub struct Wire {
    send: SendRequest<Body>,
}

impl GrpcService<Body> for Wire {
    type ResponseBody = Incoming;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.send.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.send.send_request(request))
    }
}

/// A new client of this daemon.
pub async fn connect(daemon: &Daemon<'_>) -> io::Result<Calls> {
    Ok(connect_to_hang_up(daemon).await?.0)
}

/// A new client of whoever listens there.
pub async fn connect_at(socket: &Path) -> io::Result<Calls> {
    connect_late(socket, Duration::ZERO).await
}

/// The same, silent for so long before its first word.
pub async fn connect_late(socket: &Path, pause: Duration) -> io::Result<Calls> {
    let stream = UnixStream::connect(socket).await?;
    tokio::time::sleep(pause).await;
    Ok(CallsClient::with_origin(shake_hands(stream).await?, Uri::from_static("http://sidewinder")))
}

/// A connection for any of the daemon's services, and where they are.
pub async fn wire(daemon: &Daemon<'_>) -> io::Result<(Wire, Uri)> {
    let connection = net::UnixStream::connect(daemon.socket())?;
    connection.set_nonblocking(true)?;
    Ok((shake_hands(UnixStream::from_std(connection)?).await?, Uri::from_static("http://sidewinder")))
}

/// The same by a network.
pub async fn wire_by_tcp(address: SocketAddr) -> io::Result<(Wire, Uri)> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok((shake_hands(stream).await?, Uri::from_static("http://sidewinder")))
}

async fn shake_hands(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> io::Result<Wire> {
    let (send, driver) =
        handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // It ends with the last clone of `send`; how is seen by whoever calls.
    tokio::spawn(driver);
    Ok(Wire { send })
}

/// A new client of this daemon, and its connection, to be shut down in the middle of something.
pub async fn connect_to_hang_up(daemon: &Daemon<'_>) -> io::Result<(Calls, net::UnixStream)> {
    let connection = net::UnixStream::connect(daemon.socket())?;
    connection.set_nonblocking(true)?;
    let wire = shake_hands(UnixStream::from_std(connection.try_clone()?)?).await?;
    let calls = CallsClient::with_origin(wire, Uri::from_static("http://sidewinder"));
    Ok((calls.max_decoding_message_size(usize::MAX), connection))
}

/// A call of this tool, without any wishes.
pub fn call(tool: &str) -> Call {
    Call { tool: tool.to_owned(), ..Call::default() }
}

/// A value.
pub fn payload(content_type: &str, data: impl Into<bytes::Bytes>) -> Payload {
    Payload { data: data.into(), content_type: content_type.to_owned() }
}

/// A call of this tool with these arguments as JSON.
pub fn ask(tool: &str, arguments: &str) -> CallRequest {
    with(call(tool), arguments)
}

/// This call with these arguments as JSON.
pub fn with(call: Call, arguments: &str) -> CallRequest {
    CallRequest { call: Some(call), arguments: Some(payload(JSON, arguments.to_owned())) }
}

/// Calls a tool and returns its value as text.
pub async fn answer(calls: &mut Calls, tool: &str, arguments: &str) -> Result<String, Status> {
    let answer = calls.call(ask(tool, arguments)).await?.into_inner();
    Ok(text(answer.value))
}

/// A value as text.
pub fn text(value: Option<Payload>) -> String {
    String::from_utf8_lossy(&value.unwrap_or_default().data).into_owned()
}

/// The inputs of a call: what sends them, and what is given to the client. It opens the call with `request`.
pub fn inputs(request: CallRequest) -> (mpsc::Sender<Input>, ReceiverStream<Input>) {
    let (sender, receiver) = mpsc::channel(1);
    // There is room for the first.
    let _ = sender.try_send(opening(request));
    (sender, ReceiverStream::new(receiver))
}

/// The first message of a stream of inputs.
pub fn opening(request: CallRequest) -> Input {
    Input { part: Some(input::Part::Open(request)) }
}

/// A further message, in the content type of the call.
pub fn item(data: impl Into<bytes::Bytes>) -> Input {
    Input { part: Some(input::Part::Item(payload("", data))) }
}

/// What a program reads of an error.
#[derive(Debug)]
pub struct Why {
    details: ErrorDetails,
    /// The status itself.
    pub status: Status,
}

impl Why {
    /// Of this status.
    pub fn of(status: Status) -> Self {
        Self { details: status.get_error_details(), status }
    }

    /// The name of the reason.
    pub fn reason(&self) -> &str {
        self.details.error_info().map_or("", |info| &info.reason)
    }

    /// What is known under this name.
    pub fn fact(&self, name: &str) -> &str {
        self.details.error_info().and_then(|info| info.metadata.get(name)).map_or("", String::as_str)
    }

    /// The traceback, and the last words.
    pub fn evidence(&self) -> String {
        let debug = self.details.debug_info();
        debug
            .map_or_else(String::new, |debug| format!("{}\n{}", debug.stack_entries.join("\n"), debug.detail))
    }

    /// Whether it is sensible to try again soon.
    pub fn may_retry(&self) -> bool {
        self.details.retry_info().is_some_and(|info| info.retry_delay.is_some())
    }
}
