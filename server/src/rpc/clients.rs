//! The service for those who attach: beats in both directions, and what is told beside them.
//!
//! Two sides that do not wait for each other, in one task: a beat is answered where it was read. What the client says is
//! heard whether or not it reads. What is told to it is made when it asks for more: of the state it gets the newest, of
//! events those that are left. No lease has a timer; who is due a beat of ours is seen by whoever keeps the time.

mod hello;
mod standing;
mod stream;

pub(crate) use standing::Standings;

use super::said;
use crate::lifecycle::Decided;
use crate::presence::{Register, Seen};
use crate::telemetry::Events;
use sidewinder_core::presence::{Denied, Watch};
use sidewinder_edge::outcome::{Failure, Outcome, Refusal};
use sidewinder_edge::peer::Peer;
use sidewinder_edge::status;
use sidewinder_proto::v1;
use sidewinder_proto::v1::clients_server::Clients;
use std::time::Duration;
use stream::{Attaching, Line};
use tonic::{Request, Response, Status, Streaming};

/// Answers those who attach.
#[derive(Clone, Debug)]
pub(crate) struct ClientsDoor {
    register: Register,
    standings: Standings,
    events: Events,
    decided: Decided,
    run: String,
}

impl ClientsDoor {
    pub(crate) fn new(
        register: Register,
        standings: Standings,
        events: Events,
        decided: Decided,
        run: String,
    ) -> Self {
        Self { register, standings, events, decided, run }
    }
}

#[tonic::async_trait]
impl Clients for ClientsDoor {
    type AttachStream = Attaching;

    async fn attach(
        &self,
        request: Request<Streaming<v1::FromClient>>,
    ) -> Result<Response<Attaching>, Status> {
        let peer = request.extensions().get::<Peer>().cloned();
        let mut words = request.into_inner();
        let first = words.message().await?.and_then(|message| message.part);
        let Some(v1::from_client::Part::Hello(hello)) = first else {
            return Err(said(super::parse::bad("hello", "be the first message")));
        };
        if !hello.mode.is_empty() && hello.mode != self.decided.mode.name() {
            return Err(status::of(&Outcome::Refused(Refusal::OtherMode)));
        }
        let wants_events = hello.events;
        let client = hello::client(hello, peer.as_ref()).map_err(said)?;
        let attached =
            self.register.attach(client).map_err(|denied| status::of(&Outcome::Refused(refusal(denied))))?;
        let granted = attached.granted();
        let span = |span: Duration| span.try_into().ok();
        let grant = v1::Granted {
            lease: attached.name(),
            epoch: granted.epoch.0,
            interval: span(granted.interval),
            ttl: span(granted.ttl),
            mode: self.decided.mode.to_string(),
            run: self.run.clone(),
            resumed: granted.resumed,
        };
        let line = Line::open(attached, words, peer).map_err(|_| {
            let what = "there is no call to hear a client beside of".to_owned();
            status::of(&Outcome::Failed(Failure::Broken { what }))
        })?;
        let told = self.events.watch();
        Ok(Response::new(stream::of(grant, line, self.standings.clone(), told, wants_events)))
    }

    async fn list_clients(
        &self,
        _: Request<v1::ListClientsRequest>,
    ) -> Result<Response<v1::ListClientsResponse>, Status> {
        let (attendance, seen) = self.register.look();
        let presence = match attendance.watch {
            Watch::Starting => "starting",
            Watch::Present => "present",
            Watch::Counting => "counting",
            Watch::Released => "released",
        };
        Ok(Response::new(v1::ListClientsResponse {
            clients: seen.into_iter().map(show).collect(),
            passing: attendance.passing,
            presence: presence.to_owned(),
            leaves_in: attendance.leaves_in.and_then(|span| span.try_into().ok()),
        }))
    }
}

fn refusal(denied: Denied) -> Refusal {
    match denied {
        Denied::Full => Refusal::TooManyClients,
        Denied::Crowded => Refusal::TooManyLeases,
    }
}

fn show(seen: Seen) -> v1::Client {
    let span = |span: Duration| span.try_into().ok();
    let Seen { lease, client, view, attached, connected, trips: [p50, p99], load, calls } = seen;
    v1::Client {
        lease,
        epoch: view.epoch.0,
        name: client.name,
        node: client.node,
        run: client.run,
        pid: client.pid,
        origin: client.origin,
        labels: client.labels,
        attached: Some(attached.into()),
        heard_ago: span(view.heard_ago),
        connected,
        interval: span(view.interval),
        ttl: span(view.ttl),
        round_trip_p50: p50.and_then(span),
        round_trip_p99: p99.and_then(span),
        missed: view.missed,
        beats: view.beats,
        load,
        calls,
    }
}
