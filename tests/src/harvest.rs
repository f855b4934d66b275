//! Gathers in every child until the kernel says that there are none.

use std::io;
use std::time::Instant;

use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, set_child_subreaper, waitid};

/// What came home, and when the last one did.
#[derive(Debug)]
pub struct Harvest {
    /// One moment for each child that ended.
    pub ends: Vec<Instant>,
    /// The moment of `ECHILD`.
    pub done: Instant,
}

/// Makes this process the one to whom every orphan below it is handed.
pub fn adopt_orphans() -> io::Result<()> {
    set_child_subreaper(Some(rustix::process::getpid()))?;
    Ok(())
}

/// Blocks until no child is left, neither living nor zombie.
pub fn harvest() -> io::Result<Harvest> {
    let mut ends = Vec::new();
    loop {
        match waitid(WaitId::All, WaitIdOptions::EXITED) {
            Ok(_) => ends.push(Instant::now()),
            Err(Errno::CHILD) => return Ok(Harvest { ends, done: Instant::now() }),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
