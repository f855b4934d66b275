//! Sends the figures by OTLP.

use crate::telemetry::receiver::{PATIENCE, Receiver};
use opentelemetry_otlp::{MetricExporter, WithExportConfig};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, Temporality};
use std::io;
use std::time::Duration;

/// Sends, and says when that begins or ceases to fail.
#[derive(Debug)]
pub(super) struct Sender {
    inner: MetricExporter,
    receiver: Receiver,
}

/// Called within a runtime: the connection lives there.
pub(super) fn sender(url: &str, every: Duration) -> io::Result<PeriodicReader<Sender>> {
    let receiver = Receiver::new("metrics", url);
    let builder = MetricExporter::builder().with_tonic().with_endpoint(url).with_timeout(PATIENCE);
    let inner = builder.build().map_err(|error| receiver.is_none(&error))?;
    Ok(PeriodicReader::builder(Sender { inner, receiver }).with_interval(every).build())
}

impl PushMetricExporter for Sender {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let sent = self.inner.export(metrics).await;
        self.receiver.has(&sent);
        sent
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.inner.temporality()
    }
}

#[cfg(test)]
mod tests {
    use crate::telemetry::receiver::real;
    use crate::telemetry::{Metrics, Telemetry};
    use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point::Value};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_receiver_gets_what_was_counted_before_the_end() {
        let mut receiver = real::receive();
        let settings = Telemetry { otlp: Some(receiver.url.clone()), ..Telemetry::default() };
        let metrics = Metrics::begin(&settings, "0123").expect("a sender");
        metrics.pool("image").gone("exit");
        metrics.end().await;
        let request = receiver.metrics.recv().await.expect("an export");
        let told = &request.resource_metrics[0];
        let resource = format!("{:?}", told.resource);
        assert!(resource.contains("\"sidewinder\"") && resource.contains("\"0123\""), "{resource}");
        let exits =
            told.scope_metrics[0].metrics.iter().find(|metric| metric.name == "sidewinder.worker.exits");
        let Some(Data::Sum(sum)) = exits.and_then(|metric| metric.data.as_ref()) else {
            panic!("no such counter: {request:?}")
        };
        assert_eq!(sum.data_points[0].value, Some(Value::AsInt(1)));
        assert!(format!("{:?}", sum.data_points[0].attributes).contains("image"), "{sum:?}");
    }
}
