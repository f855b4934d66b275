//! The client: the same for every server, on one thread and one connection.

use sidewinder_proto::v1;
use sidewinder_proto::v1::calls_client::CallsClient;
use sidewinder_tests::figures::Figures;
use std::io;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tonic::transport::Channel;

/// One kind of call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) tool: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) body: &'a [u8],
}

impl<'a> Ask<'a> {
    /// A tool that takes bytes.
    pub(crate) fn raw(tool: &'static str, body: &'a [u8]) -> Self {
        Self { tool, content_type: "application/octet-stream", body }
    }

    pub(crate) fn request(&self) -> v1::CallRequest {
        let call = v1::Call { tool: self.tool.to_owned(), ..v1::Call::default() };
        let content_type = self.content_type.to_owned();
        let arguments = v1::Payload { data: self.body.to_vec().into(), content_type };
        v1::CallRequest { call: Some(call), arguments: Some(arguments) }
    }
}

/// One call after the other for this long: how long each took.
pub(crate) async fn alone(
    mut calls: CallsClient<Channel>,
    ask: Ask<'_>,
    span: Duration,
) -> io::Result<Figures> {
    let mut figures = Figures::default();
    let end = Instant::now() + span;
    while figures.count() == 0 || Instant::now() < end {
        timed(&mut calls, ask.request(), &mut figures).await?;
    }
    Ok(figures)
}

/// One call more.
pub(crate) async fn timed(
    calls: &mut CallsClient<Channel>,
    request: v1::CallRequest,
    figures: &mut Figures,
) -> io::Result<()> {
    let begun = Instant::now();
    let answer = calls.call(request).await.map_err(io::Error::other)?;
    figures.add(begun.elapsed());
    drop(answer);
    Ok(())
}

/// What many callers did together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) calls: usize,
    pub(crate) span: Duration,
}

impl Done {
    /// Calls a second.
    pub(crate) fn rate(self) -> f64 {
        rate(self.calls, self.span)
    }
}

/// So many callers at once for this long.
pub(crate) async fn together(
    calls: &CallsClient<Channel>,
    ask: Ask<'static>,
    callers: usize,
    span: Duration,
) -> io::Result<Done> {
    all(&vec![calls.clone(); callers], ask, span).await
}

/// All of these at once for this long, each one call after the other.
pub(crate) async fn all(
    callers: &[CallsClient<Channel>],
    ask: Ask<'static>,
    span: Duration,
) -> io::Result<Done> {
    let begun = Instant::now();
    let mut tasks: JoinSet<io::Result<usize>> =
        callers.iter().map(|calls| caller(calls.clone(), ask, begun + span)).collect();
    let mut calls = 0;
    while let Some(task) = tasks.join_next().await {
        calls += task.map_err(io::Error::other)??;
    }
    Ok(Done { calls, span: begun.elapsed() })
}

async fn caller(calls: CallsClient<Channel>, ask: Ask<'static>, end: Instant) -> io::Result<usize> {
    Ok(alone(calls, ask, end.saturating_duration_since(Instant::now())).await?.count())
}

/// Items a second of one stream.
pub(crate) async fn items(mut calls: CallsClient<Channel>, until: usize) -> io::Result<f64> {
    let digits = until.to_string();
    let ask = Ask::raw("count", digits.as_bytes());
    let begun = Instant::now();
    let mut items = calls.stream(ask.request()).await.map_err(io::Error::other)?.into_inner();
    let mut seen = 0;
    while items.message().await.map_err(io::Error::other)?.is_some() {
        seen += 1;
    }
    if seen != until {
        return Err(io::Error::other(format!("{seen} items came instead of {until}")));
    }
    Ok(rate(seen, begun.elapsed()))
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than two to the power of 52")]
fn rate(count: usize, span: Duration) -> f64 {
    count as f64 / span.as_secs_f64()
}
