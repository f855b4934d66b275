//! The frames between the daemon and a worker, as bytes (`proto/WORKER.md`). Pure.
//!
//! A body larger than a frame travels in pieces. Writing cuts without copying; reading puts together within a bound.

use bytes::{Bytes, BytesMut};
use sidewinder_keeper_wire::FRAME_MAX;
use std::collections::HashMap;
use std::fmt;

pub(crate) const VERSION: u8 = 1;
pub(crate) const HEADER: usize = 24;
/// What a body's piece may have at most, so that the header and a first piece's meta fit beside it.
const PIECE_MAX: usize = FRAME_MAX - HEADER;
const MORE: u16 = 1;
/// One item of a stream: a cancelled tool may stop between two pieces of it.
const ITEM: u8 = 66;
/// The call has further inputs.
pub(crate) const INPUT: u16 = 2;

/// One message, however many frames it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) kind: u8,
    pub(crate) flags: u16,
    pub(crate) call: u64,
    pub(crate) meta: Vec<u8>,
    pub(crate) body: Bytes,
}

/// Why bytes are no frame, or frames no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Truncated,
    Version(u8),
    /// A piece that does not follow the one before.
    OutOfOrder,
    /// More than a message may have.
    TooLarge,
    /// More calls at once in pieces than the worker has seats.
    TooMany,
    /// The meta does not fit into the first frame.
    MetaTooLarge,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => write!(f, "a frame ends too early"),
            Self::Version(version) => write!(f, "a frame of version {version}, this daemon speaks {VERSION}"),
            Self::OutOfOrder => write!(f, "a piece that does not follow the one before"),
            Self::TooLarge => write!(f, "a message larger than max_message"),
            Self::TooMany => write!(f, "pieces of more calls at once than the worker has seats"),
            Self::MetaTooLarge => write!(f, "the metadata does not fit into a frame of {FRAME_MAX} bytes"),
        }
    }
}

impl Message {
    pub(crate) fn new(kind: u8, call: u64) -> Self {
        Self { kind, flags: 0, call, meta: Vec::new(), body: Bytes::new() }
    }

    /// The frames of this message: what comes before the body's piece, and the piece.
    pub(crate) fn frames(mut self) -> Result<Vec<(Vec<u8>, Bytes)>, Fault> {
        let room = PIECE_MAX.checked_sub(self.meta.len()).ok_or(Fault::MetaTooLarge)?;
        let first = self.body.split_to(self.body.len().min(room));
        let mut frames = vec![(self.header(0, self.meta.len()), first)];
        frames[0].0.extend_from_slice(&self.meta);
        let mut piece = 0;
        while !self.body.is_empty() {
            piece += 1;
            let next = self.body.split_to(self.body.len().min(PIECE_MAX));
            frames.push((self.header(piece, 0), next));
        }
        let last = frames.len() - 1;
        frames[..last].iter_mut().for_each(|(header, _)| header[2] |= MORE.to_le_bytes()[0]);
        Ok(frames)
    }

    fn header(&self, piece: u32, meta: usize) -> Vec<u8> {
        let mut header = Vec::with_capacity(HEADER + meta);
        header.extend_from_slice(&[VERSION, self.kind]);
        header.extend_from_slice(&self.flags.to_le_bytes());
        header.extend_from_slice(&u32::try_from(meta).unwrap_or(u32::MAX).to_le_bytes());
        header.extend_from_slice(&self.call.to_le_bytes());
        header.extend_from_slice(&piece.to_le_bytes());
        header.extend_from_slice(&[0; 4]);
        header
    }
}

/// Puts messages together from frames.
#[derive(Debug)]
pub(crate) struct Assembler {
    open: HashMap<u64, Partial>,
    open_max: usize,
    message_max: usize,
    /// Pieces of lower calls may have gone elsewhere.
    lenient_below: u64,
}

#[derive(Debug)]
struct Partial {
    kind: u8,
    flags: u16,
    meta: Vec<u8>,
    body: BytesMut,
    next: u32,
}

impl Assembler {
    pub(crate) fn new(open_max: usize, message_max: usize) -> Self {
        Self { open: HashMap::new(), open_max, message_max, lenient_below: 0 }
    }

