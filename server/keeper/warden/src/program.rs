//! The program of wardens, as something that a fork server can execute but not change.

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, memfd_create, open};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};

/// How it is called where the kernel shows what a process executes.
const NAME: &str = "sidewinder-warden";

/// The small one, out of this program's own bytes. Fails where the kernel is told to execute no such memory.
pub(crate) fn sealed(program: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let made = match memfd_create(NAME, flags | MemfdFlags::EXEC) {
        // Before Linux 6.3 all of it could be executed, and nobody said so.
        Err(Errno::INVAL) => memfd_create(NAME, flags),
        made => made,
    };
    let mut file = File::from(made?);
    file.write_all(program)?;
    fcntl_add_seals(&file, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
    // Nothing is executed while somebody has it open for writing.
    Ok(open(format!("/proc/self/fd/{}", file.as_raw_fd()), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

/// The one that runs here: it can be a warden as well.
pub(crate) fn rich() -> io::Result<OwnedFd> {
    Ok(open("/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}
