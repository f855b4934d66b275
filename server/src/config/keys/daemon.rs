//! The keys of the daemon itself.

use super::{Key, form, key};
use crate::endings::Rules;
use crate::lifecycle::Wishes;
use crate::own::subtree::Wish;
use crate::systemd::Rule;
use crate::telemetry::Telemetry;
use sidewinder_edge::limits::Limits;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// What is written, before it is known whether it makes sense.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DaemonDraft {
    pub(crate) drain: Duration,
    pub(crate) namespace: bool,
    pub(crate) cgroup: Wish,
    pub(crate) ready: Rule,
    pub(crate) socket: Option<PathBuf>,
    pub(crate) users: Vec<u32>,
    pub(crate) tcp: Option<SocketAddr>,
    pub(crate) insecure: bool,
    pub(crate) tls_certificate: Option<PathBuf>,
    pub(crate) tls_key: Option<PathBuf>,
    pub(crate) tls_client_ca: Option<PathBuf>,
    pub(crate) limits: Limits,
    pub(crate) telemetry: Telemetry,
    pub(crate) lifecycle: Wishes,
    pub(crate) endings: Rules,
}

impl Default for DaemonDraft {
    fn default() -> Self {
        Self {
            drain: Duration::from_secs(30),
            namespace: true,
            cgroup: Wish::Auto,
            ready: Rule::default(),
            socket: None,
            users: Vec::new(),
            tcp: None,
            insecure: false,
            tls_certificate: None,
            tls_key: None,
            tls_client_ca: None,
            limits: Limits::default(),
            telemetry: Telemetry::default(),
            lifecycle: Wishes::default(),
            endings: Rules { keep: Duration::from_mins(10), bytes: 64 << 20 },
        }
    }
}

