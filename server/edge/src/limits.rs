//! Every bound of the edge: a name, a unit, a default.
//!
//! What one connection can make the daemon hold is bounded by its windows, not by what it sends: all its unread
//! requests together fit into [`Limits::connection_window`]. A message that is being put together is beyond the
//! windows, and bounded by [`Limits::message`]; it is held only while its sender keeps sending ([`Limits::stall`]).
//!
//! Tiny frames cost more memory than their bytes. The HTTP library gives a connection half of its window for what each
//! is short of 256 bytes, and closes it beyond that. The windows are such that one stream of the tiniest messages, each in
//! a frame of its own, is stopped by its own window before: its client has done nothing wrong.

use std::time::Duration;

/// The bounds. See [`Limits::default`] for the values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time. Whoever comes after them is told so and closed.
    pub connections: usize,
    /// From accept to the first HTTP/2 frame. Whoever takes longer is closed.
    pub handshake: Duration,
    /// Calls at a time on one connection. Clients are told, and those that do not listen are refused.
    pub streams: u32,
    /// Bytes of headers of one request, as HTTP/2 counts them.
    pub header_list: u32,
    /// Bytes of one message.
    pub message: u64,
    /// Bytes that a client may send on one stream before they are read. A body that fits is sent in one go, without asking
    /// for room on the way.
    pub stream_window: u32,
    /// Bytes that a client may send on all its streams before they are read.
    pub connection_window: u32,
    /// Bytes of one frame of a client. A large body in few frames is read in few goes; whatever comes after a frame on its
    /// connection waits for the whole of it.
    pub frame: u32,
    /// Bytes of one response that wait for a slow reader, beside the message that is being written.
    pub send_buffer: usize,
    /// Without a word from a client for this long, it is asked whether it is there.
    pub keepalive_every: Duration,
    /// And closed if it has not answered after this long.
    pub keepalive_patience: Duration,
    /// A request may pause for this long before its first message and in the middle of a message.
    pub stall: Duration,
    /// So long after its deadline a call is ended here, if whoever runs it has not ended it by then.
    pub deadline_slack: Duration,
    /// From the ending of a call by the edge to the reset of a stream whose reader does not take the ending.
    pub farewell: Duration,
}

/// What is wrong with limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The field.
    pub name: &'static str,
    /// What it must be.
    pub must: &'static str,
}

/// HTTP/2 knows no smaller window to begin with, and no larger one at all.
const WINDOWS: std::ops::RangeInclusive<u32> = 65_535..=(1 << 31) - 1;
/// And no other frames.
const FRAMES: std::ops::RangeInclusive<u32> = 16_384..=(1 << 24) - 1;

impl Limits {
    /// Everything that is wrong with them.
    pub fn flaws(&self) -> Vec<Flaw> {
        let mut flaws = Vec::new();
        let mut want = |holds: bool, name, must| {
            if !holds {
                flaws.push(Flaw { name, must });
            }
        };
        let some = Duration::from_millis(1);
        want(self.connections > 0, "connections", "be at least 1");
        want(self.streams > 0, "streams", "be at least 1");
        want(self.header_list >= 1024, "header_list", "be at least 1KiB");
        want((1..=u32::MAX.into()).contains(&self.message), "message", "be between 1 byte and 4GiB less one");
        want(
            WINDOWS.contains(&self.stream_window),
            "stream_window",
            "be between 65535 bytes and 2GiB less one",
        );
        let connection = WINDOWS.contains(&self.connection_window);
        want(connection, "connection_window", "be between 65535 bytes and 2GiB less one");
        want(FRAMES.contains(&self.frame), "frame", "be between 16KiB and 16MiB less one");
        let buffer = u32::try_from(self.send_buffer).is_ok_and(|bytes| bytes > 0);
        want(buffer, "send_buffer", "be between 1 byte and 4GiB less one");
        want(self.handshake >= some, "handshake", "be at least 1ms");
        want(self.keepalive_every >= some, "keepalive_every", "be at least 1ms");
        want(self.keepalive_patience >= some, "keepalive_patience", "be at least 1ms");
        want(self.stall >= some, "stall", "be at least 1ms");
        flaws
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            handshake: Duration::from_secs(10),
            streams: 1_000,
            header_list: 16 * 1024,
            message: 64 * 1024 * 1024,
            stream_window: 1024 * 1024,
            connection_window: 80 * 1024 * 1024,
            frame: 128 * 1024,
            send_buffer: 64 * 1024,
            keepalive_every: Duration::from_secs(30),
            keepalive_patience: Duration::from_secs(20),
            stall: Duration::from_secs(30),
            deadline_slack: Duration::from_secs(1),
            farewell: Duration::from_secs(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a frame costs in the HTTP library.
    const FRAME: u32 = 256;
    /// The prefix of a message, and an input without a byte.
    const TINIEST: u32 = 5 + 2;

    #[test]
    fn one_stream_of_the_tiniest_inputs_is_stopped_by_its_window() {
        let Limits { stream_window, connection_window, .. } = Limits::default();
        assert!(stream_window / TINIEST * (FRAME - TINIEST) <= connection_window / 2);
    }

    #[test]
    fn every_flaw_is_told_at_once() {
        assert_eq!(Limits::default().flaws(), []);
        let none = Duration::ZERO;
        let wrong = Limits {
            connections: 0,
            handshake: none,
            streams: 0,
            header_list: 0,
            message: 1 << 32,
            stream_window: 1,
            connection_window: 1 << 31,
            frame: 1,
            send_buffer: 0,
            keepalive_every: none,
            keepalive_patience: none,
            stall: none,
            deadline_slack: none,
            farewell: none,
        };
        assert_eq!(wrong.flaws().len(), 12);
    }
}
