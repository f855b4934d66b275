//! The one file where `unsafe` is allowed: the few calls of the system and its C library that rustix leaves out.
//!
//! Every function here is safe to call because of one of two rules, named beside it: *it takes no pointer of the
//! caller's* (the kernel gets only memory owned by the function), or *the process has one thread* (so a fork may
//! do anything that its parent could).
#![allow(
    unsafe_code,
    reason = "raw clone3, signal masks, wait4, close_range, SO_PEERPIDFD, environment, freed memory: audited here"
)]

use std::ffi::c_int;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// libc still declares it too narrow.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// The allocator maps what is larger by itself; it takes no larger bound.
#[cfg(target_env = "gnu")]
const MAPPED_MIN: c_int = 32 * 1024 * 1024;
#[cfg(target_env = "gnu")]
const FREED_MAX: c_int = 64 * 1024 * 1024;

/// Signals that ask a process to stop.
pub const STOPS: [c_int; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT];
/// Signals that mean a crash, also when somebody has sent them.
pub const CRASHES: [c_int; 6] =
    [libc::SIGSEGV, libc::SIGABRT, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGSYS];

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn check_long(result: libc::c_long) -> io::Result<RawFd> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    RawFd::try_from(result).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Which side of a fork this is.
#[derive(Debug)]
pub enum Forked {
    /// The new process.
    Child,
    /// The new process, which has to go into the cgroup itself: a filter of system calls forbids the newer fork here.
    ChildOutside,
    /// The old one, with the child's process id and pidfd.
    Parent(i32, OwnedFd),
}

/// Forks into new namespaces (`CLONE_NEW*`) and a cgroup. Fails in a process with more than one thread.
pub fn fork(namespaces: c_int, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Forked> {
    if has_threads() {
        return Err(io::Error::other("a process with threads must not fork"));
    }
    let mut pidfd: RawFd = -1;
    // SAFETY: a zeroed clone_args is a valid one.
    let mut args: libc::clone_args = unsafe { zeroed() };
    args.flags = (libc::CLONE_PIDFD as u64) | u64::from(namespaces.cast_unsigned());
    args.pidfd = std::ptr::from_mut(&mut pidfd) as u64;
    args.exit_signal = libc::SIGCHLD.cast_unsigned().into();
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::from(cgroup.as_raw_fd().cast_unsigned());
    }
    // SAFETY: one thread, no CLONE_VM: the child has its own copy of everything. The pointers live through the call.
    let made =
        check_long(unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) });
    let (pid, inside) = match made {
        Ok(pid) => (pid, true),
        // Its arguments are behind a pointer, so who filters by namespaces (containers, `RestrictNamespaces=`) refuses
        // it whole.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
            (clone(namespaces, &mut pidfd)?, cgroup.is_none())
        }
        Err(error) => return Err(error),
    };
    if pid == 0 {
        return Ok(if inside { Forked::Child } else { Forked::ChildOutside });
    }
    // SAFETY: the kernel has just given us this descriptor.
    Ok(Forked::Parent(pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

/// The older fork. The caller has one thread.
fn clone(namespaces: c_int, pidfd: &mut RawFd) -> io::Result<i32> {
    let flags = libc::c_long::from(libc::CLONE_PIDFD | namespaces | libc::SIGCHLD);
    let pidfd = std::ptr::from_mut(pidfd);
    // SAFETY: one thread, no CLONE_VM, no stack of its own: like fork. The pointer lives through the call.
    check_long(unsafe { libc::syscall(libc::SYS_clone, flags, 0_usize, pidfd, 0_usize, 0_usize) })
}

/// Leaves at once, without running any destructor.
pub fn leave(code: i32) -> ! {
    // SAFETY: takes no pointer and does not return.
    unsafe { libc::_exit(code) }
}

/// A child that was reaped.
#[derive(Clone, Copy, Debug)]
pub struct Reaped {
    /// Its process id.
    pub pid: i32,
    /// The raw wait status.
    pub status: i32,
    /// Processor time in user mode.
    pub user: Duration,
    /// Processor time in the kernel.
    pub system: Duration,
    /// Largest resident set, in bytes.
    pub peak_rss: u64,
}

/// Reaps one dead child, if there is one. `ECHILD` says that no child is left, dead or alive.
pub fn reap() -> io::Result<Option<Reaped>> {
    wait(0)
}

/// Whether that was the answer: no child is left, dead or alive.
pub fn is_childless(reaped: &io::Result<Option<Reaped>>) -> bool {
    reaped.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::ECHILD))
}

