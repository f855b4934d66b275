//! A PID namespace of one's own: when its init dies, the kernel kills everybody in it.

use crate::sys::{self, Forked};
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::process::{Gid, Uid, WaitId, WaitIdOptions};
use std::fs;
use std::io;
use std::os::fd::AsFd;

const PRIVILEGED: i32 = libc::CLONE_NEWPID | libc::CLONE_NEWNS;
/// The ways in, strongest first.
const WAYS: [(&str, i32); 2] =
    [("privileged", PRIVILEGED), ("in a user namespace", PRIVILEGED | libc::CLONE_NEWUSER)];

/// Where a process finds itself.
#[derive(Debug)]
pub struct Place {
    /// It is the init of a PID namespace of its own.
    pub init: bool,
    /// `/proc` shows the namespace it is in.
    pub fresh_proc: bool,
    /// How it came to be init, or why it is not.
    pub why: String,
}

/// Forks, into a namespace by the strongest way that is allowed. The process that was there before gets no place, and
/// has nothing to do any more. Fails in a process with threads.
pub fn enter() -> io::Result<Option<Place>> {
    let mut why = String::new();
    for (name, flags) in WAYS {
        match go(flags) {
            Ok(None) => return Ok(None),
            Ok(Some(fresh_proc)) => {
                let why = if why.is_empty() { name.to_owned() } else { format!("{name} ({why})") };
                return Ok(Some(Place { init: true, fresh_proc, why }));
            }
            Err(error) => {
                let separator = if why.is_empty() { "" } else { "; " };
                why = format!("{why}{separator}{name}: {error}");
            }
        }
    }
    stay(&why)
}

/// Forks into no namespace, for this reason.
pub fn stay(why: &str) -> io::Result<Option<Place>> {
    Ok(match sys::fork(0, None)? {
        Forked::Child | Forked::ChildOutside => {
            Some(Place { init: false, fresh_proc: true, why: why.to_owned() })
        }
        Forked::Parent(..) => None,
    })
}

/// Forks into the namespaces and makes them a home. Inside it says whether `/proc` shows the new one, outside nothing.
/// An error leaves nothing behind.
fn go(flags: i32) -> io::Result<Option<bool>> {
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
            Ok(Some(mount_proc().is_ok()))
        }
        Forked::Parent(_, pidfd) => {
            drop(report);
            let mut errno = [0; 4];
            let length = rustix::io::retry_on_intr(|| rustix::io::read(&result, &mut errno))?;
            if length == 0 {
                return Ok(None);
            }
            rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED)?;
            Err(io::Error::from_raw_os_error(i32::from_le_bytes(errno)))
        }
    }
}

/// Who is inside keeps user and group; nobody else exists there.
fn map_user(user: Uid, group: Gid) -> io::Result<()> {
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