    /// Of messages of lower calls the beginning may be missing, and they may begin again.
    pub(crate) fn lenient_below(&mut self, call: u64) {
        self.lenient_below = call;
    }

    /// Takes one frame; returns a message when this was its last.
    pub(crate) fn take(&mut self, datagram: &[u8]) -> Result<Option<Message>, Fault> {
        let (header, rest) = datagram.split_first_chunk::<HEADER>().ok_or(Fault::Truncated)?;
        let [version, kind, f0, f1, m0, m1, m2, m3, call @ .., p0, p1, p2, p3, _, _, _, _] = *header;
        if version != VERSION {
            return Err(Fault::Version(version));
        }
        let flags = u16::from_le_bytes([f0, f1]);
        let meta = usize::try_from(u32::from_le_bytes([m0, m1, m2, m3])).map_err(|_| Fault::Truncated)?;
        let (call, piece) = (u64::from_le_bytes(call), u32::from_le_bytes([p0, p1, p2, p3]));
        let (meta, body) = rest.split_at_checked(meta).ok_or(Fault::Truncated)?;
        let meta = meta.to_vec();
        if piece == 0 && kind != ITEM && self.open.get(&call).is_some_and(|begun| begun.kind == ITEM) {
            self.open.remove(&call);
        }
        if call < self.lenient_below {
            if piece == 0 {
                self.open.remove(&call);
            } else if self.open.get(&call).is_none_or(|begun| (begun.kind, begun.next) != (kind, piece)) {
                return Ok(None);
            }
        }
        let more = flags & MORE != 0;
        if piece == 0 && !more {
            let body = Bytes::copy_from_slice(body);
            return self.whole(Message { kind, flags, call, meta, body }).map(Some);
        }
        let partial = self.partial(kind, flags, call, piece, meta)?;
        partial.next = piece.checked_add(1).ok_or(Fault::OutOfOrder)?;
        partial.body.extend_from_slice(body);
        if partial.body.len() > self.message_max {
            return Err(Fault::TooLarge);
        }
        if more {
            return Ok(None);
        }
        let Some(done) = self.open.remove(&call) else { return Err(Fault::OutOfOrder) };
        let flags = done.flags & !MORE;
        Ok(Some(Message { kind, flags, call, meta: done.meta, body: done.body.freeze() }))
    }

    fn whole(&self, message: Message) -> Result<Message, Fault> {
        match () {
            () if self.open.contains_key(&message.call) => Err(Fault::OutOfOrder),
            () if message.body.len() > self.message_max => Err(Fault::TooLarge),
            () => Ok(message),
        }
    }

