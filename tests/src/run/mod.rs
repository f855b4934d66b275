//! One run of the binary, from its report to the proofs of its end, and `sidewinder reap` after it.

pub mod kept;
pub mod proofs;
pub mod reap;
pub mod report;
