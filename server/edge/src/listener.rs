//! Where clients come in: a private unix socket, or TCP.
//!
//! A unix socket is the default. Its file is private (`listener/place.rs`), and beyond that the kernel tells who connects, and
//! only users on a list are served. TCP has no users: it is for the loopback, and a public address takes TLS or has to be
//! asked for by name, because whoever reaches it can run every tool.

mod keepsake;
mod place;
mod quiet;

use crate::peer::{Origin, Users, Witness};
use crate::tls::Tls;
pub use keepsake::{Keepsake, KeptPlace, LeftPlace};
use place::Place;
use quiet::Quiet;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio_rustls::server::TlsStream;

/// A socket that listens.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    users: Users,
    /// `None` for a socket whose file belongs to whoever handed it down.
    place: Option<Place>,
    witness: Option<Witness>,
    tls: Option<Tls>,
}

#[derive(Debug)]
enum Socket {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// Why there is no listener.
#[derive(Debug)]
pub enum NotListening {
    /// It would not be safe.
    Refused {
        /// The path or address.
        place: String,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// The system said no.
    System {
        /// What was tried.
        doing: &'static str,
        /// With which path or address.
        place: String,
        /// Its answer.
        error: io::Error,
    },
}

impl fmt::Display for NotListening {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { place, why } => write!(out, "{place} {why}"),
            Self::System { doing, place, error } => write!(out, "cannot {doing} {place}: {error}"),
        }
    }
}

impl std::error::Error for NotListening {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused { .. } => None,
            Self::System { error, .. } => Some(error),
        }
    }
}

impl Listener {
    /// A unix socket at `path` for `users`. Its file goes when this does. Called within a runtime.
    pub fn unix(path: &Path, users: Users) -> Result<Self, NotListening> {
        let (place, socket) = Place::take(path, users.shared())?;
        let failed = |error| NotListening::System { doing: "poll", place: path.display().to_string(), error };
        let socket = UnixListener::from_std(socket).map_err(failed)?;
        Ok(Self { socket: Socket::Unix(socket), users, place: Some(place), tls: None, witness: None })
    }

    /// TCP at `address`. One that other machines can reach takes `insecure`. Called within a runtime.
    pub fn tcp(address: SocketAddr, insecure: bool) -> Result<Self, NotListening> {
        refuse_public(address, insecure)?;
        let failed = |error| NotListening::System { doing: "bind", place: address.to_string(), error };
        let socket = std::net::TcpListener::bind(address).map_err(failed)?;
        Self::tcp_from(socket, insecure)
    }

    /// TCP at `address`, which other machines may reach, with TLS. Called within a runtime.
    pub fn tls(address: SocketAddr, tls: Tls) -> Result<Self, NotListening> {
        Ok(Self { tls: Some(tls), ..Self::tcp(address, true)? })
    }

    /// A unix socket that was handed down. Its file is not ours to remove. Called within a runtime.
    pub fn unix_from(socket: std::os::unix::net::UnixListener, users: Users) -> Result<Self, NotListening> {
        let failed =
            |error| NotListening::System { doing: "poll", place: "the given socket".to_owned(), error };
        socket.set_nonblocking(true).map_err(failed)?;
        let socket = UnixListener::from_std(socket).map_err(failed)?;
        Ok(Self { socket: Socket::Unix(socket), users, place: None, tls: None, witness: None })
    }

    /// A TCP socket that was handed down. Called within a runtime.
    pub fn tcp_from(socket: std::net::TcpListener, insecure: bool) -> Result<Self, NotListening> {
        let failed =
            |error| NotListening::System { doing: "poll", place: "the given socket".to_owned(), error };
        refuse_public(socket.local_addr().map_err(failed)?, insecure)?;
        socket.set_nonblocking(true).map_err(failed)?;
        let socket = TcpListener::from_std(socket).map_err(failed)?;
        Ok(Self {
            socket: Socket::Tcp(socket),
            users: Users::only([]),
            place: None,
            tls: None,
            witness: None,
        })
    }

    /// A TCP socket that was handed down, with TLS. Called within a runtime.
    pub fn tls_from(socket: std::net::TcpListener, tls: Tls) -> Result<Self, NotListening> {
        Ok(Self { tls: Some(tls), ..Self::tcp_from(socket, true)? })
    }

    /// A unix socket that another program of this process has made: its file is ours as it was that one's. Called within
    /// a runtime.
    pub fn unix_again(socket: OwnedFd, place: LeftPlace, users: Users) -> Result<Self, NotListening> {
        let listener = Self::unix_from(socket.into(), users)?;
        Ok(Self { place: Some(Place::again(place)), ..listener })
    }

