//! A worker spoken to over its own sockets, without a daemon: what the way through the daemon is compared with.
//!
//! It is the same runtime with the same tools, imported as an installed package is: its modules are compiled once.

use crate::served::tools;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};
use sidewinder_tests::arena::Arena;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The kinds and tags of `proto/WORKER.md` that are needed here.
const CALL: u8 = 1;
const WELCOME: u8 = 33;
const ANSWER: u8 = 65;
const READY: u8 = 98;
const TOOL: u16 = 1;
const CONTENT_TYPE: u16 = 2;
const HEARD: u16 = 8;
const NEWEST: u16 = 17;
const KIND_AT: usize = 1;
const FRAME_MAX: usize = 128 * 1024;

/// One life. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    calls: OwnedFd,
    control: OwnedFd,
    call: u64,
    buffer: Vec<u8>,
}

impl Worker {
    /// Starts a worker. It is not ready yet.
    pub(crate) fn start(arena: &Arena) -> io::Result<Self> {
        let ((calls, their_calls), (control, their_control)) = (pair()?, pair()?);
        let package = arena.file("python");
        if !package.exists() {
            let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../client-python/src/sidewinder");
            copy(&sources, &package.join("sidewinder"))?;
        }
        // In a session of its own, like the daemon's workers: the scheduler shares a processor among sessions.
        let mut command = Command::new("setsid");
        command
            .arg(arena.python())
            .args(["-m", "sidewinder.worker"])
            .current_dir(tools())
            .stdin(Stdio::null());
        command.env("PYTHONPATH", package).env_remove("PYTHONDONTWRITEBYTECODE");
        command.env("SIDEWINDER_CALLS_FD", their_calls.as_raw_fd().to_string());
        command.env("SIDEWINDER_CONTROL_FD", their_control.as_raw_fd().to_string());
        command.env("SIDEWINDER_TOOLS", "echoes").env("SIDEWINDER_SEATS", "1");
        let child = command.spawn()?;
        Ok(Self { child, calls, control, call: 0, buffer: vec![0; FRAME_MAX] })
    }

    /// Says welcome, and waits until it is ready for calls.
    pub(crate) fn ready(&mut self) -> io::Result<()> {
        self.hear(Which::Control)?;
        let newest = field(NEWEST, &1_u64.to_le_bytes());
        send(&self.control, &frame(WELCOME, 0, &newest, &[]), SendFlags::NOSIGNAL)?;
        while self.hear(Which::Control)? != READY {}
        Ok(())
    }

    /// One round trip.
    pub(crate) fn call(&mut self, tool: &str, content_type: &str, body: &[u8]) -> io::Result<()> {
        let heard = field(HEARD, &self.call.to_le_bytes());
        self.call += 1;
        let meta = [field(TOOL, tool.as_bytes()), field(CONTENT_TYPE, content_type.as_bytes()), heard];
        send(&self.calls, &frame(CALL, self.call, &meta.concat(), body), SendFlags::NOSIGNAL)?;
        match self.hear(Which::Calls)? {
            ANSWER => Ok(()),
            kind => Err(io::Error::other(format!("the worker said {kind} instead of an answer"))),
        }
    }

    /// The kind of the next frame.
    fn hear(&mut self, which: Which) -> io::Result<u8> {
        let socket = match which {
            Which::Calls => &self.calls,
            Which::Control => &self.control,
        };
        match recv(socket, &mut self.buffer[..], RecvFlags::empty())? {
            (0, _) => Err(io::Error::other("the worker has left: what it says above tells why")),
            _ => Ok(self.buffer[KIND_AT]),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Which {
    Calls,
    Control,
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Our end, and one that a child inherits. A child is started at once and the end closed, so no other has it.
fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::empty(), None)?;
    fcntl_setfd(&ours, FdFlags::CLOEXEC)?;
    Ok((ours, theirs))
}

/// A copy, so that the compiled modules lie beside it and not in the checkout.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &to)?;
        } else {
            fs::copy(&path, &to)?;
        }
    }
    Ok(())
}

fn field(tag: u16, value: &[u8]) -> Vec<u8> {
    [&tag.to_le_bytes()[..], &length(value), value].concat()
}

fn frame(kind: u8, call: u64, meta: &[u8], body: &[u8]) -> Vec<u8> {
    [&[1, kind, 0, 0], &length(meta)[..], &call.to_le_bytes(), &[0; 8], meta, body].concat()
}

fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes()
}
