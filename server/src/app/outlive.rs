//! The daemon and its successor: whether there is to be one, and how everything is left to it.
//!
//! ```text
//!   daemon.live     SIGTERM ─▶ leave everything in the manager's store ─▶ the next start: another process
//!   daemon.upgrade  SIGUSR2 ─▶ pass everything on ─▶ this very process, with another program in it
//! ```

use super::doors::Keepsakes;
use super::signals;
use crate::config::Settings;
use crate::handover::{Handover, Left, Passed, Successor};
use crate::lifecycle::Mode;
use crate::operate::{Handing, Operator};
use crate::systemd::{Handed, Herald, Store};
use crate::telemetry::Log;
use crate::worker::memo::above_all_earlier;
use sidewinder_keeper_kernel::sys;
use std::io;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What is handed over is with the service manager by then.
pub(super) const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// What this daemon has of an earlier one, and how it leaves what it has itself.
#[derive(Debug)]
pub(super) struct Bond {
    pub(super) handover: Handover,
    pub(super) left: Left,
    /// The number of the first call: above those of earlier daemons, where there can be any.
    pub(super) first_call: u64,
}

impl Bond {
    /// What is to outlive this daemon, and through whom; and what has outlived an earlier one.
    pub(super) fn tie(
        settings: &Settings,
        mode: Mode,
        handed: &mut Handed,
        passed: &mut Passed,
    ) -> io::Result<Self> {
        let wrong =
            |key: &str, why: &str| Err(io::Error::other(format!("daemon.{key} {why}, or switch it off")));
        let coupled = "and the mode `coupled` contradict each other: choose another mode";
        let stored = std::mem::take(&mut handed.parcels);
        let kept = std::mem::take(&mut passed.parcels);
        let handover = match (settings.live, settings.upgrade) {
            (true, _) if mode == Mode::Coupled => return wrong("live", coupled),
            (_, true) if mode == Mode::Coupled => return wrong("upgrade", coupled),
            (false, true) if stored.is_empty() => Handover::within(&kept)?,
            (false, false) if stored.is_empty() => Handover::default(),
            (live, _) => match Store::find()? {
                Some(store) => Handover::begin(store, live)?,
                None if live => {
                    return wrong(
                        "live",
                        "takes a service manager that keeps descriptors: start it by systemd, with \
                         deploy/systemd/live.conf",
                    );
                }
                None => Handover::default(),
            },
        };
        let left = Left::read(stored.into_iter().chain(kept).collect());
        let has_earlier = handover.is_live() || !left.is_empty();
        let first_call = if has_earlier { above_all_earlier() } else { 1 };
        Ok(Self { handover, left, first_call })
    }
}

/// Lets go on without this program what is to go on. Returns when nothing is, or when it cannot.
pub(super) async fn give_way(
    operator: &Operator,
    keeping: JoinHandle<Keepsakes>,
    settled: watch::Receiver<()>,
    (handover, herald, log): (&Handover, &Herald, &Log),
) -> io::Result<()> {
    match operator.handing() {
        Handing::Nothing => Ok(()),
        Handing::Leave => {
            handover.flush(FLUSH_WITHIN);
            herald.end();
            log.end();
            // At once: whatever is dropped in order is ended in order.
            sys::leave(0)
        }
        Handing::Pass(to) => {
            let keepsakes = keeping.await.unwrap_or_default();
            signals::settle(settled).await;
            // Somebody may have wished for an end at the last moment.
            if operator.handing() == Handing::Nothing {
                return Ok(());
            }
            let doors = keepsakes.leave()?;
            herald.end();
            log.end();
            let error = handover.pass(&to, &doors);
            tracing::error!(
                "{} could not be executed: {error}. This program begins anew",
                to.program.display()
            );
            log.end();
            Err(handover.pass(&Successor::same(), &doors))
        }
    }
}
