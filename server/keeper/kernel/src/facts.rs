//! What the kernel says about this boot, this namespace and this process.

use rustix::process::PidfdFlags;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

/// The identity of this boot. A record of another boot speaks of processes that are long gone.
pub fn boot_id() -> io::Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{path}: {error}: is /proc mounted?"));
    Ok(fs::read_to_string(path).map_err(named)?.trim().to_owned())
}

/// The inode of the first PID namespace of every Linux system (`PROC_PID_INIT_INO`).
pub const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// The inode of the PID namespace of this process.
pub fn pid_namespace() -> io::Result<u64> {
    Ok(fs::metadata("/proc/self/ns/pid")?.ino())
}

/// This process, as others may hold it.
pub fn own_pidfd() -> io::Result<OwnedFd> {
    Ok(rustix::process::pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?)
}
