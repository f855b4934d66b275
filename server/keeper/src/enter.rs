//! How a process becomes a keeper: into its own PID namespace where that is allowed.
//!
//! The owner executes this binary with [`KEEPER_ARGUMENT`](sidewinder_keeper_wire::KEEPER_ARGUMENT), its lifeline as standard input and the lock of
//! its run record as standard output. What was executed only tries the namespaces, strongest first, and leaves;
//! the process that stays is the init of the namespace it got, or an ordinary process when it got none. Nothing
//! here allocates much, and no thread or runtime exists yet.

use crate::keeper::Keeper;
use rustix::process::{DumpableBehavior, Signal};
use sidewinder_keeper_kernel::{Link, complain, namespaces, standard, sys};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

/// The keeper's `main`. The owner says in its arguments what it wants: `auto|off RECORD`.
pub fn main(mut arguments: impl Iterator<Item = OsString>) -> ! {
    let namespace = arguments.next().is_none_or(|wish| wish != "off");
    let record = arguments.next().map(PathBuf::from);
    let (lifeline, lock) = take_descriptors().unwrap_or_else(|error| {
        complain!("the keeper is started by `sidewinder keep` or `run`, never by hand ({error})");
        sys::leave(125)
    });
    let place =
        if namespace { namespaces::enter() } else { namespaces::stay("switched off (--namespace off)") };
    let begun = place.and_then(|place| {
        // The owner waits for what it executed; whoever stays is a fork of it, in a namespace or not.
        let place = place.unwrap_or_else(|| sys::leave(0));
        settle_in()?;
        Keeper::new(lifeline, lock, record, place)
    });
    match begun {
        Ok(keeper) => keeper.run(),
        Err(error) => {
            complain!("the keeper cannot start: {error}");
            sys::leave(125)
        }
    }
}

/// Moves the lifeline and the lock away from the standard numbers, and closes whatever else was inherited.
fn take_descriptors() -> io::Result<(Link, OwnedFd)> {
    let (lifeline, lock) = standard::take()?;
    rustix::net::sockopt::socket_type(&lifeline)?;
    sys::close_all_but(&[0, 1, 2, lifeline.as_raw_fd(), lock.as_raw_fd()])?;
    Ok((Link::new(lifeline)?, lock))
}

/// The life of a keeper: adopts every orphan below it, belongs to no terminal, pins no directory, shows its memory
/// to nobody.
fn settle_in() -> io::Result<()> {
    rustix::thread::set_name(c"sw-keeper")?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    // A keeper that somebody has stopped wakes when its owner dies.
    rustix::process::set_parent_process_death_signal(Some(Signal::CONT))?;
    rustix::process::setsid()?;
    rustix::process::chdir("/")?;
    Ok(())
}