    /// What another program of this process needs to go on listening. Taken before this listens.
    pub fn keepsake(&self) -> io::Result<Keepsake> {
        let socket = match &self.socket {
            Socket::Unix(socket) => socket.as_fd().try_clone_to_owned()?,
            Socket::Tcp(socket) => socket.as_fd().try_clone_to_owned()?,
        };
        Ok(Keepsake { socket, place: self.place.as_ref().map(Place::kept) })
    }

    /// Lets peers of a unix socket be known by their process.
    #[must_use]
    pub fn with_witness(self, witness: Witness) -> Self {
        Self { witness: Some(witness), ..self }
    }

    /// The process that connected, where the kernel tells it.
    pub(crate) fn process_behind(&self, stream: &Stream) -> Option<Arc<OwnedFd>> {
        match (self.witness, stream) {
            (Some(witness), Stream::Unix(stream)) => witness(stream.as_fd()).ok().map(Arc::new),
            (None, _) | (_, Stream::Tcp(_) | Stream::Tls(_)) => None,
        }
    }

    /// The address of a TCP listener: the port that the system chose, if it was asked to.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Unix(_) => None,
            Socket::Tcp(socket) => socket.local_addr().ok(),
        }
    }

    /// What has to happen before a word of HTTP/2.
    pub(crate) fn handshake(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    fn handed_path(&self) -> Option<PathBuf> {
        match &self.socket {
            Socket::Unix(socket) => socket.local_addr().ok()?.as_pathname().map(Path::to_owned),
            Socket::Tcp(_) => None,
        }
    }

    pub(crate) fn users(&self) -> &Users {
        &self.users
    }

    /// Waits for the next connection. Dropping the wait loses none.
    pub(crate) async fn accept(&self) -> io::Result<(Stream, Origin)> {
        match &self.socket {
            Socket::Unix(socket) => {
                let (stream, _) = socket.accept().await?;
                let who = stream.peer_cred()?;
                Ok((Stream::Unix(Quiet::over(stream)?), Origin::Unix { uid: who.uid(), pid: who.pid() }))
            }
            Socket::Tcp(socket) => {
                let (stream, address) = socket.accept().await?;
                // An answer is often smaller than a segment, and must not wait for an acknowledgement.
                stream.set_nodelay(true)?;
                Ok((Stream::Tcp(stream), Origin::Tcp(address)))
            }
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.place, self.tcp_address()) {
            (Some(place), _) => write!(out, "unix:{}", place.path().display()),
            (None, Some(address)) => write!(out, "{address}"),
            (None, None) => match self.handed_path() {
                Some(path) => write!(out, "unix:{}", path.display()),
                None => write!(out, "a unix socket that was handed down"),
            },
        }
    }
}

fn refuse_public(address: SocketAddr, insecure: bool) -> Result<(), NotListening> {
    if insecure || address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    let why = "can be reached by other machines, and whoever reaches it can run every tool: \
               take a loopback address, configure TLS, or say `insecure = true`";
    Err(NotListening::Refused { place: address.to_string(), why: why.to_owned() })
}

/// One connection, of any kind.
#[derive(Debug)]
pub(crate) enum Stream {
    Unix(Quiet),
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// The subject of the certificate that its client has shown, and that was found good.
    pub(crate) fn subject(&self) -> Option<Arc<[u8]>> {
        match self {
            Self::Unix(_) | Self::Tcp(_) => None,
            Self::Tls(stream) => crate::tls::subject_of(stream.get_ref().1),
        }
    }

    /// Writes what fits at once, and does not wait.
    pub(crate) fn say(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.say(bytes),
            Self::Tcp(stream) => stream.try_write(bytes),
            // What would not wait is not said: it would have to be sealed first.
            Self::Tls(_) => Ok(0),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(context, into),
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, into),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, into),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_stream_waits_for_acknowledgements() {
        let own = Listener::tcp(SocketAddr::from(([127, 0, 0, 1], 0)), false).unwrap();
        let given = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        for listener in [own, Listener::tcp_from(given, false).unwrap()] {
            let _client = TcpStream::connect(listener.tcp_address().unwrap()).await.unwrap();
            let (stream, origin) = listener.accept().await.unwrap();
            assert!(matches!(stream, Stream::Tcp(stream) if stream.nodelay().unwrap()), "{origin}");
        }
    }
}
