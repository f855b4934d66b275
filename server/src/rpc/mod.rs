//! From questions of gRPC to the pools, and back: it translates, and decides nothing.
//!
//! What is wrong with a question ends in [`parse`]; how an ending is said is the business of [`outcome`] and of the edge
//! ([`sidewinder_edge`]), which also bounds whatever arrives.

mod admin;
mod calls;
mod clients;
mod health;
mod logs;
mod outcome;
mod parse;
mod pools;
mod values;
mod watch;

pub(crate) use admin::AdminDoor;
pub(crate) use calls::{CallsDoor, Outliving, Told};
pub(crate) use clients::{ClientsDoor, Standings};
pub(crate) use health::report as report_health;
pub(crate) use pools::{Daemon, PoolsDoor};

use crate::pool::{Handle, Pools};
use crate::presence::NotAdmitted;
use sidewinder_edge::outcome::{Invalid, Outcome, Refusal};
use sidewinder_edge::status;
use tonic::Status;

/// The pool of this name, or the names there are.
fn find(pools: &Pools, name: &str) -> Result<Handle, Outcome> {
    find_named(pools, name).map(|(_, pool)| pool)
}

/// The same, with the name that it has.
fn find_named(pools: &Pools, name: &str) -> Result<(String, Handle), Outcome> {
    pools.find(name).ok_or_else(|| {
        let names: Vec<String> = pools.all().into_keys().collect();
        let message = match (name, names.as_slice()) {
            ("", names) => format!("several pools are there ({}): name one of them", names.join(", ")),
            (name, [only]) => format!("no pool is called `{name}`; there is only {only}"),
            (name, names) => format!("no pool is called `{name}`; there are {}", names.join(", ")),
        };
        Outcome::Invalid(Invalid::UnknownPool { message })
    })
}

fn not_admitted(why: NotAdmitted) -> Status {
    status::of(&Outcome::Refused(match why {
        NotAdmitted::Expired => Refusal::LeaseExpired,
        NotAdmitted::Stale => Refusal::StaleEpoch,
        NotAdmitted::LeaseRequired => Refusal::LeaseRequired,
    }))
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn said(outcome: Outcome) -> Status {
    status::of(&outcome)
}
