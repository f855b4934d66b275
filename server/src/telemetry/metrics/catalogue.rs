//! Every metric there is: instruments are made from these rows, and the table of the document, too.

/// What a metric measures, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "only the document tells it"))]
    pub(crate) kind: Kind,
    pub(crate) unit: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "only the document tells it"))]
    pub(crate) attributes: &'static [&'static str],
    pub(crate) about: &'static str,
}

/// How the figures of a metric relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Only grows.
    Counter,
    /// Is what it is now.
    Gauge,
    /// Many values, by size.
    Histogram,
}

macro_rules! metrics {
    ($($constant:ident: $kind:ident $name:literal $unit:literal [$($attribute:literal),*] $about:literal;)*) => {
        $(pub(super) const $constant: Metric = Metric {
            name: $name,
            kind: Kind::$kind,
            unit: $unit,
            attributes: &[$($attribute),*],
            about: $about,
        };)*
        /// Every metric, in the order of the document.
        #[cfg(test)]
        pub(crate) const ALL: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    CALLS: Counter "sidewinder.calls" "{call}" ["pool", "tool", "outcome"]
        "Calls that have ended: `OK`, or the reason of the error, or `CANCELLED` when nobody waited any more";
    WAIT: Histogram "sidewinder.call.wait" "s" ["pool"]
        "From the arrival of a call to the worker that takes it";
    DURATION: Histogram "sidewinder.call.duration" "s" ["pool", "tool"]
        "From the worker that takes a call to its ending";
    WAITING: Gauge "sidewinder.queue.length" "{call}" ["pool"]
        "Calls that wait for a worker";
    LINE: Gauge "sidewinder.queue.limit" "{call}" ["pool"]
        "Calls that may wait for a worker";
    RUNNING: Gauge "sidewinder.seats.busy" "{call}" ["pool"]
        "Calls that a worker has";
    WORKERS: Gauge "sidewinder.workers" "{worker}" ["pool", "state"]
        "Slots by state, in the words of `sidewinder status`";
    STARTUP: Histogram "sidewinder.worker.startup.duration" "s" ["pool"]
        "From the wish for a worker to its first answer";
    EXITS: Counter "sidewinder.worker.exits" "{worker}" ["pool", "cause"]
        "Workers that are gone";
    RESTARTS: Counter "sidewinder.worker.restarts" "{worker}" ["pool", "cause"]
        "Workers that were started in the place of another, by why that one is gone";
    OUTPUT_DROPPED: Counter "sidewinder.worker.output.dropped" "{line}" ["pool"]
        "Lines of workers that were dropped because they said too much";
    CLIENTS: Gauge "sidewinder.clients" "{client}" []
        "Clients that hold a lease";
    LEASES: Counter "sidewinder.leases.granted" "{lease}" ["how"]
        "Leases that were granted: to somebody `new`, or under another epoch to one who came `back`";
    LEASES_ENDED: Counter "sidewinder.leases.ended" "{lease}" ["cause"]
        "Leases that have ended: the client has `left`, is `dead`, or was `silent` for as long as its lease holds";
    EVENTS: Counter "sidewinder.events" "{event}" ["what"]
        "Events that were told";
    EVENTS_LOST: Counter "sidewinder.events.lost" "{event}" []
        "Events that a watcher missed because it was too slow";
    LOG_LOST: Counter "sidewinder.log.lost" "{line}" []
        "Lines of the log that were dropped because nobody read them in time";
    CONNECTIONS: Gauge "sidewinder.connections" "{connection}" []
        "Connections of clients";
    ACCEPTED: Counter "sidewinder.connection.accepted" "{connection}" []
        "Connections that were served";
    REFUSED: Counter "sidewinder.connection.refused" "{connection}" ["reason"]
        "Connections that were not: `crowded`, `stranger`, `starved` of descriptors, `stumbled`, `silent`, or `unsealed` for want of TLS";
    REQUESTS: Gauge "sidewinder.requests" "{request}" []
        "Requests of every kind that are being answered";
    REQUESTS_CUT: Counter "sidewinder.request.cut" "{request}" []
        "Requests that the edge ended: late, or in the way of a stop";
    REQUESTS_RESET: Counter "sidewinder.request.reset" "{request}" []
        "Streams that were reset because nobody took their ending";
}
