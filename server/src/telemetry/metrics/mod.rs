//! The figures of the daemon: counted once, fetched by Prometheus, sent by OTLP.
//!
//! ```text
//!   calls, lives ─▶ PoolMeter ─┐                   ┌▶ registry ─▶ GET /metrics
//!   pools, edge ─▶ gauges ─────┴▶ OpenTelemetry ───┴▶ sender ─▶ OTLP
//! ```
//!
//! Without a reader the instruments do nothing. Attributes are bounded: pools by the settings, tools by what workers
//! offer, everything else by what this code can say.

pub(super) mod catalogue;
mod endpoint;
mod gauges;
mod otlp;
mod pool;

use crate::telemetry::Telemetry;
use crate::telemetry::traces::Traces;
use catalogue::Metric;
pub(crate) use gauges::{Look, Sight, Sights};
use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
pub(crate) use pool::{CallMeter, PoolMeter};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// The last export may take so long.
const LAST_EXPORT: Duration = Duration::from_secs(2);

/// Bounds between which spans of time are counted, in seconds.
const SPANS: [f64; 18] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
    1800.0,
];

/// The metrics of this daemon.
#[derive(Clone)]
pub(crate) struct Metrics {
    provider: SdkMeterProvider,
    meter: Meter,
    instruments: Arc<Instruments>,
    registry: prometheus::Registry,
    pools: Arc<Mutex<BTreeMap<String, Arc<PoolMeter>>>>,
    /// A call is measured and traced by the same hand.
    traces: Traces,
}

/// What is counted as it happens.
struct Instruments {
    calls: Counter<u64>,
    wait: Histogram<f64>,
    duration: Histogram<f64>,
    startup: Histogram<f64>,
    exits: Counter<u64>,
    restarts: Counter<u64>,
    output_dropped: Counter<u64>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Called within a runtime.
    pub(crate) fn begin(settings: &Telemetry, run: &str) -> io::Result<Self> {
        let resource = Resource::builder()
            .with_service_name("sidewinder")
            .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .with_attribute(opentelemetry::KeyValue::new("service.instance.id", run.to_owned()))
            .build();
        let mut builder = SdkMeterProvider::builder().with_resource(resource.clone());
        let traces = Traces::begin(settings, resource)?;
        let registry = prometheus::Registry::new();
        if settings.prometheus.is_some() {
            let exporter = opentelemetry_prometheus::exporter()
                .with_registry(registry.clone())
                .scope_info_enabled(false);
            builder = builder.with_reader(exporter.build().map_err(io::Error::other)?);
        }
        if let Some(url) = &settings.otlp {
            builder = builder.with_reader(otlp::sender(url, settings.otlp_interval)?);
        }
        let provider = builder.build();
        let meter = provider.meter("sidewinder");
        let instruments = Arc::new(Instruments::new(&meter));
        Ok(Self { provider, meter, instruments, registry, pools: Arc::default(), traces })
    }

    /// What the pool of this name measures, before and after a reload.
    pub(crate) fn pool(&self, name: &str) -> Arc<PoolMeter> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(PoolMeter::new(self.instruments.clone(), self.traces.clone(), name));
        pools.entry(name.to_owned()).or_insert_with(new).clone()
    }

    /// From now on these are looked at as well.
    pub(crate) fn look_at(&self, sights: Sights) {
        gauges::look_at(&self.meter, sights);
    }

    /// Serves the figures where the settings say, for as long as the task runs.
    pub(crate) fn serve(&self, settings: &Telemetry, insecure: bool) -> io::Result<()> {
        let Some(address) = settings.prometheus else { return Ok(()) };
        endpoint::serve(address, insecure, self.registry.clone())
    }

    /// Sends what has not been sent, if that can be done soon.
    pub(crate) async fn end(self) {
        let traces = tokio::task::spawn_blocking(move || self.traces.end(LAST_EXPORT));
        let metrics = tokio::task::spawn_blocking(move || self.provider.shutdown());
        let until = Instant::now() + LAST_EXPORT;
        for (what, ending) in [("metrics", metrics), ("spans", traces)] {
            if timeout_at(until, ending).await.is_err() {
                tracing::warn!("the last {what} could not be sent within {LAST_EXPORT:?}");
            }
        }
    }
}

impl Instruments {
    fn new(meter: &Meter) -> Self {
        let count = |metric: Metric| {
            let counter = meter.u64_counter(metric.name).with_unit(metric.unit);
            counter.with_description(metric.about).build()
        };
        let span = |metric: Metric| {
            let histogram = meter.f64_histogram(metric.name).with_unit(metric.unit);
            histogram.with_description(metric.about).with_boundaries(SPANS.to_vec()).build()
        };
        Self {
            calls: count(catalogue::CALLS),
            wait: span(catalogue::WAIT),
            duration: span(catalogue::DURATION),
            startup: span(catalogue::STARTUP),
            exits: count(catalogue::EXITS),
            restarts: count(catalogue::RESTARTS),
            output_dropped: count(catalogue::OUTPUT_DROPPED),
        }
    }
}
