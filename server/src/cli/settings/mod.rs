//! The verbs about configuration, one file each.

mod check;
mod flags;
mod print;

pub(super) use check::{Arguments as Check, run as check};
pub(super) use flags::Flags;
pub(super) use print::{Arguments as Print, run as print};
