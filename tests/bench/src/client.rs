//! The client alone, against a server that somebody else has started: what clients of other languages stand beside.
//!
//! It runs on either runtime that tokio has. One thread is what costs least for a single connection; several are what
//! `#[tokio::main]` makes of a program, and so what most clients have. Which is faster depends on the server, so whoever
//! compares shows both.

use crate::load::{Ask, alone, items, together};
use serde::Serialize;
use sidewinder_proto::v1::calls_client::CallsClient;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::runtime::Builder;
use tonic::transport::{Channel, Endpoint};

const SMALL: Ask<'static> = Ask { tool: "echo", content_type: "application/octet-stream", body: &[7; 100] };
const LARGE: usize = 10_000_000;
const ITEMS: usize = 100_000;
const SPAN: Duration = Duration::from_millis(700);
/// Large bodies are few: a while longer gives a middle.
const SPAN_LARGE: Duration = Duration::from_secs(1);

/// The same figures, under the same names, as those of `client-elixir/bench/figures.exs`.
#[derive(Debug, Serialize)]
struct Figures {
    /// Microseconds of a call of one caller, the median.
    unary: f64,
    /// Calls a second.
    callers_32: f64,
    /// Calls a second.
    callers_256: f64,
    /// Milliseconds for ten megabytes there and back, the median.
    large: f64,
    /// Milliseconds for a stream of a hundred thousand items.
    stream: f64,
}

/// Measures once, and gives the figures as a line of JSON.
pub(crate) fn run(socket: &Path, multi_thread: bool) -> io::Result<String> {
    let mut builder = if multi_thread { Builder::new_multi_thread() } else { Builder::new_current_thread() };
    let runtime = builder.enable_all().build()?;
    // As a task it is where the others are: what is blocked on has a thread of its own, to be woken at each answer.
    let figures = runtime.block_on(runtime.spawn(measure(socket.to_owned()))).map_err(io::Error::other)??;
    serde_json::to_string(&figures).map_err(io::Error::other)
}

async fn measure(socket: PathBuf) -> io::Result<Figures> {
    let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display())).map_err(io::Error::other)?;
    let channel = endpoint.connect().await.map_err(io::Error::other)?;
    let calls: CallsClient<Channel> = CallsClient::new(channel).max_decoding_message_size(usize::MAX);
    let body = vec![7; LARGE];
    alone(calls.clone(), SMALL, SPAN / 4).await?;
    let unary = alone(calls.clone(), SMALL, SPAN).await?.median();
    let callers_32 = together(&calls, SMALL, 32, SPAN).await?.rate();
    let callers_256 = together(&calls, SMALL, 256, SPAN).await?.rate();
    let large = alone(calls.clone(), Ask::raw("echo", &body), SPAN_LARGE).await?.median();
    let begun = Instant::now();
    items(calls, ITEMS).await?;
    let stream = begun.elapsed();
    Ok(Figures {
        unary: unary.as_secs_f64() * 1e6,
        callers_32,
        callers_256,
        large: large.as_secs_f64() * 1e3,
        stream: stream.as_secs_f64() * 1e3,
    })
}
