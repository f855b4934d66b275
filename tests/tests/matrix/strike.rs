//! Delivers the blow and finds out, from the kernel's masks, what it did.

use std::io;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use sidewinder_tests::handle::Handle;
use sidewinder_tests::procfs::{self, Disposition, Ticks};
use sidewinder_tests::run::kept::is_stopped;

use crate::law;
use crate::plan::{Blow, Case, Victim};

/// A fact that has not come true after this will not.
const FACT_LIMIT: Duration = Duration::from_secs(5);

/// The processes of one run that can be struck. `None`: it was gone before it could be held.
#[derive(Debug)]
pub(crate) struct Players {
    pub(crate) caller: Option<Handle>,
    pub(crate) owner: Option<Handle>,
    pub(crate) keeper: Option<Handle>,
    pub(crate) worker: Option<Handle>,
}

impl Players {
    pub(crate) fn handle(&self, victim: Victim) -> Option<&Handle> {
        match victim {
            Victim::Caller => self.caller.as_ref(),
            Victim::Owner => self.owner.as_ref(),
            Victim::Keeper => self.keeper.as_ref(),
            Victim::Worker => self.worker.as_ref(),
        }
    }
}

/// What was done, and when the last signal was sent.
#[derive(Debug)]
pub(crate) struct Struck {
    pub(crate) last: Instant,
    pub(crate) moment: Ticks,
    pub(crate) problems: Vec<String>,
}

enum Effect {
    Struck,
    GoneBefore,
    Deaf,
}

/// Strikes every victim of the case in its order.
pub(crate) fn strike(case: &Case, players: &Players) -> io::Result<Struck> {
    let mut problems = Vec::new();
    let mut deaf = Vec::new();
    for (place, victim) in case.victims.iter().enumerate() {
        let effect = match players.handle(*victim) {
            Some(handle) => first_signal(case.blow, *victim, handle)?,
            None => Effect::GoneBefore,
        };
        match effect {
            Effect::Struck => {}
            Effect::Deaf => deaf.push(*victim),
            Effect::GoneBefore if place > 0 || law::ends_itself(case) => {}
            Effect::GoneBefore => problems.push(format!("the {} was gone before the blow", victim.name())),
        }
    }
    let mut last = Instant::now();
    if case.blow == Blow::StopThenKill {
        last = kill_stopped(case, players)?;
    }
    for victim in deaf {
        problems.extend(complain_if_wrong(case, victim, players));
        if let Some(handle) = players.handle(victim) {
            handle.send(Signal::KILL)?;
            last = Instant::now();
        }
    }
    Ok(Struck { last, moment: procfs::now(), problems })
}

fn first_signal(blow: Blow, victim: Victim, handle: &Handle) -> io::Result<Effect> {
    let signal = match blow {
        Blow::Kill => Signal::KILL,
        Blow::StopThenKill => Signal::STOP,
        Blow::Segv => Signal::SEGV,
        Blow::Abort => Signal::ABORT,
        Blow::Term => Signal::TERM,
    };
    if matches!(blow, Blow::Kill | Blow::StopThenKill) {
        return Ok(if handle.send(signal)? { Effect::Struck } else { Effect::GoneBefore });
    }
    let before = procfs::disposition(handle.pid(), signal.as_raw());
    if !handle.send(signal)? {
        return Ok(Effect::GoneBefore);
    }
    match before {
        None => Ok(Effect::GoneBefore),
        Some(Disposition::Deaf) => Ok(Effect::Deaf),
        Some(Disposition::Handled) if blow == Blow::Segv && victim != Victim::Worker => second_segv(handle),
        Some(Disposition::Default | Disposition::Handled) => Ok(Effect::Struck),
    }
}

/// Rust's own handler takes the first SEGV that is no stack overflow, removes itself and returns:
/// a real fault would come again at once. So the test sends it again.
fn second_segv(handle: &Handle) -> io::Result<Effect> {
    let segv = Signal::SEGV.as_raw();
    let removed = |pid: i32| procfs::disposition(pid, segv).is_some_and(|now| now != Disposition::Handled);
    if !handle.reaches(removed, FACT_LIMIT) {
        return Ok(Effect::Struck);
    }
    let now = procfs::disposition(handle.pid(), segv);
    let sent = handle.send(Signal::SEGV)?;
    Ok(if sent && now == Some(Disposition::Deaf) { Effect::Deaf } else { Effect::Struck })
}

/// The second half of STOP+KILL: once every victim stands still.
fn kill_stopped(case: &Case, players: &Players) -> io::Result<Instant> {
    let handles: Vec<&Handle> = case.victims.iter().filter_map(|victim| players.handle(*victim)).collect();
    for handle in &handles {
        handle.reaches(is_stopped, FACT_LIMIT);
    }
    for handle in &handles {
        handle.send(Signal::KILL)?;
    }
    Ok(Instant::now())
}

/// A victim dropped the signal. Right only where the case table says so, and then nothing may have ended.
fn complain_if_wrong(case: &Case, victim: Victim, players: &Players) -> Option<String> {
    let Some(reason) = law::rightly_survives(case, victim) else {
        return Some(format!("the {} is deaf to {}", victim.name(), case.blow.name()));
    };
    let alone = case.victims.len() == 1 && !law::ends_itself(case);
    let worker_ended = players.worker.as_ref().is_none_or(Handle::ended);
    (alone && worker_ended).then(|| format!("the worker ended although {reason}"))
}
