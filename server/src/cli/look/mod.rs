//! The verbs that look once.

pub(super) mod clients;
pub(super) mod status;
