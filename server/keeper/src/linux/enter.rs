//! How a process becomes a keeper: into its own PID namespace where that is allowed.
//!
//! The owner executes this binary with [`crate::KEEPER_ARGUMENT`], its lifeline as standard input and the lock of
//! its run record as standard output. What was executed only tries the namespaces, strongest first, and leaves;
//! the process that stays is the init of the namespace it got, or an ordinary process when it got none. Nothing
//! here allocates much, and no thread or runtime exists yet.

use super::keeper::{Keeper, Place};
use super::link::Link;
use super::sys::{self, Forked};
use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::process::{DumpableBehavior, Signal};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

const PRIVILEGED: i32 = libc::CLONE_NEWPID | libc::CLONE_NEWNS;
const UNPRIVILEGED: i32 = PRIVILEGED | libc::CLONE_NEWUSER;

/// What the owner wants of the keeper, from its arguments: `auto|off RECORD`.
#[derive(Debug)]
struct Wish {
    namespace: bool,
    record: Option<PathBuf>,
}

/// The keeper's `main`.
pub fn main(mut arguments: impl Iterator<Item = std::ffi::OsString>) -> ! {
    let namespace = arguments.next().is_none_or(|wish| wish != "off");
    let wish = Wish { namespace, record: arguments.next().map(PathBuf::from) };
    match take_descriptors() {
        Ok((lifeline, lock)) => enter(lifeline, lock, wish),
        Err(error) => {
            complain!("the keeper is started by `sidewinder keep` or `run`, never by hand ({error})");
            sys::leave(125)
        }
    }
}

/// Moves the lifeline and the lock away from the standard numbers, and closes whatever else was inherited.
fn take_descriptors() -> io::Result<(Link, OwnedFd)> {
    let lifeline = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let lock = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    rustix::net::sockopt::socket_type(&lifeline)?;
    let nothing = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(&nothing)?;
    drop(nothing);
    sys::close_all_but(&[0, 1, 2, lifeline.as_raw_fd(), lock.as_raw_fd()])?;
    Ok((Link::new(lifeline)?, lock))
}

fn enter(lifeline: Link, lock: OwnedFd, wish: Wish) -> ! {
    let mut why = String::from("switched off (--namespace off)");
    if wish.namespace {
        why.clear();
        for (name, flags) in [("privileged", PRIVILEGED), ("in a user namespace", UNPRIVILEGED)] {
            match try_namespace(flags) {
                Ok(Tried::Inside(fresh_proc)) => {
                    let why = if why.is_empty() { name.to_owned() } else { format!("{name} ({why})") };
                    stay(lifeline, lock, wish.record, Place { init: true, fresh_proc, why })
                }
                Ok(Tried::Outside) => sys::leave(0),
                Err(error) => {
                    let separator = if why.is_empty() { "" } else { "; " };
                    why = format!("{why}{separator}{name}: {error}");
                }
            }
        }
    }
    // The owner waits for what it executed; whoever stays is a fork of it, in a namespace or not.
    match sys::fork(0, None) {
        Ok(Forked::Child | Forked::ChildOutside) => {
            stay(lifeline, lock, wish.record, Place { init: false, fresh_proc: true, why })
        }
        Ok(Forked::Parent(..)) => sys::leave(0),
        Err(error) => give_up(&error),
    }
}

fn stay(lifeline: Link, lock: OwnedFd, record: Option<PathBuf>, place: Place) -> ! {
    match settle_in().and_then(|()| Keeper::new(lifeline, lock, record, place)) {
        Ok(keeper) => keeper.run(),
        Err(error) => give_up(&error),
    }
}

fn give_up(error: &io::Error) -> ! {
    complain!("the keeper cannot start: {error}");
    sys::leave(125)
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

enum Tried {
    /// Whether `/proc` shows the new namespace.
    Inside(bool),
    Outside,
}

/// Forks into the namespaces and makes them a home. An error leaves nothing behind.
fn try_namespace(flags: i32) -> io::Result<Tried> {
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    let (result, report) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    match sys::fork(flags, None)? {
        Forked::Child | Forked::ChildOutside => {
            drop(result);
            let made = if flags & libc::CLONE_NEWUSER == 0 { Ok(()) } else { map_user(user, group) };
            if let Err(error) = made {
                let _ = rustix::io::write(&report, &error.raw_os_error().unwrap_or(0).to_le_bytes());
                sys::leave(1);
            }
            Ok(Tried::Inside(mount_proc().is_ok()))
        }
        Forked::Parent(_, pidfd) => {
            drop(report);
            let mut errno = [0; 4];
            let length = rustix::io::retry_on_intr(|| rustix::io::read(&result, &mut errno))?;
            if length == 0 {
                return Ok(Tried::Outside);
            }
            let options = rustix::process::WaitIdOptions::EXITED;
            rustix::process::waitid(rustix::process::WaitId::PidFd(pidfd.as_fd()), options)?;
            Err(io::Error::from_raw_os_error(i32::from_le_bytes(errno)))
        }
    }
}

/// The workers keep their user and group; nobody else exists inside.
fn map_user(user: rustix::process::Uid, group: rustix::process::Gid) -> io::Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{0} {0} 1", user.as_raw()))?;
    fs::write("/proc/self/gid_map", format!("{0} {0} 1", group.as_raw()))
}

/// Shows the namespace in `/proc`, inside only. A container that hides parts of `/proc` forbids it.
fn mount_proc() -> io::Result<()> {
    rustix::mount::mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("proc", "/proc", "proc", flags, None)?;
    Ok(())
}
