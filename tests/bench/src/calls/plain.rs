//! The plain socket: the least that a large body costs on its way there and back.
//!
//! A process of its own takes in the whole body, into memory that it has kept from the one before, and writes it back. No
//! message is made of it, and nobody but the kernel copies anything.

use crate::served::LOOK_EVERY;
use sidewinder_tests::arena::Arena;
use sidewinder_tests::figures::Figures;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

/// Of a body, before it.
const LENGTH: usize = 8;

/// A copier that runs. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Plain {
    child: Child,
    line: UnixStream,
    kept: Vec<u8>,
}

impl Plain {
    pub(crate) fn start(arena: &Arena) -> io::Result<Self> {
        let socket = arena.file("plain");
        let mut child = Command::new(std::env::current_exe()?).arg("--plain").arg(&socket).spawn()?;
        let line = loop {
            match UnixStream::connect(&socket) {
                Ok(line) => break line,
                Err(error) if child.try_wait()?.is_some() => return Err(error),
                Err(_) => thread::sleep(LOOK_EVERY),
            }
        };
        fs::remove_file(&socket)?;
        Ok(Self { child, line, kept: Vec::new() })
    }

    /// One body after the other for this long.
    pub(crate) fn echoes(&mut self, body: &[u8], span: Duration) -> io::Result<Figures> {
        let length = u64::try_from(body.len()).map_err(io::Error::other)?;
        self.kept.resize(body.len(), 0);
        let mut figures = Figures::default();
        let end = Instant::now() + span;
        while figures.count() == 0 || Instant::now() < end {
            let begun = Instant::now();
            self.line.write_all(&length.to_le_bytes())?;
            self.line.write_all(body)?;
            self.line.read_exact(&mut self.kept)?;
            figures.add(begun.elapsed());
        }
        Ok(figures)
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves whoever comes first on this socket, until it leaves.
pub(crate) fn serve(socket: &Path) -> io::Result<()> {
    let (mut line, _) = UnixListener::bind(socket)?.accept()?;
    let mut kept = Vec::new();
    loop {
        let mut length = [0; LENGTH];
        match line.read_exact(&mut length) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        }
        kept.resize(usize::try_from(u64::from_le_bytes(length)).map_err(io::Error::other)?, 0);
        line.read_exact(&mut kept)?;
        line.write_all(&kept)?;
    }
}
