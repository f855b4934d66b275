//! Where the daemon listens: on what was handed down, on what the program before it has left, and on what it makes itself.

use crate::config::Listen;
use crate::handover::{Doors, Handover, TcpDoor, UnixDoor};
use crate::operate::Operator;
use crate::systemd::{Door, Handed, Herald};
use sidewinder_edge::listener::{Keepsake, LeftPlace, Listener, NotListening};
use sidewinder_edge::peer::Users;
use sidewinder_edge::tls::Tls;
use sidewinder_keeper_kernel::sys::peer_pidfd;
use std::io;
use std::net::SocketAddr;

/// Everything that listens.
#[derive(Debug)]
pub(super) struct Listening {
    /// For everything.
    pub(super) calls: Vec<Listener>,
    /// For health alone.
    pub(super) health: Vec<Listener>,
    /// Where they are, for people.
    pub(super) places: Vec<String>,
    /// What the next program of this process goes on with, if there is to be one.
    pub(super) keepsakes: Keepsakes,
}

/// The same sockets, held a second time.
#[derive(Debug, Default)]
pub(super) struct Keepsakes {
    calls: Vec<Keepsake>,
    health: Vec<Keepsake>,
    unix: Option<Keepsake>,
    tcp: Option<(SocketAddr, Keepsake)>,
}

impl Keepsakes {
    /// A socket that is held twice listens until both have let it go: so these are kept only if another program goes on.
    pub(super) async fn keep(self, operator: Operator) -> Self {
        if operator.passes().await { self } else { Self::default() }
    }

    /// From here on the file of our socket stays.
    pub(super) fn leave(self) -> io::Result<Doors> {
        let given = |kept: Vec<Keepsake>| kept.into_iter().map(|kept| kept.socket).collect();
        let unix = match self.unix {
            Some(Keepsake { socket, place: Some(place) }) => {
                let LeftPlace { path, identity, lock } = place.leave()?;
                Some(UnixDoor { socket, lock, path, identity })
            }
            Some(Keepsake { place: None, .. }) | None => None,
        };
        let tcp = self.tcp.map(|(asked, kept)| TcpDoor { socket: kept.socket, asked });
        Ok(Doors { calls: given(self.calls), health: given(self.health), unix, tcp })
    }
}

/// How sockets are served.
struct Rules<'a> {
    listen: &'a Listen,
    users: Users,
    tls: Option<Tls>,
}

impl Rules<'_> {
    fn adopt(&self, door: Door) -> Result<Listener, NotListening> {
        match door {
            Door::Unix(socket) => {
                Ok(Listener::unix_from(socket, self.users.clone())?.with_witness(peer_pidfd))
            }
            Door::Tcp(socket) => match self.tls.clone() {
                Some(tls) => Listener::tls_from(socket, tls),
                None => Listener::tcp_from(socket, self.listen.insecure),
            },
        }
    }

    fn unix(&self, left: Option<UnixDoor>) -> Result<Listener, NotListening> {
        let users = self.users.clone();
        let again = |door: UnixDoor| {
            let UnixDoor { socket, lock, path, identity } = door;
            let here = path == self.listen.socket;
            let again = Listener::unix_again(socket, LeftPlace { path, identity, lock }, users.clone());
            // One that is wished for elsewhere now ends here, with its file.
            again.map(|listener| here.then_some(listener))
        };
        let own = match left.map(again).transpose()?.flatten() {
            Some(own) => own,
            None => Listener::unix(&self.listen.socket, users)?,
        };
        Ok(own.with_witness(peer_pidfd))
    }

    fn tcp(&self, address: SocketAddr, left: Option<TcpDoor>) -> Result<Listener, NotListening> {
        let left = left.filter(|door| door.asked == address).map(|door| door.socket.into());
        match (left, self.tls.clone()) {
            (Some(socket), Some(tls)) => Listener::tls_from(socket, tls),
            (Some(socket), None) => Listener::tcp_from(socket, self.listen.insecure),
            (None, Some(tls)) => Listener::tls(address, tls),
            (None, None) => Listener::tcp(address, self.listen.insecure),
        }
    }
}

/// Begins to listen. What was handed down goes first: a unix socket of ours is made only if there is none.
pub(super) fn listen(
    listen: &Listen,
    tls: Option<Tls>,
    handed: Handed,
    left: Doors,
    herald: &Herald,
    handover: &Handover,
) -> io::Result<Listening> {
    let users = if listen.users.is_empty() {
        Users::private()
    } else {
        Users::only(listen.users.iter().copied().chain([0, rustix::process::geteuid().as_raw()]))
    };
    let rules = Rules { listen, users, tls };
    let passes = handover.may_pass().is_ok();
    let has_unix = handed.has_unix();
    let mut places: Vec<String> = handed.calls.iter().map(ToString::to_string).collect();
    places.extend(handed.health.iter().map(|door| format!("{door} (health)")));
    let adopt_all =
        |doors: Vec<Door>| doors.into_iter().map(|door| rules.adopt(door)).collect::<Result<Vec<_>, _>>();
    let mut calls = adopt_all(handed.calls).map_err(io::Error::other)?;
    let health = adopt_all(handed.health).map_err(io::Error::other)?;
    let keep = |listener: &Listener| passes.then(|| listener.keepsake()).transpose();
    let keep_all =
        |listeners: &[Listener]| listeners.iter().filter_map(|one| keep(one).transpose()).collect();
    let calls_kept: io::Result<Vec<Keepsake>> = keep_all(&calls);
    let mut keepsakes = Keepsakes { calls: calls_kept?, health: keep_all(&health)?, ..Keepsakes::default() };
    if !has_unix {
        let own = rules.unix(left.unix).map_err(io::Error::other)?;
        keepsakes.unix = keep(&own)?;
        calls.push(own);
        places.push(listen.socket.display().to_string());
    }
    let taken = |address| calls.iter().any(|listener| listener.tcp_address() == Some(address));
    if let Some(address) = listen.tcp.filter(|address| !taken(*address)) {
        let seal = if rules.tls.is_some() { " with TLS" } else { "" };
        let tcp = rules.tcp(address, left.tcp).map_err(io::Error::other)?;
        // The system has chosen a port, if it was asked to.
        places.push(format!("{}{seal}", tcp.tcp_address().unwrap_or(address)));
        keepsakes.tcp = keep(&tcp)?.map(|kept| (address, kept));
        calls.push(tcp);
    }
    for name in handed.unknown {
        herald.forget(&name);
        tracing::warn!(
            "the descriptor `{name}` that was handed down was closed: sockets are called `grpc` or `health`"
        );
    }
    Ok(Listening { calls, health, places, keepsakes })
}
