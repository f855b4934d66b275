//! The words of the machine: what it is told, what it wants done, and what it refuses.

use super::{Epoch, LeaseId, Parting};
use std::time::Duration;

/// Facts about who is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The client of this lease was heard.
    Heard(LeaseId, Epoch),
    /// It has said goodbye.
    Left(LeaseId, Epoch),
    /// Its process is dead, or all that can be known of it says so.
    Died(LeaseId, Epoch),
    /// A call of somebody without a lease has come.
    Came,
    /// That call is over.
    Went,
    /// Every pool has been ready once.
    Ready,
    /// No worker is left.
    Emptied,
    /// The daemon is stopping: streams of clients are closed, so nobody can be heard, and nobody expires for that.
    Stopping,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// This lease has ended: abandon its calls, and tell its client if it can be told.
    End {
        /// Which.
        lease: LeaseId,
        /// Why.
        why: Parting,
    },
    /// Who holds this lease by an older epoch is told that it is overtaken.
    Overtake {
        /// Which.
        lease: LeaseId,
        /// The epoch that holds from now on.
        epoch: Epoch,
    },
    /// Let the workers leave. Calls that were told to finish have so long.
    Release {
        /// As long as they want, if it is nothing.
        within: Option<Duration>,
    },
    /// Somebody is there again: workers are wanted.
    Recall,
    /// Nobody is there and nothing is left: end the daemon.
    Exit,
    /// The last client has gone.
    TellNobody {
        /// So long until the workers leave.
        leaves_in: Option<Duration>,
    },
    /// A client has come.
    TellSomebody,
    /// We stood still for so long, and put everything off.
    TellStalled(Duration),
}

/// Why a client gets no lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// As many are attached as may be.
    Full,
    /// This peer holds as many leases as one may.
    Crowded,
}

/// Why a call may not use a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fenced {
    /// There is no such lease, or no longer.
    Expired,
    /// Its client has attached again since.
    Stale,
}
