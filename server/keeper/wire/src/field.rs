//! Frames and their fields: the only place that counts bytes.

use super::{FRAME_MAX, VERSION};
use std::fmt;

const HEADER: usize = 8;
const FIELD_HEADER: usize = 6;
/// A field whose tag has this bit must be understood, or its frame is refused.
pub(super) const CRITICAL: u16 = 0x8000;

/// Why bytes are no frame, or a frame no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Fewer bytes than a header, or a field longer than its frame.
    Truncated,
    /// More than [`FRAME_MAX`] bytes.
    TooLarge(usize),
    /// A version that this side does not speak.
    Version(u8),
    /// A kind that this side does not know.
    Kind(u8),
    /// A field that must be understood and is not.
    Unknown(u16),
    /// A field that must be there and is not.
    Missing(u16),
    /// A field whose value makes no sense.
    Value(u16),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated => write!(f, "the frame ends too early"),
            Self::TooLarge(size) => write!(
                f,
                "the frame has {size} bytes and at most {FRAME_MAX} fit: shorten the arguments or the environment"
            ),
            Self::Version(version) => {
                write!(f, "the frame is of version {version}, this side speaks {VERSION}")
            }
            Self::Kind(kind) => write!(f, "no frame of kind {kind} is known"),
            Self::Unknown(tag) => write!(f, "field {tag:#06x} must be understood and is not known here"),
            Self::Missing(tag) => write!(f, "field {tag:#06x} is missing"),
            Self::Value(tag) => write!(f, "the value of field {tag:#06x} makes no sense"),
        }
    }
}

impl std::error::Error for Broken {}

/// A frame as it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The protocol version of the sender.
    pub version: u8,
    /// What it says.
    pub kind: u8,
    /// Whom it concerns; 0 is the whole pool.
    pub worker: u32,
    body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads the header. The body is read by [`Frame::fields`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Broken> {
        if bytes.len() > FRAME_MAX {
            return Err(Broken::TooLarge(bytes.len()));
        }
        let (header, body) = bytes.split_first_chunk::<HEADER>().ok_or(Broken::Truncated)?;
        let [version, kind, _, _, a, b, c, d] = *header;
        if version == 0 || version > VERSION {
            return Err(Broken::Version(version));
        }
        Ok(Self { version, kind, worker: u32::from_le_bytes([a, b, c, d]), body })
    }

    /// The fields, in order.
    pub fn fields(&self) -> Fields<'a> {
        Fields::of(self.body)
    }
}

/// Walks over the fields of one frame.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The fields in these bytes.
    pub fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u16, &'a [u8]), Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = split_field(self.rest);
        self.rest = field.map_or(&[], |(_, _, rest)| rest);
        Some(field.map(|(tag, value, _)| (tag, value)).ok_or(Broken::Truncated))
    }
}

fn split_field(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<FIELD_HEADER>()?;
    let [t0, t1, l0, l1, l2, l3] = *header;
    let length = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).ok()?;
    let (value, rest) = rest.split_at_checked(length)?;
    Some((u16::from_le_bytes([t0, t1]), value, rest))
}

/// Writes one frame.
#[derive(Debug)]
pub struct FrameWriter {
    bytes: Vec<u8>,
}

impl FrameWriter {
    /// Begins a frame about one worker, or about the pool (0).
    pub fn new(kind: u8, worker: u32) -> Self {
        let mut bytes = vec![VERSION, kind, 0, 0];
        bytes.extend_from_slice(&worker.to_le_bytes());
        Self { bytes }
    }

    /// Adds a field of bytes.
    pub fn bytes(&mut self, tag: u16, value: &[u8]) {
        put_field(&mut self.bytes, tag, value);
    }

    /// Adds a number.
    pub fn number(&mut self, tag: u16, value: u64) {
        self.bytes(tag, &value.to_le_bytes());
    }

    /// Adds a signed number.
    pub fn signed(&mut self, tag: u16, value: i64) {
        self.bytes(tag, &value.to_le_bytes());
    }

