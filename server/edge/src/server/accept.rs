//! Letting connections in, one listener at a time, and turning the others away with a word.
//!
//! Whoever is turned away is told why in the only way HTTP/2 has before a request: a `GOAWAY` with a sentence. It says
//! as well that no stream was looked at, so a client may try again without a second thought. Behind TLS there is nobody
//! yet who could read it, and the connection is only closed.
//!
//! **When no descriptor is left**, a waiting connection stays in the line of the kernel, and accepting it fails at once,
//! for ever. So a spare descriptor is held: it is given up, the connection is accepted, told and closed, and the spare
//! is taken again. Beyond that the loop rests after each failure: a flood costs a bounded share of a core.

use super::crowd::Open;
use super::{Phase, Shared, connection};
use crate::listener::{Listener, Stream};
use crate::peer::{Origin, Peer};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

/// After a connection was turned away for want of a descriptor.
const REST: Duration = Duration::from_millis(5);
/// After an accept that failed and will fail again.
const LONG_REST: Duration = Duration::from_millis(100);
/// For an accept that should succeed at once.
const AT_ONCE: Duration = Duration::from_millis(10);

/// For somebody who was turned away to hear why and to close.
const LINGER: Duration = Duration::from_secs(1);
/// So many of them at a time. The others are closed at once.
const LINGERING_MAX: usize = 32;

const ENHANCE_YOUR_CALM: u32 = 0xb;
const INADEQUATE_SECURITY: u32 = 0xc;

/// Accepts until the server drains, whenever it is open.
pub(super) async fn accept(listener: Listener, shared: Shared) {
    let mut phase = shared.phase.clone();
    let mut spare = Spare::take();
    let door = Door { listener, shared, lingering: Arc::new(Semaphore::new(LINGERING_MAX)) };
    let mut open = Some(door.shared.crowd.open());
    loop {
        let accepted = tokio::select! {
            biased;
            () = closed(&mut phase) => {
                // Everybody who was let in has been counted by now.
                open = None;
                if !is_reopened(&mut phase).await {
                    return;
                }
                continue;
            }
            accepted = accepted(&door, &mut open) => accepted,
        };
        match accepted {
            Ok((stream, origin)) => door.admit(stream, origin),
            Err(error) if passing(&error) => {
                door.shared.tally.stumbled.one_more();
            }
            Err(error) if starved(&error) => {
                if door.shared.tally.starved.one_more() == 0 {
                    let listener = &door.listener;
                    tracing::warn!(%listener, %error, "turned away: raise the limit of open files");
                }
                let rest = if spare.turn_away(&door.listener).await { REST } else { LONG_REST };
                sleep(rest).await;
            }
            Err(error) => {
                if door.shared.tally.stumbled.one_more() == 0 {
                    tracing::warn!(listener = %door.listener, %error, "cannot accept");
                }
                sleep(LONG_REST).await;
            }
        }
    }
}

/// The next connection. It comes through a door that is open.
async fn accepted(door: &Door, open: &mut Option<Open>) -> io::Result<(Stream, Origin)> {
    open.get_or_insert_with(|| door.shared.crowd.open());
    door.listener.accept().await
}

/// Waits until nobody is to be let in.
async fn closed(phase: &mut watch::Receiver<Phase>) {
    // Without anybody who could say so it is over, too.
    let _ = phase.wait_for(|phase| *phase > Phase::Open).await;
}

/// Whether it opens again, and does not drain.
async fn is_reopened(phase: &mut watch::Receiver<Phase>) -> bool {
    phase.wait_for(|phase| *phase != Phase::Closing).await.is_ok_and(|phase| *phase == Phase::Open)
}

struct Door {
    listener: Listener,
    shared: Shared,
    lingering: Arc<Semaphore>,
}

impl Door {
    fn admit(&self, stream: Stream, origin: Origin) {
        let tally = &self.shared.tally;
        if !self.listener.users().allow(origin) {
            if tally.strangers.one_more() == 0 {
                tracing::warn!(listener = %self.listener, %origin, "turned away: not on the list of users");
            }
            return self.turn_away(stream, INADEQUATE_SECURITY, "your user may not connect here");
        }
        let Ok(room) = Arc::clone(&self.shared.room).try_acquire_owned() else {
            if tally.crowded.one_more() == 0 {
                tracing::warn!(listener = %self.listener, %origin, "turned away: too many connections");
            }
            return self.turn_away(stream, ENHANCE_YOUR_CALM, "too many connections");
        };
        let process = self.listener.process_behind(&stream);
        let connection = tally.accepted.one_more();
        let name = Arc::from(origin.to_string());
        let peer = Peer { connection, origin, name, subject: None, process, pulse: Arc::default() };
        let tls = self.listener.handshake().cloned();
        let here = self.shared.crowd.enter();
        tokio::spawn(connection::begin(stream, tls, peer, self.shared.clone(), (room, here)));
    }

    /// A client that writes into a closed socket hears of nothing but that. So for a moment, and for a few at a time,
    /// what it writes is taken.
    fn turn_away(&self, mut stream: Stream, code: u32, why: &str) {
        if self.listener.handshake().is_none() {
            goodbye(&stream, code, why);
        }
        let Ok(place) = Arc::clone(&self.lingering).try_acquire_owned() else { return };
        let mut phase = self.shared.phase.clone();
        tokio::spawn(async move {
            let _place = place;
            let lingering = async {
                stream.shutdown().await?;
                let mut sink = [0; 1024];
                while stream.read(&mut sink).await? > 0 {}
                Ok::<(), io::Error>(())
            };
            tokio::select! {
                _ = timeout(LINGER, lingering) => {}
                _ = phase.wait_for(|phase| *phase >= Phase::Draining) => {}
            }
        });
    }
}

/// The peer went away while it was being accepted. The next one is waiting behind it.
fn passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, NotConnected};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | NotConnected)
}

fn starved(error: &io::Error) -> bool {
    let known = Errno::from_io_error(error);
    known.is_some_and(|errno| [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].contains(&errno))
}

/// A descriptor that can be given up.
struct Spare(Option<OwnedFd>);

impl Spare {
    fn take() -> Self {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        Self(rustix::fs::openat(CWD, "/dev/null", flags, Mode::empty()).ok())
    }

    /// Turns one connection away. Says whether there was a spare descriptor to do it with.
    async fn turn_away(&mut self, listener: &Listener) -> bool {
        drop(self.0.take());
        if let Ok(Ok((stream, _))) = timeout(AT_ONCE, listener.accept()).await
            && listener.handshake().is_none()
        {
            goodbye(&stream, ENHANCE_YOUR_CALM, "no file descriptor left");
        }
        *self = Self::take();
        self.0.is_some()
    }
}

/// Tells why, if it fits at once.
fn goodbye(stream: &Stream, code: u32, why: &str) {
    let Ok(length) = u32::try_from(8 + why.len()) else { return };
    let [_, high, middle, low] = length.to_be_bytes();
    // An empty SETTINGS frame, which has to come first, and the head of a GOAWAY frame of this length.
    let mut bytes = vec![0, 0, 0, 4, 0, 0, 0, 0, 0, high, middle, low, 7, 0, 0, 0, 0, 0];
    bytes.extend(0_u32.to_be_bytes());
    bytes.extend(code.to_be_bytes());
    bytes.extend(why.as_bytes());
    if let Err(error) = stream.say(&bytes) {
        tracing::debug!(%error, "could not say why");
    }
}
