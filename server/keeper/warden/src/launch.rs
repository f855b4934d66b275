//! What a worker does between its birth and its program: it becomes what the request says.
//!
//! Runs in a fork of the warden, in the order that the rights allow: what needs power first, then the user, then
//! the promise to die with the warden (a change of user takes it back), and the program last.

use rustix::fs::{Mode, OFlags};
use rustix::process::{DumpableBehavior, Signal};
use sidewinder_keeper_kernel::cgroup::Cgroup;
use sidewinder_keeper_kernel::sys;
use sidewinder_keeper_wire::{NUMBER_MAX, SpawnRequest, Stage};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Where a launch failed, and with which error.
type Failed = (Stage, io::Error);

/// Becomes the worker, or says through the pipe why not, and leaves. It goes into the cgroup if it is not there yet.
pub(super) fn launch(
    request: &SpawnRequest,
    fds: &[OwnedFd],
    warden: rustix::process::Pid,
    cgroup: Option<&Cgroup>,
    report: &OwnedFd,
) -> ! {
    // Out of the reach of every number that a worker may be given.
    if let Ok(report) = rustix::io::fcntl_dupfd_cloexec(report, NUMBER_MAX.cast_signed() + 1) {
        // Before the user changes, and before anything can be forked.
        let joined = cgroup.map_or(Ok(()), |cgroup| cgroup.write("cgroup.procs", "0"));
        let joined = joined.map_err(|error| (Stage::Cgroup, error));
        let failed = match joined.and_then(|()| prepare(request, fds, warden)) {
            Ok(()) => (Stage::Execute, execute(request)),
            Err(failed) => failed,
        };
        let _ = rustix::io::write(&report, &encode(&failed));
    }
    sys::leave(127)
}

fn prepare(request: &SpawnRequest, fds: &[OwnedFd], warden: rustix::process::Pid) -> Result<(), Failed> {
    let at = |stage: Stage| move |error: io::Error| (stage, error);
    place_descriptors(request, fds).map_err(at(Stage::Descriptors))?;
    rustix::process::setsid().map_err(|error| (Stage::Limits, error.into()))?;
    limit(request).map_err(at(Stage::Limits))?;
    let directory = request.directory.as_deref().unwrap_or(b"/");
    rustix::process::chdir(directory).map_err(|error| (Stage::Directory, error.into()))?;
    sys::become_user(request.uid, request.gid, &request.groups).map_err(at(Stage::User))?;
    if !request.new_privileges {
        rustix::thread::set_no_new_privs(true).map_err(|error| (Stage::User, error.into()))?;
    }
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| (Stage::User, error.into()))?;
    // The warden may have died before the promise was made.
    if rustix::process::getppid() != Some(warden) {
        sys::leave(127);
    }
    sys::reset_signals().map_err(at(Stage::Execute))
}

/// Puts every descriptor at its number, and has all others closed by the execution.
fn place_descriptors(request: &SpawnRequest, fds: &[OwnedFd]) -> io::Result<()> {
    sys::close_all_on_execute()?;
    // Out of the way first: a number may be taken by another descriptor that is still needed.
    let above = request.fds.iter().copied().max().unwrap_or(2).max(2) + 1;
    let above = i32::try_from(above).map_err(|_| io::ErrorKind::InvalidInput)?;
    let moved: Vec<OwnedFd> =
        fds.iter().map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, above)).collect::<Result<_, _>>()?;
    let nothing = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let nothing = rustix::io::fcntl_dupfd_cloexec(nothing, above)?;
    for standard in 0..3 {
        if !request.fds.contains(&standard) {
            sys::place(nothing.as_fd(), standard)?;
        }
    }
    for (fd, number) in moved.iter().zip(&request.fds) {
        sys::place(fd.as_fd(), *number)?;
    }
    Ok(())
}

fn limit(request: &SpawnRequest) -> io::Result<()> {
    for limit in &request.rlimits {
        sys::set_rlimit(limit.resource, limit.soft, limit.hard)?;
    }
    if let Some(nice) = request.nice {
        rustix::process::nice(nice)?;
    }
    if let Some(score) = request.oom_score_adj {
        // The file is the user's only while this process is not hidden, as its keeper is. The program will not be.
        rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable)?;
        std::fs::write("/proc/self/oom_score_adj", score.to_string())?;
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    if !request.cpus.is_empty() {
        let mut set = rustix::thread::CpuSet::new();
        for cpu in &request.cpus {
            let cpu = usize::try_from(*cpu).map_err(|_| io::ErrorKind::InvalidInput)?;
            if cpu >= rustix::thread::CpuSet::MAX_CPU {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            set.set(cpu);
        }
        rustix::thread::sched_setaffinity(None, &set)?;
    }
    Ok(())
}

fn execute(request: &SpawnRequest) -> io::Error {
    let mut arguments = request.arguments.iter().map(|argument| OsStr::from_bytes(argument));
    let Some(program) = arguments.next() else { return io::ErrorKind::InvalidInput.into() };
    let mut command = Command::new(program);
    command.args(arguments).env_clear();
    for variable in &request.environment {
        let mut parts = variable.splitn(2, |byte| *byte == b'=');
        if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            command.env(OsStr::from_bytes(name), OsStr::from_bytes(value));
        }
    }
    command.exec()
}

/// A launch that failed, as bytes for the pipe to the warden.
fn encode(failed: &Failed) -> [u8; 5] {
    let errno = failed.1.raw_os_error().unwrap_or(0).to_le_bytes();
    [failed.0 as u8, errno[0], errno[1], errno[2], errno[3]]
}

/// The bytes from the pipe, as what they mean.
pub(super) fn decode(bytes: &[u8]) -> Option<(Stage, i32)> {
    let [stage, errno @ ..] = *<&[u8; 5]>::try_from(bytes).ok()?;
    Some((Stage::from_number(stage)?, i32::from_le_bytes(errno)))
}