/// Everything that can be said of the daemon.
pub(crate) const DAEMON: &[Key<DaemonDraft>] = &[
    key!(Span "daemon.drain_timeout" drain, "\"10s\"", "How long a stop lets calls go on."),
    key!(Switch "daemon.namespace" namespace, "\"off\"",
        "Whether to hold workers in a PID namespace where the machine allows one."),
    key!(Group "daemon.cgroup" cgroup, "\"off\"",
        "Where to build cgroups: where one is delegated (`auto`), nowhere, or below this one."),
    key!(Tightness "lifecycle.mode" lifecycle.mode, "\"supervised\"",
        "How tightly workers are bound to clients; `auto` looks at who started the daemon."),
    key!(Wait "lifecycle.no_client_timeout" lifecycle.no_client, "\"5m\"",
        "Workers leave when nobody was there for so long.", absent "1m, and `never` in mode `coupled`"),
    key!(Wait "lifecycle.startup_client_timeout" lifecycle.startup, "\"10m\"",
        "The same before the first client, from readiness on.", absent "as `no_client_timeout`"),
    key!(Wait "lifecycle.finish_grace" lifecycle.finish_grace, "\"1h\"",
        "What calls have that go on without their client, once workers leave."),
    key!(Truth "lifecycle.exit_when_idle" lifecycle.exit_when_idle, "true",
        "Whether the daemon ends once its workers have left. Takes sockets of a service manager, which starts it again."),
    key!(Truth "clients.require_lease" lifecycle.lease_required, "true",
        "Whether only calls of attached clients are taken."),
    key!(Count "clients.max" lifecycle.clients_max, "100", "Clients attached at a time."),
    key!(Count "clients.per_peer" lifecycle.per_peer, "50",
        "Those of one user of the socket, of one certificate, or of one address of the network."),
    key!(Span "clients.interval" lifecycle.interval, "\"1s\"",
        "How often each side sends a beat.", absent "2s"),
    key!(Span "clients.interval_min" lifecycle.interval_min, "\"500ms\"", "A client may wish for no less."),
    key!(Span "clients.interval_max" lifecycle.interval_max, "\"1m\"", "A client may wish for no more."),
    key!(Span "clients.ttl" lifecycle.ttl, "\"20s\"", "How long a lease holds after its client was heard.",
        absent "10s, 15s by TCP, and 30s in mode `distributed`"),
    key!(Span "clients.ttl_min" lifecycle.ttl_min, "\"1s\"", "A client may wish for no less."),
    key!(Span "clients.ttl_max" lifecycle.ttl_max, "\"1h\"", "A client may wish for no more."),
    key!(Span "endings.keep" endings.keep, "\"1h\"", "How long the ending of a call with an idempotency key is kept."),
    key!(Bytes "endings.bytes" endings.bytes, "\"16MiB\"", "What all of them may take in memory; the oldest go first."),
    key!(Readiness "daemon.ready_when" ready.when, "\"listening\"",
        "When a service manager is told that the daemon is ready: once enough workers are `healthy`, or once it listens."),
    key!(Count "daemon.min_ready" ready.min_ready, "2",
        "Healthy workers of each pool for that. A pool that keeps fewer is ready with those that it keeps."),
    key!(File "listen.socket" socket, "\"/run/sidewinder/sidewinder.sock\"",
        "The unix socket.", absent "a private one of this user"),
    key!(Users "listen.users" users, "[0, 1000]",
        "Users who may connect to the socket, beside the daemon's own and root.", absent "nobody else"),
    key!(Address "listen.tcp" tcp, "\"127.0.0.1:50051\"", "A TCP address to listen on as well.", absent "none"),
    key!(Truth "listen.insecure" insecure, "true", "Whether public addresses may go without TLS, that of metrics too."),
    key!(File "listen.tls_certificate" tls_certificate, "\"/etc/sidewinder/tls.crt\"",
        "The certificate of `listen.tcp` and those between it and its authority, as PEM. A reload reads it again.",
        absent "no TLS"),
    key!(File "listen.tls_key" tls_key, "\"/etc/sidewinder/tls.key\"",
        "Its private key, as PEM, closed to other users (mode 0600).", absent "no TLS"),
    key!(File "listen.tls_client_ca" tls_client_ca, "\"/etc/sidewinder/clients.crt\"",
        "Authorities of clients, as PEM: who has no certificate of one of them is turned away.",
        absent "any client may connect"),
    key!(Count "limits.connections" limits.connections, "64",
        "Connections at a time. Whoever comes after them is told so and closed."),
    key!(Span "limits.handshake" limits.handshake, "\"5s\"", "From accept to the first HTTP/2 frame."),
    key!(Count "limits.streams" limits.streams, "100", "Calls at a time on one connection."),
    key!(Bytes "limits.header_list" limits.header_list, "\"32KiB\"", "The headers of one request."),
    key!(Bytes "limits.message" limits.message, "\"16MiB\"", "One message, in either direction."),
    key!(Bytes "limits.stream_window" limits.stream_window, "\"128KiB\"",
        "What a client may send on one stream before it is read."),
    key!(Bytes "limits.connection_window" limits.connection_window, "\"2MiB\"",
        "What a client may send on all its streams before it is read."),
    key!(Bytes "limits.send_buffer" limits.send_buffer, "\"128KiB\"",
        "What of one response waits for a slow reader, beside the message that is being written."),
    key!(Span "limits.keepalive_every" limits.keepalive_every, "\"10s\"",
        "After so long without a word from a client it is asked whether it is there."),
    key!(Span "limits.keepalive_patience" limits.keepalive_patience, "\"5s\"",
        "And closed if it has not answered after this long."),
    key!(Span "limits.stall" limits.stall, "\"5s\"",
        "How long a request may pause before its first message and in the middle of a message."),
    key!(Span "limits.deadline_slack" limits.deadline_slack, "\"2s\"",
        "So long after its deadline a call is ended by the daemon, if its worker has not ended it by then."),
    key!(Span "limits.farewell" limits.farewell, "\"2s\"",
        "From the ending of a call by the daemon to the reset of a stream whose reader does not take it."),
    key!(Filter "telemetry.log" telemetry.log, "\"debug\"", "What is logged. A level holds for Sidewinder, and libraries are heard when they warn."),
    key!(Look "telemetry.log_format" telemetry.log_format, "\"json\"",
        "How a line of the log looks: for people, as JSON, or whichever suits where it goes."),
    key!(Address "telemetry.prometheus" telemetry.prometheus, "\"127.0.0.1:9464\"",
        "Where Prometheus can fetch metrics.", absent "nowhere"),
    key!(Url "telemetry.otlp" telemetry.otlp, "\"http://127.0.0.1:4317\"",
        "Where to send metrics and spans by OTLP over gRPC.", absent "nowhere"),
    key!(Span "telemetry.otlp_interval" telemetry.otlp_interval, "\"10s\"", "How often to send metrics."),
    key!(Count "telemetry.trace_percent" telemetry.trace_percent, "5",
        "Of a hundred calls without a `traceparent` so many begin a trace. With 0 no spans are sent at all."),
];
