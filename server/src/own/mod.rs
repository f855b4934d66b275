//! Owning a process tree, from the owner's side.
//!
//! The keeper does the holding ([`sidewinder_keeper`]); this is what an owner needs around it: the ground
//! it stands on (a record on disk, a cgroup it may use, the limits), the lifeline, and the sweep that ends what an earlier run left.

pub(crate) mod ground;
pub(crate) mod hold;
pub(crate) mod identity;
pub(crate) mod lifeline;
pub(crate) mod limit;
pub(crate) mod probe;
pub(crate) mod record;
pub(crate) mod strain;
pub(crate) mod subtree;
pub(crate) mod sweep;
pub(crate) mod watched;
