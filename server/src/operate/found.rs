//! Founding a pool: a keeper, and what works with it.

use super::estate::Estate;
use super::rules;
use crate::config::{PoolSettings, Settings};
use crate::handover::Handover;
use crate::own::hold::{Ended, Hold, Parking, Wishes};
use crate::pool::{self, Handle};
use crate::telemetry::{Events, Metrics};
use crate::worker::life::Spec;
use crate::worker::placed::Placed;
use sidewinder_keeper_wire::{Graces, Welcome};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// What every pool of this daemon has in common.
#[derive(Clone, Debug)]
pub(crate) struct Founder {
    /// Where workers find their runtime.
    pub(crate) runtime: Placed,
    pub(crate) metrics: Metrics,
    /// Where a successor finds keepers and lives.
    pub(crate) handover: Handover,
    /// Above all calls of earlier daemons.
    pub(crate) first_call: u64,
}

/// One pool of the daemon.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) handle: Handle,
    pub(crate) hold: Hold,
    ended: Ended,
}

/// A pool on its way out.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) handle: Handle,
    ended: Ended,
}

impl Member {
    /// From here on only the pool itself holds its keeper.
    pub(super) fn leave(self) -> Leaving {
        Leaving { handle: self.handle, ended: self.ended }
    }
}

impl Leaving {
    /// Waits for the end of the pool, and of its keeper.
    pub(super) async fn end(self) {
        self.handle.ended().await;
        self.ended.wait().await;
    }
}

impl Founder {
    /// Starts a keeper and a pool.
    pub(crate) async fn found(
        &self,
        name: &str,
        pool: &PoolSettings,
        settings: &Settings,
        events: &Events,
        estate: &mut Estate,
    ) -> io::Result<(Member, Welcome)> {
        let instance = settings.listen.socket.to_string_lossy().into_owned();
        let reattach = if self.handover.is_live() { settings.reattach } else { Duration::ZERO };
        let parking = Parking {
            handover: self.handover.clone(),
            pool: name.to_owned(),
            rules: rules::of_keepers(settings),
        };
        let wishes = Wishes {
            namespace: settings.namespace,
            cgroup: settings.cgroup.clone(),
            limits: pool.limits.clone(),
            graces: Graces { stop: settings.drain, reattach, ..Graces::default() },
            instance,
            parking,
        };
        let (hold, welcome, inheritance) = estate.settle(name, wishes, events).await?;
        let ended = hold.ended();
        let spec = self.spec(name, pool, settings);
        let handle = pool::start(pool.policy.clone(), spec, hold.clone(), events.clone(), inheritance);
        Ok((Member { handle, hold, ended }, welcome))
    }

    /// How the workers of a pool are started and talked to.
    pub(crate) fn spec(&self, name: &str, pool: &PoolSettings, settings: &Settings) -> Spec {
        let mut command = pool.command.clone();
        command.runtime = Some(self.runtime.path.clone());
        let message_max = usize::try_from(settings.limits.message).unwrap_or(usize::MAX);
        let grace = pool.policy.grace.interrupt;
        let rules = rules::of_workers(&command, &pool.limits, grace, message_max);
        Spec {
            pool: name.to_owned(),
            meter: self.metrics.pool(name),
            command,
            message_max,
            interrupt_grace: grace,
            stop_grace: pool.policy.grace.stop,
            installed_said: Arc::default(),
            handover: self.handover.clone(),
            rules,
            first_call: self.first_call,
        }
    }
}