    /// Adds a number when there is one.
    pub fn maybe(&mut self, tag: u16, value: Option<u64>) {
        if let Some(value) = value {
            self.number(tag, value);
        }
    }

    /// The frame, unless it has grown too large.
    pub fn finish(self) -> Result<Vec<u8>, Broken> {
        if self.bytes.len() > FRAME_MAX { Err(Broken::TooLarge(self.bytes.len())) } else { Ok(self.bytes) }
    }
}

/// Appends one field.
pub fn put_field(bytes: &mut Vec<u8>, tag: u16, value: &[u8]) {
    // A field too long for its length makes a frame that is too large in any case.
    let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&tag.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(value);
}

/// What to do with a field that a reader does not know.
pub fn unknown(tag: u16) -> Result<(), Broken> {
    if tag & CRITICAL == 0 { Ok(()) } else { Err(Broken::Unknown(tag)) }
}

pub(super) fn number(tag: u16, value: &[u8]) -> Result<u64, Broken> {
    value.try_into().map(u64::from_le_bytes).map_err(|_| Broken::Value(tag))
}

pub(super) fn signed(tag: u16, value: &[u8]) -> Result<i64, Broken> {
    value.try_into().map(i64::from_le_bytes).map_err(|_| Broken::Value(tag))
}

/// A number that fits the place it is meant for.
pub(super) fn small<T: TryFrom<u64>>(tag: u16, value: &[u8]) -> Result<T, Broken> {
    T::try_from(number(tag, value)?).map_err(|_| Broken::Value(tag))
}

pub(super) fn text(tag: u16, value: &[u8]) -> Result<String, Broken> {
    String::from_utf8(value.to_vec()).map_err(|_| Broken::Value(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Vec<u8> {
        let mut writer = FrameWriter::new(9, 7);
        writer.number(1, 42);
        writer.bytes(2, b"abc");
        writer.finish().expect("small")
    }

    #[test]
    fn reads_what_it_wrote() {
        let bytes = frame();
        let frame = Frame::parse(&bytes).expect("whole");
        assert_eq!((frame.kind, frame.worker), (9, 7));
        let fields: Vec<_> = frame.fields().map(|field| field.expect("whole")).collect();
        assert_eq!(fields, [(1, 42u64.to_le_bytes().as_slice()), (2, b"abc".as_slice())]);
    }

    #[test]
    fn every_cut_is_noticed_or_ends_between_fields() {
        let bytes = frame();
        for length in 0..bytes.len() {
            match Frame::parse(&bytes[..length]) {
                Err(error) => assert!(length < HEADER, "{length}: {error}"),
                Ok(frame) => {
                    let whole = frame.fields().all(|field| field.is_ok());
                    assert_eq!(whole, [HEADER, HEADER + FIELD_HEADER + 8].contains(&length), "{length}");
                }
            }
        }
    }

    #[test]
    fn a_field_cannot_claim_more_than_there_is() {
        let mut bytes = frame();
        bytes[HEADER + 2..HEADER + 6].copy_from_slice(&u32::MAX.to_le_bytes());
        let frame = Frame::parse(&bytes).expect("header is whole");
        assert_eq!(frame.fields().collect::<Vec<_>>(), [Err(Broken::Truncated)]);
    }

    #[test]
    fn large_frames_and_foreign_versions_are_refused() {
        assert_eq!(Frame::parse(&vec![1; FRAME_MAX + 1]), Err(Broken::TooLarge(FRAME_MAX + 1)));
        let mut writer = FrameWriter::new(1, 1);
        writer.bytes(1, &vec![0; FRAME_MAX]);
        assert!(matches!(writer.finish(), Err(Broken::TooLarge(_))));
        for version in [0, VERSION + 1, 255] {
            assert_eq!(Frame::parse(&[version, 0, 0, 0, 0, 0, 0, 0]), Err(Broken::Version(version)));
        }
    }
}
