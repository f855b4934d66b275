//! From questions of gRPC to the pools, and back: it translates, and decides nothing.
//!
//! What is wrong with a question ends in [`parse`]; how an ending is said is the business of [`outcome`] and of the edge
//! ([`sidewinder_edge`]), which also bounds whatever arrives.

mod calls;
mod outcome;
mod parse;
mod pools;
mod values;

pub(crate) use calls::CallsDoor;
pub(crate) use pools::{Daemon, PoolsDoor};

use crate::pool::Handle;
use sidewinder_edge::outcome::{Invalid, Outcome};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The pools by name.
#[derive(Clone, Debug)]
pub(crate) struct Pools {
    by_name: Arc<BTreeMap<String, Handle>>,
}

impl Pools {
    pub(crate) fn new(by_name: BTreeMap<String, Handle>) -> Self {
        Self { by_name: Arc::new(by_name) }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Handle)> {
        self.by_name.iter()
    }

    /// The pool of this name; the only one, or the one called `default`, when there is no name.
    fn find(&self, name: &str) -> Result<&Handle, Outcome> {
        let found = match (name, self.by_name.len()) {
            ("", 1) => self.by_name.values().next(),
            ("", _) => self.by_name.get("default"),
            (name, _) => self.by_name.get(name),
        };
        found.ok_or_else(|| {
            let names: Vec<&str> = self.by_name.keys().map(String::as_str).collect();
            let message = format!("no pool is called `{name}`; there are {}", names.join(", "));
            Outcome::Invalid(Invalid::UnknownPool { message })
        })
    }
}
