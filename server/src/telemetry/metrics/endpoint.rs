//! Where Prometheus fetches the figures: HTTP/1.1, one path, one request a connection, and a bound for everything.

use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::{Encoder, Registry, TextEncoder};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Connections at a time; further ones wait.
const CONNECTIONS_MAX: usize = 8;
/// From the connection to the end of its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of the head of a request.
const HEAD_MAX: usize = 16 * 1024;
/// After an accept that failed, for want of descriptors for example.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves the registry until the runtime ends.
pub(super) fn serve(address: SocketAddr, insecure: bool, registry: Registry) -> io::Result<()> {
    if !address.ip().is_loopback() && !insecure {
        let why =
            format!("metrics at {address} could be read by other machines: use 127.0.0.1, or --insecure");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    let explain = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot serve metrics at {address}: {error}"))
    };
    let listener = std::net::TcpListener::bind(address).map_err(explain)?;
    listener.set_nonblocking(true).map_err(explain)?;
    let listener = TcpListener::from_std(listener).map_err(explain)?;
    tracing::info!("metrics are at http://{}/metrics", listener.local_addr().map_err(explain)?);
    tokio::spawn(accept(listener, registry));
    Ok(())
}

async fn accept(listener: TcpListener, registry: Registry) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(seat) = room.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let registry = registry.clone();
        tokio::spawn(async move {
            // Whoever is late, or asks nonsense, is hung up on.
            let _ = timeout(PATIENCE, answer_one(stream, registry)).await;
            drop(seat);
        });
    }
}

async fn answer_one(stream: TcpStream, registry: Registry) -> hyper::Result<()> {
    let answer = |request: Request<Incoming>| {
        let registry = registry.clone();
        async move { Ok::<_, Infallible>(answer(&request, registry).await) }
    };
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).keep_alive(false).max_buf_size(HEAD_MAX);
    http.serve_connection(TokioIo::new(stream), service_fn(answer)).await
}

async fn answer(request: &Request<Incoming>, registry: Registry) -> Response<String> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => match gather(registry).await {
            Ok(text) => (StatusCode::OK, text),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error),
        },
        (&Method::GET | &Method::HEAD, _) => (StatusCode::NOT_FOUND, "there is only /metrics\n".to_owned()),
        _ => (StatusCode::METHOD_NOT_ALLOWED, "there is only GET\n".to_owned()),
    };
    let mut response = Response::new(text);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(prometheus::TEXT_FORMAT));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
    }
    response
}

/// Looking at the pools waits for them, so it has a thread that may.
async fn gather(registry: Registry) -> Result<String, String> {
    let encode = move || {
        let mut text = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut text).map_err(|error| error.to_string())?;
        String::from_utf8(text).map_err(|error| error.to_string())
    };
    tokio::task::spawn_blocking(encode).await.map_err(|error| error.to_string())?
}
