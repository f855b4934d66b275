//! Every bound of the edge: a name, a unit, a default.
//!
//! What one connection can make the daemon hold is bounded by its windows, not by what it sends: all its unread
//! requests together fit into [`Limits::connection_window`]. A message that is being put together is beyond the
//! windows, and bounded by [`Limits::message`]; it is held only while its sender keeps sending ([`Limits::stall`]).

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
    /// Bytes that a client may send on one stream before they are read.
    pub stream_window: u32,
    /// Bytes that a client may send on all its streams before they are read.
    pub connection_window: u32,
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

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            handshake: Duration::from_secs(10),
            streams: 1_000,
            header_list: 16 * 1024,
            message: 64 * 1024 * 1024,
            stream_window: 256 * 1024,
            connection_window: 4 * 1024 * 1024,
            send_buffer: 64 * 1024,
            keepalive_every: Duration::from_secs(30),
            keepalive_patience: Duration::from_secs(20),
            stall: Duration::from_secs(30),
            deadline_slack: Duration::from_secs(1),
            farewell: Duration::from_secs(1),
        }
    }
}
