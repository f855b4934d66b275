//! The edge from outside: real sockets, a client made of HTTP/2 frames, and a service that echoes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "what only tests call is a test")]

mod bounds;
mod calls;
mod client;
mod echo;
mod listening;
mod standard;
mod stop;
mod world;