    fn partial(
        &mut self,
        kind: u8,
        flags: u16,
        call: u64,
        piece: u32,
        meta: Vec<u8>,
    ) -> Result<&mut Partial, Fault> {
        if piece == 0 {
            if self.open.contains_key(&call) {
                return Err(Fault::OutOfOrder);
            }
            if self.open.len() >= self.open_max {
                return Err(Fault::TooMany);
            }
            self.open.insert(call, Partial { kind, flags, meta, body: BytesMut::new(), next: 0 });
        }
        let partial = self.open.get_mut(&call).ok_or(Fault::OutOfOrder)?;
        if partial.kind == kind && partial.next == piece { Ok(partial) } else { Err(Fault::OutOfOrder) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagrams(message: Message) -> Vec<Bytes> {
        let frames = message.frames().expect("cut");
        frames.into_iter().map(|(head, body)| [head, body.to_vec()].concat().into()).collect()
    }

    fn message(call: u64, length: usize) -> Message {
        let body = (0..length).map(|at| u8::try_from(at % 251).expect("small")).collect::<Vec<_>>().into();
        Message { kind: 65, flags: 0, call, meta: vec![2, 0, 1, 0, 0, 0, b'x'], body }
    }

    #[test]
    fn every_size_around_the_cuts_arrives_whole() {
        let first = PIECE_MAX - 7;
        for length in [0, 1, first - 1, first, first + 1, first + PIECE_MAX, first + PIECE_MAX + 1, 1 << 20] {
            let frames = datagrams(message(9, length));
            assert!(frames.iter().all(|frame| frame.len() <= FRAME_MAX));
            let mut assembler = Assembler::new(1, 1 << 20);
            let mut said: Vec<_> =
                frames.iter().filter_map(|frame| assembler.take(frame).expect("in order")).collect();
            assert_eq!(said.pop(), Some(message(9, length)), "{length}");
            assert!(said.is_empty());
        }
    }

    #[test]
    fn pieces_of_two_calls_interleave() {
        let (one, two) = (datagrams(message(1, 300_000)), datagrams(message(2, 300_000)));
        let mut assembler = Assembler::new(2, 1 << 20);
        let mut whole = Vec::new();
        for frame in one.iter().zip(&two).flat_map(|(one, two)| [one, two]) {
            whole.extend(assembler.take(frame).expect("in order"));
        }
        assert_eq!(whole, [message(1, 300_000), message(2, 300_000)]);
    }

    #[test]
    fn faults_are_named_and_bounded() {
        let frames = datagrams(message(1, 300_000));
        let mut skip = Assembler::new(1, 1 << 20);
        skip.take(&frames[0]).expect("first");
        assert_eq!(skip.take(&frames[2]), Err(Fault::OutOfOrder));
        assert_eq!(skip.take(&frames[0]), Err(Fault::OutOfOrder), "begun twice");
        assert_eq!(skip.take(&datagrams(message(2, 300_000))[0]), Err(Fault::TooMany));
        let mut small = Assembler::new(1, 100);
        assert_eq!(small.take(&datagrams(message(1, 101))[0]), Err(Fault::TooLarge));
        small.take(&frames[0]).expect_err("too large in pieces, too");
        for length in 0..HEADER {
            assert_eq!(small.take(&frames[0].slice(..length)), Err(Fault::Truncated));
        }
        let mut newer = frames[0].to_vec();
        newer[0] = 2;
        assert_eq!(small.take(&newer), Err(Fault::Version(2)));
    }

    #[test]
    fn an_ending_drops_the_item_that_was_begun_and_nothing_else() {
        for length in [10, 300_000] {
            let mut assembler = Assembler::new(1, 1 << 20);
            let item = datagrams(Message { kind: ITEM, ..message(1, 300_000) });
            assert_eq!(assembler.take(&item[0]), Ok(None));
            assert_eq!(assembler.take(&item[0]), Err(Fault::OutOfOrder), "an item is no ending");
            let ending = datagrams(message(1, length));
            let said: Vec<_> = ending.iter().filter_map(|frame| assembler.take(frame).unwrap()).collect();
            assert_eq!(said, [message(1, length)]);
            assert_eq!(assembler.take(&item[1]), Err(Fault::OutOfOrder), "its rest is not expected any more");
        }
    }

    #[test]
    fn what_was_half_read_by_another_is_dropped_up_to_its_repetition() {
        let mut assembler = Assembler::new(1, 1 << 20);
        assembler.lenient_below(5);
        let frames = datagrams(message(4, 300_000));
        assert_eq!(assembler.take(&frames[1]), Ok(None), "its beginning is missing");
        assert_eq!(assembler.take(&frames[2]), Ok(None));
        assert_eq!(assembler.take(&frames[0]), Ok(None));
        let said: Vec<_> = frames.iter().filter_map(|frame| assembler.take(frame).unwrap()).collect();
        assert_eq!(said, [message(4, 300_000)], "begun again, and to its end");
        assert_eq!(assembler.take(&datagrams(message(5, 300_000))[1]), Err(Fault::OutOfOrder));
    }

    #[test]
    fn random_frames_never_panic() {
        let seed = datagrams(message(1, 40));
        let mut state = 88_172_645_463_325_252_u64;
        let mut assembler = Assembler::new(4, 1 << 16);
        for _ in 0..100_000 {
            let mut bytes = seed[0].to_vec();
            for _ in 0..3 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let at = usize::try_from(state % bytes.len() as u64).expect("small");
                bytes[at] = state.to_le_bytes()[3];
            }
            let _ = assembler.take(&bytes);
        }
    }
}
