//! The load of the race between peers (`tests/race`): so many callers, one server, whoever made it. One line of JSON.
//!
//! Callers of HTTP have a thread and a connection each, which they keep as long as the server does; callers of gRPC share
//! one connection. What is measured is the same: from the first byte of a request to the last of its answer.

mod http;

use clap::Args;
use serde::Serialize;
use sidewinder_proto::v1;
use sidewinder_proto::v1::calls_client::CallsClient;
use std::io;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

/// After so many failures in a row a caller gives up.
const FAILURES_MAX: usize = 3;

/// What is to be done.
#[derive(Args, Debug)]
pub(crate) struct Wish {
    /// Drive this server: http://127.0.0.1:PORT/PATH, or grpc://127.0.0.1:PORT
    #[arg(long, value_name = "ADDRESS", hide = true)]
    drive: Option<String>,
    /// Callers at once
    #[arg(long, default_value_t = 1, hide = true)]
    callers: usize,
    /// Bytes of the body
    #[arg(long, default_value_t = 10, hide = true)]
    bytes: usize,
    /// For how long
    #[arg(long, default_value_t = 0.5, hide = true)]
    seconds: f64,
    /// The body is the text of a field of JSON
    #[arg(long, hide = true)]
    in_json: bool,
}

/// What one caller saw.
#[derive(Debug, Default)]
struct Tally {
    took: Vec<Duration>,
    failures: usize,
    error: Option<String>,
}

impl Tally {
    /// Notes how a call that began then ended. False when it is time to give up.
    fn note(&mut self, begun: Instant, ending: io::Result<()>) -> bool {
        match ending {
            Ok(()) => self.took.push(begun.elapsed()),
            Err(error) => {
                self.failures += 1;
                self.error.get_or_insert_with(|| error.to_string());
            }
        }
        self.failures < FAILURES_MAX
    }
}

/// What all of them saw.
#[derive(Debug, Serialize)]
struct Seen {
    calls: usize,
    seconds: f64,
    /// The median, in microseconds.
    p50_us: f64,
    errors: usize,
    /// The first of them.
    error: String,
}

impl Wish {
    /// Drives, if that was wished, and gives what was seen.
    pub(crate) fn drive(&self) -> Option<io::Result<String>> {
        self.drive.as_deref().map(|address| self.measure(address))
    }

    fn measure(&self, address: &str) -> io::Result<String> {
        let span = Duration::try_from_secs_f64(self.seconds).map_err(io::Error::other)?;
        let begun = Instant::now();
        let tallies = match address.split_once("://") {
            Some(("http", rest)) => http::callers(rest, &self.body(), self.callers, begun + span)?,
            Some(("grpc", rest)) => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(self.over_grpc(rest, begun + span))?
            }
            _ => return Err(io::Error::other(format!("{address} is no address to drive"))),
        };
        serde_json::to_string(&Seen::gather(tallies, begun.elapsed())).map_err(io::Error::other)
    }

    /// The letter that asks for an echo, as often as wished.
    fn body(&self) -> http::Body {
        let body = vec![b'e'; self.bytes];
        if !self.in_json {
            return http::Body {
                content_type: "application/octet-stream",
                bytes: body,
                answer_min: self.bytes,
            };
        }
        let bytes = [b"{\"body\":\"".as_slice(), &body, b"\"}"].concat();
        http::Body { content_type: "application/json", bytes, answer_min: self.bytes }
    }

    async fn over_grpc(&self, authority: &str, end: Instant) -> io::Result<Vec<Tally>> {
        let endpoint = Endpoint::from_shared(format!("http://{authority}")).map_err(io::Error::other)?;
        let channel = endpoint.connect().await.map_err(io::Error::other)?;
        let calls = CallsClient::new(channel).max_decoding_message_size(usize::MAX);
        let data = vec![b'e'; self.bytes].into();
        let call = v1::Call { tool: "answer".to_owned(), ..v1::Call::default() };
        let arguments = v1::Payload { data, content_type: "application/octet-stream".to_owned() };
        let request = v1::CallRequest { call: Some(call), arguments: Some(arguments) };
        let mut callers: JoinSet<Tally> =
            (0..self.callers).map(|_| caller(calls.clone(), request.clone(), end)).collect();
        let mut tallies = Vec::new();
        while let Some(tally) = callers.join_next().await {
            tallies.push(tally.map_err(io::Error::other)?);
        }
        Ok(tallies)
    }
}

/// One call after the other; at least one.
async fn caller(mut calls: CallsClient<Channel>, request: v1::CallRequest, end: Instant) -> Tally {
    let mut tally = Tally::default();
    let expected = request.arguments.as_ref().map_or(0, |arguments| arguments.data.len());
    loop {
        let begun = Instant::now();
        let ending = match calls.call(request.clone()).await {
            Ok(answer)
                if answer.get_ref().value.as_ref().is_some_and(|value| value.data.len() == expected) =>
            {
                Ok(())
            }
            Ok(_) => Err(io::Error::other("another body came back")),
            Err(status) => Err(io::Error::other(format!("{:?}: {}", status.code(), status.message()))),
        };
        if !tally.note(begun, ending) || Instant::now() >= end {
            return tally;
        }
    }
}

impl Seen {
    fn gather(tallies: Vec<Tally>, span: Duration) -> Self {
        let errors = tallies.iter().map(|tally| tally.failures).sum();
        let error = tallies.iter().find_map(|tally| tally.error.clone()).unwrap_or_default();
        let mut took: Vec<Duration> = tallies.into_iter().flat_map(|tally| tally.took).collect();
        took.sort_unstable();
        let middle = took.get(took.len() / 2).copied().unwrap_or_default();
        Self {
            calls: took.len(),
            seconds: span.as_secs_f64(),
            p50_us: middle.as_secs_f64() * 1e6,
            errors,
            error,
        }
    }
}
