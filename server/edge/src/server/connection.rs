//! One connection: HTTP/2 by hyper, everything else around it by us.
//!
//! hyper cannot be asked whether a client has said anything yet, and neither its timeouts nor its graceful shutdown
//! hold before that. So the bytes that come in are counted below it: a client that has not said the preface and the
//! head of its first frame when the time is up is closed, and one that has said nothing at a stop is closed at once. While
//! the server only thinks of leaving it is left alone.

use super::crowd::Here;
use super::{Phase, Shared};
use crate::call::{Answers, fate};
use crate::limits::Limits;
use crate::listener::Stream;
use crate::peer::{Peer, Pulse};
use crate::tally::Tally;
use crate::tls::Tls;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// The connection preface and the head of the SETTINGS frame that has to follow it.
const GREETING: usize = 24 + 9;
/// For a client without a call to answer a `GOAWAY`. A stopped process never does.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Serves one connection to its end, after a handshake if there is to be one. The time for the greeting counts from
/// here.
pub(super) async fn begin(
    stream: Stream,
    tls: Option<Tls>,
    mut peer: Peer,
    shared: Shared,
    (_room, here): (OwnedSemaphorePermit, Here),
) {
    let by = Instant::now() + shared.limits.handshake;
    let stream = match tls {
        None => Some(stream),
        Some(tls) => shaken(stream, &tls, &peer, &shared, by).await,
    };
    let tally = Arc::clone(&shared.tally);
    if let Some(stream) = stream {
        peer.subject = stream.subject();
        run(stream, peer, shared, by, here).await;
    }
    tally.closed.one_more();
}

async fn shaken(stream: Stream, tls: &Tls, peer: &Peer, shared: &Shared, by: Instant) -> Option<Stream> {
    let mut phase = shared.phase.clone();
    let handshake = tokio::select! {
        handshake = timeout_at(by, tls.accept(stream)) => handshake,
        // It has no call yet.
        _ = phase.wait_for(|phase| *phase >= Phase::Draining) => return None,
    };
    match handshake {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            shared.tally.unsealed.one_more();
            tracing::debug!(peer = %peer.origin, %error, "there was no TLS handshake");
            None
        }
        Err(_) => {
            shared.tally.silent.one_more();
            None
        }
    }
}

async fn run(stream: Stream, peer: Peer, shared: Shared, greet_by: Instant, here: Here) {
    let heard = Arc::new(AtomicUsize::new(0));
    let greeted = || heard.load(Ordering::Relaxed) >= GREETING;
    let running = Arc::new(Running::default());
    let answers = Answers {
        routes: Arc::clone(&shared.routes),
        limits: Arc::clone(&shared.limits),
        peer: peer.clone(),
    };
    let io = TokioIo::new(Heard { stream, bytes: Arc::clone(&heard), here, pulse: Arc::clone(&peer.pulse) });
    let executor = Streams { shared: shared.clone(), running: Arc::clone(&running) };
    let mut connection = pin!(configured(executor, &shared.limits).serve_connection(io, answers));

    let mut phase = shared.phase.clone();
    let mut greeting = pin!(sleep_until(greet_by));
    let mut waiting = true;
    let mut next = Phase::Closing;
    let (mut left_alone, mut is_told) = (false, false);
    loop {
        tokio::select! {
            biased;
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(peer = %peer.origin, %error, "the connection broke");
                }
                break;
            }
            () = &mut greeting, if waiting => {
                if !greeted() {
                    shared.tally.silent.one_more();
                    break;
                }
                waiting = false;
            }
            heard = phase.wait_for(|phase| *phase >= next || (left_alone && *phase == Phase::Open)) => {
                let now = heard.map_or(Phase::Gone, |phase| *phase);
                if now >= Phase::Gone || now >= Phase::Draining && !greeted() {
                    break;
                }
                if now == Phase::Open {
                    (next, left_alone) = (Phase::Closing, false);
                } else if greeted() {
                    (next, left_alone, is_told) = (Phase::Gone, false, true);
                    connection.as_mut().graceful_shutdown();
                } else {
                    (next, left_alone) = (Phase::Draining, true);
                }
            }
            () = running.idle(), if is_told => break,
        }
    }
}

/// The running calls of a connection.
#[derive(Debug, Default)]
struct Running {
    count: AtomicUsize,
    none: Notify,
}

impl Running {
    /// Waits until there has been no call for a moment.
    async fn idle(&self) {
        loop {
            let none = self.none.notified();
            if self.is_none() {
                sleep(LAST_WORDS).await;
                if self.is_none() {
                    return;
                }
            } else {
                none.await;
            }
        }
    }

    fn is_none(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }
}

fn configured(executor: Streams, limits: &Limits) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(executor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.header_list)
        .initial_stream_window_size(limits.stream_window)
        .initial_connection_window_size(limits.connection_window)
        .max_frame_size(limits.frame)
        .max_send_buf_size(limits.send_buffer)
        .keep_alive_interval(limits.keepalive_every)
        .keep_alive_timeout(limits.keepalive_patience)
        // Nobody reads it in gRPC.
        .auto_date_header(false);
    builder
}

/// Gives each stream of a connection a task, and keeps count of them.
#[derive(Clone, Debug)]
struct Streams {
    shared: Shared,
    running: Arc<Running>,
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let guard = Call::begin(Arc::clone(&self.running), Arc::clone(&self.shared.tally));
        let shared = self.shared.clone();
        tokio::spawn(async move {
            let _guard = guard;
            let Shared { limits, tally, phase, _token, .. } = shared;
            fate::watch(stream, limits, tally, phase).await;
        });
    }
}

/// One running call.
struct Call {
    running: Arc<Running>,
    tally: Arc<Tally>,
}

impl Call {
    fn begin(running: Arc<Running>, tally: Arc<Tally>) -> Self {
        running.count.fetch_add(1, Ordering::AcqRel);
        tally.begun.one_more();
        Self { running, tally }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.running.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.running.none.notify_waiters();
        }
        self.tally.ended.one_more();
    }
}

/// A stream that counts what comes in, and says when nothing more can.
struct Heard {
    stream: Stream,
    bytes: Arc<AtomicUsize>,
    here: Here,
    pulse: Arc<Pulse>,
}

impl Heard {
    /// What cannot be written breaks the connection as well.
    fn notice<T>(&self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(_)) = polled {
            self.pulse.breaks();
        }
        polled
    }
}

impl AsyncRead for Heard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, into);
        let read = into.filled().len() - before;
        if self.bytes.fetch_add(read, Ordering::Relaxed) + read >= GREETING {
            self.here.speaks();
        }
        let ended = match &polled {
            Poll::Ready(Ok(())) => read == 0 && into.remaining() > 0,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        };
        if ended {
            self.pulse.breaks();
        } else if read > 0 {
            self.pulse.has_read();
        }
        polled
    }
}

impl AsyncWrite for Heard {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.notice(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.notice(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.notice(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
