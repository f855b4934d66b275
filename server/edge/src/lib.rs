//! The gRPC edge of the daemon: it listens, bounds and translates, and never decides.
//!
//! ```text
//!   listener ─▶ server ─▶ call ─▶ routes ─▶ services (made elsewhere, from sidewinder-proto)
//!                                              │
//!                        status ◀── outcome ◀──┘
//! ```
//!
//! - [`listener`]: sockets that are safe to open. [`tls`]: what may be around them. [`peer`]: who is at the other end.
//! - [`server`]: accepts, drains, stops within a bound. [`limits`]: every bound by name. [`tally`]: what was seen.
//! - [`call`]: deadlines, message sizes and stalls, the same for every service.
//! - [`routes`]: which service answers, with health and reflection.
//! - [`outcome`], [`status`]: how a call can end without a value, and the only place that names a gRPC code.
//!
//! It is a crate of its own, for three reasons. The keeper's program starts before any runtime, and a wall of crates
//! shows at a glance that nothing of this can be in its way. What this needs (hyper, h2, tonic) is compiled beside the
//! rest of the daemon instead of before it, and not again when that changes. And it knows nothing of pools: a test
//! serves an echo, so a hole in the shell is found without a worker.
//!
//! Deliberately absent: compression; HTTP/1; retries; a bound on the messages of all clients together (each
//! connection is bounded, see [`limits`]).

pub mod call;
pub mod limits;
pub mod listener;
pub mod outcome;
pub mod peer;
pub mod routes;
pub mod server;
pub mod status;
pub mod tally;
pub mod tls;
