//! As much of HTTP/1.1 as a caller needs who knows what to expect: one POST after the other, answers of a known length or up
//! to the end of the connection. No library stands between the clock and the socket.

use super::Tally;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

/// An answer that takes this long does not come.
const PATIENCE: Duration = Duration::from_secs(20);
/// What is read at once.
const PIECE: usize = 256 * 1024;

/// What is sent, and how much has to come back at least.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) content_type: &'static str,
    pub(super) bytes: Vec<u8>,
    pub(super) answer_min: usize,
}

/// So many callers until then.
pub(super) fn callers(address: &str, body: &Body, callers: usize, end: Instant) -> io::Result<Vec<Tally>> {
    let (authority, path) = address.split_once('/').unwrap_or((address, ""));
    let head = format!(
        "POST /{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n",
        body.content_type,
        body.bytes.len()
    );
    let request = [head.as_bytes(), &body.bytes].concat();
    let (request, answer_min) = (request.as_slice(), body.answer_min);
    thread::scope(|scope| {
        let threads: Vec<_> =
            (0..callers).map(|_| scope.spawn(move || caller(authority, request, answer_min, end))).collect();
        let joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
        joined.map(|tally| tally.map_err(|_| io::Error::other("a caller panicked"))).collect()
    })
}

/// One call after the other; at least one.
fn caller(authority: &str, request: &[u8], answer_min: usize, end: Instant) -> Tally {
    let mut tally = Tally::default();
    let mut line = None;
    let mut piece = vec![0; PIECE];
    loop {
        let begun = Instant::now();
        let ending = post(&mut line, authority, request, answer_min, &mut piece);
        if ending.is_err() {
            line = None;
        }
        if !tally.note(begun, ending) || Instant::now() >= end {
            return tally;
        }
    }
}

fn post(
    line: &mut Option<TcpStream>,
    authority: &str,
    request: &[u8],
    answer_min: usize,
    piece: &mut [u8],
) -> io::Result<()> {
    let mut kept = match line.take() {
        Some(kept) => kept,
        None => connect(authority)?,
    };
    // A server that refuses a body may answer and close before it has read it: its answer says more than the broken pipe.
    let written = kept.write_all(request);
    match (read(&mut kept, piece), written) {
        (Ok(answer), _) if answer.status != "200" => {
            Err(io::Error::other(format!("status {}", answer.status)))
        }
        (_, Err(error)) | (Err(error), Ok(())) => Err(error),
        (Ok(answer), Ok(())) if answer.length < answer_min => Err(io::Error::other("another body came back")),
        (Ok(answer), Ok(())) => {
            *line = answer.keeps.then_some(kept);
            Ok(())
        }
    }
}

fn connect(authority: &str) -> io::Result<TcpStream> {
    let line = TcpStream::connect(authority)?;
    line.set_nodelay(true)?;
    line.set_read_timeout(Some(PATIENCE))?;
    line.set_write_timeout(Some(PATIENCE))?;
    Ok(line)
}

/// What came back.
struct Answer {
    status: String,
    length: usize,
    /// Whether the connection is good for another request.
    keeps: bool,
}

fn read(line: &mut TcpStream, piece: &mut [u8]) -> io::Result<Answer> {
    let mut filled = 0;
    let body_at = loop {
        let rest = piece.get_mut(filled..).unwrap_or_default();
        let more = line.read(rest)?;
        if more == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += more;
        let seen = piece.get(..filled).unwrap_or_default();
        if let Some(at) = seen.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let head = String::from_utf8_lossy(piece.get(..body_at).unwrap_or_default()).to_lowercase();
    let field = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(found, _)| *found == name).map(|(_, value)| value.trim().to_owned())
    };
    let status = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let wanted = field("content-length").and_then(|length| length.parse::<usize>().ok());
    let mut length = filled - body_at;
    while wanted.is_none_or(|wanted| length < wanted) {
        match line.read(piece)? {
            0 if wanted.is_none() => break,
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => length += more,
        }
    }
    let closes = head.starts_with("http/1.0") || field("connection").is_some_and(|said| said == "close");
    Ok(Answer { status, length, keeps: wanted.is_some() && !closes })
}
