//! The baseline: tonic as it comes, with the same contract and nothing behind it.
//!
//! It runs in a process of its own, like the daemon, so that client and server share the processors in the same way.
//! It echoes what `echoes.py` computes: the bytes it was given, so many items, or nothing at all for ever.

use super::mirrors::Mirrors;
use futures_util::stream::{self, BoxStream, StreamExt};
use sidewinder_proto::v1;
use sidewinder_proto::v1::calls_server::{Calls, CallsServer};
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::UnixListener;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

/// What an item of a stream is.
const ITEM: &[u8] = b"0123456789";

#[derive(Debug, Default)]
pub(crate) struct Bare {
    waiting: AtomicU64,
    /// What bytes go through on their way, if they do.
    mirrors: Option<Mirrors>,
}

type Items<T> = BoxStream<'static, Result<T, Status>>;

/// Serves on this socket until it is killed.
pub(crate) fn serve(socket: &Path) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async { listen(socket, Bare::default())?.await })
}

/// The same with so many mirrors behind it, in one thread, as the daemon has on a small machine.
pub(crate) fn serve_mirrored(socket: &Path, python: &OsStr, mirrors: usize) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mirrors = Some(Mirrors::start(python, mirrors)?);
        listen(socket, Bare { mirrors, ..Bare::default() })?.await
    })
}

/// Within a runtime: it listens, and serves for as long as it is polled.
pub(crate) fn listen(
    socket: &Path,
    bare: Bare,
) -> io::Result<impl Future<Output = io::Result<()>> + Send + use<>> {
    let listener = UnixListener::bind(socket)?;
    let incoming = stream::unfold(listener, |listener| async {
        let accepted = listener.accept().await.map(|(stream, _)| stream);
        Some((accepted, listener))
    });
    let calls = CallsServer::new(bare).max_decoding_message_size(usize::MAX);
    Ok(async move {
        Server::builder().serve_with_incoming(calls, incoming.boxed()).await.map_err(io::Error::other)
    })
}

fn parts(request: v1::CallRequest) -> (String, v1::Payload) {
    (request.call.unwrap_or_default().tool, request.arguments.unwrap_or_default())
}

#[tonic::async_trait]
impl Calls for Bare {
    type StreamStream = Items<v1::Item>;
    type ConverseStream = Items<v1::Item>;
    type StreamStructStream = Items<v1::StructItem>;

    async fn call(&self, request: Request<v1::CallRequest>) -> Result<Response<v1::CallResponse>, Status> {
        let (tool, mut value) = parts(request.into_inner());
        match tool.as_str() {
            "wait" => {
                self.waiting.fetch_add(1, Ordering::Relaxed);
                std::future::pending::<()>().await;
            }
            "waiting" => value.data = self.waiting.load(Ordering::Relaxed).to_string().into(),
            _ => {
                if let Some(mirrors) = &self.mirrors {
                    value.data = mirrors.echo(&value.data).await?.into();
                }
            }
        }
        Ok(Response::new(v1::CallResponse { value: Some(value), ran: None }))
    }

    async fn stream(&self, request: Request<v1::CallRequest>) -> Result<Response<Items<v1::Item>>, Status> {
        let (_, arguments) = parts(request.into_inner());
        let until = String::from_utf8_lossy(&arguments.data).parse::<u64>();
        let until = until.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let items = stream::iter(0..until).map(move |_| {
            let content_type = arguments.content_type.clone();
            let value = Some(v1::Payload { data: ITEM.into(), content_type });
            Ok(v1::Item { value })
        });
        Ok(Response::new(items.boxed()))
    }

    async fn upload(&self, _: Request<Streaming<v1::Input>>) -> Result<Response<v1::CallResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn converse(&self, _: Request<Streaming<v1::Input>>) -> Result<Response<Items<v1::Item>>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn call_struct(
        &self,
        _: Request<v1::CallStructRequest>,
    ) -> Result<Response<v1::CallStructResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn stream_struct(
        &self,
        _: Request<v1::CallStructRequest>,
    ) -> Result<Response<Items<v1::StructItem>>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn result(&self, _: Request<v1::ResultRequest>) -> Result<Response<v1::CallResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }
}
