//! What somebody wished for, from wherever they wrote it, as settings that make sense.
//!
//! ```text
//!   file, environment, flags ──reading──▶ Draft ──check──▶ Settings, or every problem at once
//!                                ▲ keys                      │
//!   print-config, documentation ─┘          old Settings ──▶ Changes ──▶ what a reload does
//! ```
//!
//! There is one table of keys ([`keys`]), and everything that is read, refused, printed or documented comes from it.

mod change;
mod check;
mod keys;
mod print;
mod problem;
mod reading;
mod settings;
mod source;
pub(crate) mod time;

#[cfg(test)]
mod tests;

pub(crate) use change::{Change, Changes};
pub(crate) use check::default_socket;
#[cfg(test)]
pub(crate) use keys::FLAGS;
pub(crate) use print::{defaults, effective, page};
pub(crate) use problem::{Place, Problem, Problems};
pub(crate) use settings::{Listen, PoolSettings, Settings};
pub(crate) use source::Source;