/// Reaps one dead child, or tells of one that was stopped (`WIFSTOPPED`).
pub fn reap_or_stopped() -> io::Result<Option<Reaped>> {
    wait(libc::WUNTRACED)
}

fn wait(options: c_int) -> io::Result<Option<Reaped>> {
    let options = options | libc::WNOHANG | libc::__WALL;
    let mut status = 0;
    // SAFETY: a zeroed rusage is a valid one.
    let mut usage: libc::rusage = unsafe { zeroed() };
    // SAFETY: both pointers live through the call.
    let pid = check(unsafe { libc::wait4(-1, &raw mut status, options, &raw mut usage) })?;
    if pid == 0 {
        return Ok(None);
    }
    let time = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec.cast_unsigned()) + Duration::from_micros(time.tv_usec.cast_unsigned())
    };
    let peak_rss = usage.ru_maxrss.cast_unsigned() * 1024;
    Ok(Some(Reaped { pid, status, user: time(usage.ru_utime), system: time(usage.ru_stime), peak_rss }))
}

/// Sends a signal to a process id.
///
/// Only for a child that was not reaped yet (its id cannot be reused), and for -1: everybody in this namespace.
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: takes no pointer.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// The signals of this process, as things to read.
#[derive(Debug)]
pub struct Signals {
    fd: OwnedFd,
}

impl Signals {
    /// Blocks every signal that can be blocked and opens them for reading.
    ///
    /// A blocked signal is never dropped, not even one sent to the init of a PID namespace, and a fault of our
    /// own still kills: the kernel does not queue it.
    pub fn take_all() -> io::Result<Self> {
        // SAFETY: the set is filled before it is used, and lives through the calls.
        let fd = unsafe {
            let mut all: libc::sigset_t = zeroed();
            libc::sigfillset(&raw mut all);
            check(libc::sigprocmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut()))?;
            check(libc::signalfd(-1, &raw const all, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK))?
        };
        // SAFETY: the kernel has just given us this descriptor.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// The descriptor to poll.
    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// The next signal that has arrived, if any.
    pub fn next(&self) -> Option<i32> {
        let mut info = [0u8; size_of::<libc::signalfd_siginfo>()];
        match rustix::io::read(&self.fd, &mut info) {
            Ok(length) if length == info.len() => {
                let number = u32::from_ne_bytes([info[0], info[1], info[2], info[3]]);
                i32::try_from(number).ok()
            }
            Ok(_) | Err(_) => None,
        }
    }
}

/// Whether this process was started with a signal ignored, as `nohup` does. Asked before the signals are taken.
pub fn is_ignored(signal: i32) -> bool {
    let mut action = [0_u64; 4];
    let none = std::ptr::null::<u64>();
    // SAFETY: the action has the size of the kernel's own, and lives through the call.
    let asked = unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, none, action.as_mut_ptr(), 8) };
    asked == 0 && action[0] == libc::SIG_IGN as u64
}

/// Lets a signal mean nothing, also to the program that is executed next, until somebody listens for it.
pub fn ignore(signal: i32) {
    // SAFETY: SIG_IGN is no function of ours.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Gives a signal its default meaning again.
pub fn restore(signal: i32) {
    // SAFETY: SIG_DFL is no function of ours.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// Hears of dead children, also when whoever executed us did not want to.
pub fn expect_children() {
    restore(libc::SIGCHLD);
}

/// Gives every signal its default meaning again and unblocks them all, as a program expects when it starts.
pub fn reset_signals() -> io::Result<()> {
    // All zero is SIG_DFL without flags, in the kernel's own layout: libc refuses the two signals it keeps for itself.
    let default = [0_u64; 4];
    // SAFETY: SIG_DFL is no function of ours; the set is filled before it is used.
    unsafe {
        for signal in 1..=libc::SIGRTMAX() {
            // KILL and STOP have no other meaning to take back.
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), std::ptr::null_mut::<u64>(), 8);
        }
        let mut none: libc::sigset_t = zeroed();
        libc::sigemptyset(&raw mut none);
        check(libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut())).map(drop)
    }
}

