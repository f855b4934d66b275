//! Somebody who calls, with a lease or without.

use super::held::{Held, Lease};
use super::register::Register;
use crate::pool::Lost;
use sidewinder_core::ClientId;
use sidewinder_core::presence::Fact;
use sidewinder_edge::peer::Pulse;
use std::future::Future;
use std::sync::Arc;
use tokio::sync::watch;

/// Tells clients with a lease from connections, which are clients too.
const LEASED: u64 = 1 << 63;

/// Somebody who calls.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(super) register: Register,
    pub(super) held: Option<(Arc<Held>, watch::Receiver<Lease>)>,
}

impl Caller {
    /// The name of the client. Those without a lease have none.
    pub(crate) fn name(&self) -> &str {
        self.held.as_ref().map_or("", |(held, _)| &held.client.name)
    }

    pub(crate) fn is_attached(&self) -> bool {
        self.held.is_some()
    }

    /// Whom its calls are fair to: those of a lease are of one client, whichever connection they come by.
    pub(crate) fn fairness(&self) -> Option<ClientId> {
        self.held.as_ref().map(|(held, _)| ClientId(held.id.0 | LEASED))
    }

    /// Whether it is gone, when it has let go of a call: its lease is over, or the connection of the call is.
    pub(crate) fn lost(&self, pulse: Arc<Pulse>) -> Lost {
        let lease = self.held.as_ref().map(|(held, _)| held.lease.subscribe());
        Lost::when(move || {
            let over = lease.as_ref().is_some_and(|lease| lease.borrow().ended.is_some());
            over || pulse.is_lost()
        })
    }

    /// The end of its lease, to be waited for elsewhere.
    pub(crate) fn end_of_lease(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let mut lease = self.held.as_ref().map(|(held, _)| held.lease.subscribe())?;
        Some(async move {
            let _ = lease.wait_for(|lease| lease.ended.is_some()).await;
        })
    }

    /// When its lease is over, however it ended. Never, without a lease.
    pub(crate) async fn ended(&mut self) {
        if let Some((_, lease)) = &mut self.held
            && lease.wait_for(|lease| lease.ended.is_some()).await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        match &self.held {
            Some((held, _)) => held.call_ends(),
            None => self.register.tell(Fact::Went),
        }
    }
}
