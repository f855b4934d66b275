//! The program of wardens, as something that a fork server can execute but not change.

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, memfd_create, open};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Stdio};

/// How it is called where the kernel shows what a process executes.
const NAME: &str = "sidewinder-warden";

/// The small one, out of this program's own bytes. Fails where no such memory is executed.
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
    let program = open(path(&file), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    drop(file);
    try_out(&program)?;
    Ok(program)
}

/// Executes it once, for no longer than it takes to end it: a policy against such memory speaks up only then.
fn try_out(program: &OwnedFd) -> io::Result<()> {
    let mut command = Command::new(path(program));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut tried = command.spawn()?;
    tried.kill()?;
    tried.wait().map(drop)
}

fn path(fd: &impl AsRawFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// The one that runs here: it can be a warden as well.
pub(crate) fn rich() -> io::Result<OwnedFd> {
    Ok(open("/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_executed_is_not_handed_out() {
        assert!(sealed(b"no program").is_err());
    }

    #[test]
    fn what_is_executed_cannot_be_changed() {
        let program = sealed(&std::fs::read("/proc/self/exe").expect("this program")).expect("a program");
        let again = std::fs::OpenOptions::new().write(true).open(path(&program));
        assert!(again.and_then(|mut file| file.write_all(b"other")).is_err());
    }
}
