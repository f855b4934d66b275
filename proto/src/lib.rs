//! The public contract, `sidewinder.v1`, as Rust types and as a descriptor set. Nothing else lives here.
//!
//! The types are made from `proto/sidewinder/v1/*.proto` by `make proto`, and checked in. A build script would need
//! a compiler for proto files in every clean build of the daemon; this way the daemon's build knows only what it
//! ships, a reviewer sees what a change of the contract does, and a test (`proto/generator`) finds what is stale.
//!
//! [`DESCRIPTORS`] is what reflection serves and what other languages make their messages from. It holds the files
//! of the contract and what they import, without comments.

/// Version 1 of the contract.
#[allow(
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    missing_debug_implementations,
    unused_qualifications,
    reason = "made by a machine, which has other habits"
)]
pub mod v1 {
    include!("generated/sidewinder.v1.rs");
}

/// The encoded `google.protobuf.FileDescriptorSet` of the contract and its imports.
pub const DESCRIPTORS: &[u8] = include_bytes!("generated/sidewinder.v1.bin");
