//! The daemon and its successor: whether there is to be one, and how everything is left to it.

use crate::config::Settings;
use crate::handover::{Handover, Left};
use crate::lifecycle::Mode;
use crate::systemd::{Handed, Herald, Store};
use crate::telemetry::Log;
use crate::worker::memo::above_all_earlier;
use sidewinder_keeper::linux::sys;
use std::io;
use std::time::Duration;

/// What is handed over is with the service manager by then.
pub(super) const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// What is to outlive this daemon, and through whom; and what has outlived an earlier one.
pub(super) fn begin(settings: &Settings, mode: Mode, handed: &mut Handed) -> io::Result<(Handover, Left)> {
    let wrong = |why: &str| io::Error::other(format!("daemon.live {why}, or switch it off"));
    let left = Left::read(std::mem::take(&mut handed.parcels));
    if settings.live && mode == Mode::Coupled {
        return Err(wrong("and the mode `coupled` contradict each other: choose another mode"));
    }
    if !settings.live && left.is_empty() {
        return Ok((Handover::default(), left));
    }
    match Store::find()? {
        Some(store) => Ok((Handover::begin(store, settings.live)?, left)),
        None if settings.live => Err(wrong(
            "takes a service manager that keeps descriptors: start it by systemd, with deploy/systemd/live.conf",
        )),
        None => Ok((Handover::default(), left)),
    }
}

/// The number of the first call: above those of earlier daemons, where there can be any.
pub(super) fn first_call(handover: &Handover) -> u64 {
    if handover.is_on() { above_all_earlier() } else { 1 }
}

/// Leaves everything as it is, and at once: whatever is dropped in order is ended in order.
pub(super) fn leave(handover: &Handover, herald: &Herald, log: &Log) -> ! {
    handover.flush(FLUSH_WITHIN);
    herald.end();
    log.end();
    sys::leave(0)
}
