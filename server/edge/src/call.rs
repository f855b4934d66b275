//! One call, from its headers to its end, as the edge sees it.
//!
//! ```text
//!   connection task          stream task (one for each call)
//!   ┌───────────────┐        ┌─────────────────────────────────────────────┐
//!   │ HTTP/2 frames │──────▶ │ watch(fate): deadline, stop, slow readers   │
//!   └───────────────┘        │   └ answer: bad timeouts end here           │
//!                            │       ├ inbound body: message size, stalls  │
//!                            │       ├ the service                         │
//!                            │       └ outbound body: says a verdict       │
//!                            └─────────────────────────────────────────────┘
//! ```
//!
//! A timeout around a service ends when the response headers are there, and a body is asked for nothing while its
//! reader takes nothing. Both are holes through which a call outlives its deadline. So the watch stands around the
//! *whole* stream, from outside: when time is up, or the daemon stops, it leaves a verdict in the `fate::Fate` of the
//! call; the answer or the outbound body finds it there at its next poll, drops what runs, and says it to the client.
//! If the client does not even take that, the stream is dropped, which resets it.
//!
//! Whoever runs the call knows better why it ended, so the watch comes a little after the deadline
//! ([`Limits::deadline_slack`](crate::limits::Limits)).

pub(crate) mod fate;
pub(crate) mod inbound;
pub(crate) mod outbound;
pub(crate) mod timeout;
pub(crate) mod turn;

use crate::limits::Limits;
use crate::outcome::Outcome;
use crate::peer::Peer;
use crate::routes::Routes;
use crate::status;
use fate::Fate;
pub use fate::{NoCall, beside};
use http::{Request, Response};
use hyper::body::Incoming;
use inbound::Inbound;
use outbound::Outbound;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;
use tonic::body::Body;

/// When the answer is of no use any more. Among the extensions of every request whose client has said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(pub Instant);

/// Streams that end by themselves only when their client does. They are no reason to wait when the daemon stops.
const ENDLESS: [&str; 6] = [
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    "/sidewinder.v1.Clients/Attach",
    "/sidewinder.v1.Pools/Logs",
    "/sidewinder.v1.Pools/Watch",
];

/// Answers the requests of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Answers {
    pub(crate) routes: Arc<Routes>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) peer: Peer,
}

type Said = Response<Outbound>;

impl hyper::service::Service<Request<Incoming>> for Answers {
    type Response = Said;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Said, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let answers = self.clone();
        let arrived = Instant::now();
        Box::pin(async move { Ok(answers.answer(request, arrived).await) })
    }
}

impl Answers {
    async fn answer(&self, request: Request<Incoming>, arrived: Instant) -> Said {
        let deadline = match timeout::of(request.headers()) {
            Ok(timeout) => timeout.and_then(|timeout| arrived.checked_add(timeout)),
            Err(invalid) => return outbound::only(&Outcome::Invalid(invalid)),
        };
        let endless = ENDLESS.contains(&request.uri().path());
        let fate = Fate::current();
        fate.begin(deadline.and_then(|deadline| deadline.checked_add(self.limits.deadline_slack)), endless);
        let mut request = request.map(|body| Body::new(Inbound::new(body, &self.limits)));
        request.extensions_mut().insert(self.peer.clone());
        if let Some(deadline) = deadline {
            request.extensions_mut().insert(Deadline(deadline));
        }
        let mut asked = self.routes.ask(request);
        poll_fn(|context| match fate.verdict() {
            Some(verdict) => Poll::Ready(status::of(verdict).into_http()),
            None => asked.as_mut().poll(context).map(|answer| match answer {
                Ok(answer) => answer,
                Err(never) => match never {},
            }),
        })
        .await
        .map(|body| Outbound::new(body, fate.clone()))
    }
}
