//! What is not counted but looked at, whenever somebody asks for the figures.

use super::catalogue::{self, Metric};
use crate::telemetry::{Events, Log, What};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};
use sidewinder_edge::tally::Tally;
use std::sync::Arc;

/// A pool, as it is now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sight {
    pub(crate) pool: String,
    pub(crate) waiting: usize,
    pub(crate) waiting_max: usize,
    pub(crate) running: usize,
    /// How many slots are in each state.
    pub(crate) states: Vec<(&'static str, u64)>,
}

/// Looks at every pool. Called from a thread that may wait.
pub(crate) type Look = Arc<dyn Fn() -> Arc<Vec<Sight>> + Send + Sync>;

/// What there is to look at.
pub(crate) struct Sights {
    pub(crate) pools: Look,
    pub(crate) tally: Arc<Tally>,
    pub(crate) events: Events,
    pub(crate) log: Log,
}

pub(super) fn look_at(meter: &Meter, sights: Sights) {
    let Sights { pools, tally, events, log } = sights;
    each_pool(meter, &pools, catalogue::WAITING, |sight| sight.waiting as u64);
    each_pool(meter, &pools, catalogue::LINE, |sight| sight.waiting_max as u64);
    each_pool(meter, &pools, catalogue::RUNNING, |sight| sight.running as u64);
    gauge(meter, catalogue::WORKERS, move |to| {
        for sight in pools().iter() {
            for (state, count) in &sight.states {
                let state = KeyValue::new("state", *state);
                to.observe(*count, &[KeyValue::new("pool", sight.pool.clone()), state]);
            }
        }
    });
    connections(meter, &tally);
    clients(meter, &events);
    let told = events.clone();
    counter(meter, catalogue::EVENTS, move |to| {
        for what in What::ALL {
            to.observe(told.count(what), &[KeyValue::new("what", what.name())]);
        }
    });
    counter(meter, catalogue::EVENTS_LOST, move |to| to.observe(events.lost(), &[]));
    counter(meter, catalogue::LOG_LOST, move |to| to.observe(log.lost(), &[]));
}

fn connections(meter: &Meter, tally: &Arc<Tally>) {
    let of = |count: fn(&Tally) -> u64| {
        let tally = tally.clone();
        move |to: &dyn AsyncInstrument<u64>| to.observe(count(&tally), &[])
    };
    gauge(meter, catalogue::CONNECTIONS, of(|tally| tally.accepted.get().saturating_sub(tally.closed.get())));
    counter(meter, catalogue::ACCEPTED, of(|tally| tally.accepted.get()));
    gauge(meter, catalogue::REQUESTS, of(|tally| tally.begun.get().saturating_sub(tally.ended.get())));
    counter(meter, catalogue::REQUESTS_CUT, of(|tally| tally.cut.get()));
    counter(meter, catalogue::REQUESTS_RESET, of(|tally| tally.reset.get()));
    let tally = tally.clone();
    counter(meter, catalogue::REFUSED, move |to| {
        let reasons = [
            ("crowded", &tally.crowded),
            ("stranger", &tally.strangers),
            ("starved", &tally.starved),
            ("stumbled", &tally.stumbled),
            ("silent", &tally.silent),
            ("unsealed", &tally.unsealed),
        ];
        for (reason, count) in reasons {
            to.observe(count.get(), &[KeyValue::new("reason", reason)]);
        }
    });
}

/// Each grant and each end of a lease is told once, so what was told is what is so.
fn clients(meter: &Meter, events: &Events) {
    const ENDS: [(&str, What); 3] =
        [("left", What::ClientDetached), ("dead", What::ClientDied), ("silent", What::ClientExpired)];
    let told = events.clone();
    gauge(meter, catalogue::CLIENTS, move |to| {
        // The ends first: whoever comes meanwhile is one too many, and none is too few.
        let ended: u64 = ENDS.iter().map(|(_, what)| told.count(*what)).sum();
        to.observe(told.count(What::ClientAttached).saturating_sub(ended), &[]);
    });
    let told = events.clone();
    counter(meter, catalogue::LEASES, move |to| {
        for (how, what) in [("new", What::ClientAttached), ("back", What::ClientResumed)] {
            to.observe(told.count(what), &[KeyValue::new("how", how)]);
        }
    });
    let told = events.clone();
    counter(meter, catalogue::LEASES_ENDED, move |to| {
        for (cause, what) in ENDS {
            to.observe(told.count(what), &[KeyValue::new("cause", cause)]);
        }
    });
}

fn each_pool(meter: &Meter, pools: &Look, metric: Metric, figure: fn(&Sight) -> u64) {
    let pools = pools.clone();
    gauge(meter, metric, move |to| {
        for sight in pools().iter() {
            to.observe(figure(sight), &[KeyValue::new("pool", sight.pool.clone())]);
        }
    });
}

fn gauge(meter: &Meter, metric: Metric, look: impl Fn(&dyn AsyncInstrument<u64>) + Send + Sync + 'static) {
    let gauge = meter.u64_observable_gauge(metric.name).with_unit(metric.unit);
    gauge.with_description(metric.about).with_callback(look).build();
}

fn counter(meter: &Meter, metric: Metric, look: impl Fn(&dyn AsyncInstrument<u64>) + Send + Sync + 'static) {
    let counter = meter.u64_observable_counter(metric.name).with_unit(metric.unit);
    counter.with_description(metric.about).with_callback(look).build();
}
