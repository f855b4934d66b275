//! The body of a request: messages with a length before each, bounded in size and in patience.
//!
//! Only lengths are read here, nothing is copied or kept. A client may be silent between messages for as long as it
//! likes: that is what a conversation is. It may not be silent before its first message or in the middle of one,
//! because then somebody holds memory and waits for it. The clock runs only while the body is asked for more, so a
//! service that reads slowly is never taken for a client that writes slowly.

use crate::limits::Limits;
use crate::outcome::{Invalid, Outcome};
use crate::status;
use http_body::{Body, Frame};
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Sleep, sleep};
use tonic::Status;
use tonic::codegen::Bytes;

/// Before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// The body of a request.
#[derive(Debug)]
pub(crate) struct Inbound<B = Incoming> {
    body: B,
    messages: Messages,
    stall: Duration,
    clock: Option<Pin<Box<Sleep>>>,
}

impl<B> Inbound<B> {
    pub(crate) fn new(body: B, limits: &Limits) -> Self {
        Self { body, messages: Messages::new(limits.message), stall: limits.stall, clock: None }
    }
}

impl<B> Body for Inbound<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) else {
            if !this.messages.due() {
                return Poll::Pending;
            }
            let clock = this.clock.get_or_insert_with(|| Box::pin(sleep(this.stall)));
            ready!(clock.as_mut().poll(context));
            return Poll::Ready(Some(Err(status::of(&Outcome::Invalid(Invalid::Stalled)))));
        };
        this.clock = None;
        let broke_off = || status::of(&Outcome::Invalid(Invalid::Stalled));
        let Some(frame) = frame else {
            // hyper takes a reset without an error for the end of the request.
            let whole = this.body.is_end_stream();
            return Poll::Ready((!whole).then(|| Err(broke_off())));
        };
        // Never as cancelled: tonic takes that for the end of the request, and inputs that broke off would seem whole.
        let frame = frame.map_err(|_| broke_off())?;
        if let Some(data) = frame.data_ref()
            && let Err(invalid) = this.messages.read(data)
        {
            return Poll::Ready(Some(Err(status::of(&Outcome::Invalid(invalid)))));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// Where in a sequence of messages we are.
#[derive(Debug)]
struct Messages {
    limit: u64,
    /// What is there of the prefix of the current message.
    prefix: [u8; PREFIX],
    have: usize,
    /// Bytes of the current message that are still to come.
    rest: u64,
    /// At least one message is whole.
    begun: bool,
}

impl Messages {
    fn new(limit: u64) -> Self {
        Self { limit, prefix: [0; PREFIX], have: 0, rest: 0, begun: false }
    }

    /// Whether the client owes something.
    fn due(&self) -> bool {
        !self.begun || self.have > 0
    }

    fn read(&mut self, mut data: &[u8]) -> Result<(), Invalid> {
        while !data.is_empty() {
            if self.have < PREFIX {
                let (now, later) = data.split_at((PREFIX - self.have).min(data.len()));
                self.prefix[self.have..self.have + now.len()].copy_from_slice(now);
                self.have += now.len();
                data = later;
                if self.have < PREFIX {
                    return Ok(());
                }
                let [_, a, b, c, d] = self.prefix;
                self.rest = u32::from_be_bytes([a, b, c, d]).into();
                if self.rest > self.limit {
                    return Err(Invalid::TooLarge { size: self.rest, limit: self.limit });
                }
            }
            let here = usize::try_from(self.rest).unwrap_or(usize::MAX).min(data.len());
            data = &data[here..];
            self.rest -= here as u64;
            if self.rest == 0 {
                self.have = 0;
                self.begun = true;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(size: u32) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend(size.to_be_bytes());
        bytes.resize(PREFIX + size as usize, 7);
        bytes
    }

    #[test]
    fn messages_are_followed_however_they_are_cut() {
        let bytes = [message(0), message(3), message(300)].concat();
        for step in 1..bytes.len() {
            let mut messages = Messages::new(300);
            assert!(messages.due());
            for piece in bytes.chunks(step) {
                messages.read(piece).unwrap();
            }
            assert!(!messages.due(), "in steps of {step}");
        }
    }

    #[test]
    fn between_messages_nothing_is_due() {
        let mut messages = Messages::new(10);
        messages.read(&message(10)).unwrap();
        assert!(!messages.due());
        messages.read(&message(10)[..6]).unwrap();
        assert!(messages.due());
        messages.read(&message(10)[6..]).unwrap();
        assert!(!messages.due());
    }

    #[test]
    fn a_message_too_large_is_known_by_its_prefix() {
        let mut messages = Messages::new(10);
        let verdict = messages.read(&[0, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(verdict, Err(Invalid::TooLarge { size: 0xffff_ffff, limit: 10 }));
    }
}
