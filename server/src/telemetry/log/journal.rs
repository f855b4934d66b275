//! The journal of systemd, when standard error leads there: each line as an entry whose fields can be searched.
//!
//! `JOURNAL_STREAM` names the device and inode of the journal's end of our standard error. It is believed only if that is
//! what standard error is: a shell that redirects our log must not find it in the journal.
//!
//! An entry that is too large for a datagram goes as a sealed memory file, as the protocol wants it.

use super::line::Line;
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::fs::File;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use tracing::Level;

const STREAM: &str = "JOURNAL_STREAM";
const SOCKET: &str = "/run/systemd/journal/socket";
/// The length before each entry in the queue.
const HEAD: usize = size_of::<u32>();

/// The way to the journal.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
}

impl Journal {
    /// The journal, if standard error leads there and it can be reached.
    pub(super) fn find() -> Option<Self> {
        let named = std::env::var(STREAM).ok()?;
        let stderr = rustix::fs::fstat(rustix::stdio::stderr()).ok()?;
        if !names(&named, stderr.st_dev, stderr.st_ino) {
            return None;
        }
        let socket = UnixDatagram::unbound().ok()?;
        socket.connect(SOCKET).ok()?;
        Some(Self { socket })
    }

    fn send(&self, entry: &[u8]) -> io::Result<()> {
        match self.socket.send(entry).map_err(|error| Errno::from_io_error(&error).ok_or(error)) {
            Ok(_) => Ok(()),
            Err(Ok(Errno::MSGSIZE | Errno::NOBUFS)) => self.send_as_file(entry),
            Err(Ok(error)) => Err(error.into()),
            Err(Err(error)) => Err(error),
        }
    }

    fn send_as_file(&self, entry: &[u8]) -> io::Result<()> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut file = File::from(rustix::fs::memfd_create("journal", flags)?);
        file.write_all(entry)?;
        let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
        rustix::fs::fcntl_add_seals(&file, seals)?;
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut beside = SendAncillaryBuffer::new(&mut room);
        let files = [file.as_fd()];
        beside.push(SendAncillaryMessage::ScmRights(&files));
        sendmsg(&self.socket, &[], &mut beside, SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

/// Takes whole batches of entries, as [`entry`] makes them.
impl Write for Journal {
    fn write(&mut self, batch: &[u8]) -> io::Result<usize> {
        let mut rest = batch;
        while let Some((head, after)) = rest.split_first_chunk::<HEAD>() {
            let length = usize::try_from(u32::from_ne_bytes(*head)).unwrap_or(after.len());
            let (entry, next) = after.split_at(length.min(after.len()));
            // Nobody is left who could be told that the journal does not take it.
            let _ = self.send(entry);
            rest = next;
        }
        Ok(batch.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether `JOURNAL_STREAM` names this device and inode.
fn names(stream: &str, device: u64, inode: u64) -> bool {
    stream == format!("{device}:{inode}")
}

/// One line as an entry, with its length before it.
pub(super) fn entry(line: &Line) -> Vec<u8> {
    let mut entry = vec![0; HEAD];
    let mut field = |name: &str, value: &str| {
        if !value.is_empty() {
            push(&mut entry, name, value);
        }
    };
    field("MESSAGE", &line.said());
    field("PRIORITY", priority(line.level));
    field("SYSLOG_IDENTIFIER", "sidewinder");
    field("SIDEWINDER_POOL", &line.pool);
    field("SIDEWINDER_WORKER", &line.worker);
    let (slot, number) = line.worker.split_once('.').unwrap_or_default();
    field("SIDEWINDER_SLOT", slot);
    field("SIDEWINDER_LIFE", number);
    if line.call != 0 {
        field("SIDEWINDER_CALL", &line.call.to_string());
    }
    field("SIDEWINDER_STREAM", &line.stream);
    field("SIDEWINDER_WHAT", &line.what);
    for (name, value) in &line.fields {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        field(&format!("SIDEWINDER_{}", name.chars().map(plain).collect::<String>()), value);
    }
    let length = u32::try_from(entry.len() - HEAD).unwrap_or(u32::MAX);
    entry[..HEAD].copy_from_slice(&length.to_ne_bytes());
    entry
}

/// A value of several lines has its length before it.
fn push(entry: &mut Vec<u8>, name: &str, value: &str) {
    entry.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

    #[test]
    fn an_entry_has_fields_and_long_values_their_length() {
        let mut line = Line::note(Level::WARN, "told".to_owned());
        (line.pool, line.worker, line.call) = ("image".to_owned(), "2.7".to_owned(), 9);
        line.fields.insert("why-so".to_owned(), "a\nb".to_owned());
        let entry = entry(&line);
        let (head, entry) = entry.split_first_chunk::<HEAD>().expect("a head");
        assert_eq!(u32::from_ne_bytes(*head) as usize, entry.len());
        let expected = [
            "MESSAGE=image/2.7 call 9: told why-so=a\u{fffd}b\nPRIORITY=4\nSYSLOG_IDENTIFIER=sidewinder\n",
            "SIDEWINDER_POOL=image\nSIDEWINDER_WORKER=2.7\nSIDEWINDER_SLOT=2\nSIDEWINDER_LIFE=7\n",
            "SIDEWINDER_CALL=9\nSIDEWINDER_WHY_SO\n\u{3}\0\0\0\0\0\0\0a\nb\n",
        ];
        assert_eq!(String::from_utf8_lossy(entry), expected.concat());
    }

    #[test]
    fn what_does_not_fit_goes_as_a_file() {
        let (ours, theirs) = UnixDatagram::pair().expect("a pair");
        let mut journal = Journal { socket: ours };
        let long = Line::note(Level::INFO, "x".repeat(1 << 20));
        let batch = [entry(&long), entry(&Line::note(Level::INFO, "short".to_owned()))].concat();
        journal.write_all(&batch).expect("sent");

        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut beside = RecvAncillaryBuffer::new(&mut room);
        recvmsg(&theirs, &mut [], &mut beside, RecvFlags::empty()).expect("a message");
        let files = beside.drain().find_map(|message| {
            if let RecvAncillaryMessage::ScmRights(mut files) = message { files.next() } else { None }
        });
        let mut file = File::from(files.expect("a file"));
        io::Seek::rewind(&mut file).expect("rewound");
        let mut text = String::new();
        io::Read::read_to_string(&mut file, &mut text).expect("text");
        assert!(text.starts_with("MESSAGE=xxx") && text.len() > 1 << 20, "{}", text.len());
        assert!(file.write_all(b"x").is_err(), "not sealed");

        let mut short = [0; 64];
        let length = theirs.recv(&mut short).expect("a message");
        assert!(short[..length].starts_with(b"MESSAGE=short\n"));
    }

    #[test]
    fn a_stream_is_the_journals_only_if_it_is_standard_error() {
        assert!(names("8:42", 8, 42));
        for other in ["8:43", "9:42", "", ":", "8:42:", "08:42"] {
            assert!(!names(other, 8, 42), "{other}");
        }
    }
}