/// Closes every descriptor but these. Whatever owned the others must not be used or dropped any more.
pub fn close_all_but(kept: &[RawFd]) -> io::Result<()> {
    let mut kept: Vec<u32> = kept.iter().filter_map(|fd| u32::try_from(*fd).ok()).collect();
    kept.sort_unstable();
    let mut from = 0;
    for fd in kept {
        if fd > from {
            close_range(from, fd - 1, 0)?;
        }
        from = from.max(fd + 1);
    }
    close_range(from, u32::MAX, 0)
}

/// Has every descriptor closed when a program is executed.
pub fn close_all_on_execute() -> io::Result<()> {
    close_range(0, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
}

fn close_range(first: u32, last: u32, flags: u32) -> io::Result<()> {
    // SAFETY: takes no pointer; the callers promise that nobody uses what was closed.
    check_long(unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) }).map(drop)
}

/// Closes a descriptor that this process was started with and that nobody here has taken.
pub fn close_inherited(fd: RawFd) {
    // SAFETY: takes no pointer; the caller promises that nobody uses what was closed.
    unsafe { libc::close(fd) };
}

/// Owns a descriptor that was handed down.
pub fn take_inherited(fd: RawFd) -> OwnedFd {
    // SAFETY: the caller promises that it was handed down, and that nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// Bytes that the other end of a socket has not read yet.
pub fn unread(socket: BorrowedFd<'_>) -> io::Result<usize> {
    let mut bytes: c_int = 0;
    // SAFETY: one number is written to the place that is given.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) })?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// Takes a variable out of the environment. Fails in a process with more than one thread.
pub fn forget_variable(name: &str) -> io::Result<()> {
    if has_threads() {
        return Err(io::Error::other("a process with threads must not change its environment"));
    }
    // SAFETY: one thread, so nobody reads the environment meanwhile.
    unsafe { std::env::remove_var(name) };
    Ok(())
}

fn has_threads() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() > 1)
}

/// Puts a descriptor at this number, where it stays open when a program is executed.
pub fn place(fd: BorrowedFd<'_>, number: u32) -> io::Result<()> {
    let number = RawFd::try_from(number).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: takes no pointer; the child that calls this owns its whole table.
    check(unsafe { libc::dup2(fd.as_raw_fd(), number) }).map(drop)
}

/// Becomes a user, for good: supplementary groups, group, user.
pub fn become_user(uid: Option<u32>, gid: Option<u32>, groups: &[u32]) -> io::Result<()> {
    // SAFETY: the list lives through the call; one thread, so the whole process changes.
    unsafe {
        if uid.is_some() {
            check(libc::setgroups(groups.len(), groups.as_ptr()))?;
        }
        if let Some(gid) = gid {
            check(libc::setresgid(gid, gid, gid))?;
        }
        if let Some(uid) = uid {
            check(libc::setresuid(uid, uid, uid))?;
        }
    }
    Ok(())
}

/// Sets one resource limit by the kernel's number.
pub fn set_rlimit(resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the limit lives through the call.
    check(unsafe { libc::setrlimit(resource, &raw const limit) }).map(drop)
}

/// Sets one resource limit of a child that this process has not reaped.
pub fn set_rlimit_of(child: i32, resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the limit lives through the call, and nothing is asked for in return.
    check(unsafe { libc::prlimit(child, resource, &raw const limit, std::ptr::null_mut()) }).map(drop)
}

/// The process at the other end of a unix socket, as a pidfd (Linux 6.5 and later).
pub fn peer_pidfd(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut pidfd: RawFd = -1;
    let mut length = libc::socklen_t::try_from(size_of::<RawFd>()).unwrap_or(4);
    // SAFETY: both pointers live through the call and have the length that is named.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERPIDFD,
            (&raw mut pidfd).cast(),
            &raw mut length,
        )
    })?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(pidfd) })
}

/// From here on freed memory stays with this process, up to a bound, instead of going back to the kernel and coming again
/// page by page with the next large body. Whoever asks for that gives it back in time: [`give_back_freed`].
pub fn keep_freed() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer, and is asked for before there is a second thread.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_MIN);
        libc::mallopt(libc::M_TRIM_THRESHOLD, FREED_MAX);
        // What lies at the end of another arena is never given back on demand.
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Bytes that were freed and are still with this process.
pub fn freed() -> usize {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer; what is read is counted under locks of the allocator's own. The counter wraps.
    return unsafe { libc::mallinfo() }.fordblks.cast_unsigned() as usize;
    #[cfg(not(target_env = "gnu"))]
    0
}

/// Gives pages back to the kernel that nobody uses.
pub fn give_back_freed() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer, and the allocator takes its own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}
