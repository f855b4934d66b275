//! The body of an answer, which can be cut short by a verdict.

use super::fate::Fate;
use crate::outcome::Outcome;
use crate::status;
use http::{HeaderMap, Response};
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Bytes;

/// The body of an answer.
#[derive(Debug)]
pub(crate) struct Outbound {
    /// `None` once a verdict has been said.
    body: Option<Body>,
    fate: Arc<Fate>,
}

impl Outbound {
    pub(crate) fn new(body: Body, fate: Arc<Fate>) -> Self {
        Self { body: Some(body), fate }
    }
}

/// An answer that is a status and nothing else.
pub(crate) fn only(outcome: &Outcome) -> Response<Outbound> {
    status::of(outcome).into_http().map(|()| Outbound { body: None, fate: Arc::default() })
}

impl http_body::Body for Outbound {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        let Some(verdict) = this.fate.verdict() else { return Pin::new(body).poll_frame(context) };
        // Dropping the body is what tells the service that nobody wants the rest.
        this.body = None;
        let mut trailers = HeaderMap::new();
        Poll::Ready(Some(match status::of(verdict).add_header(&mut trailers) {
            Ok(()) => Ok(Frame::trailers(trailers)),
            Err(status) => Err(status),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
