//! Sends the figures by OTLP. A receiver that is away costs one line of the log, and another when it is back.

use crate::telemetry::masked;
use opentelemetry_otlp::{MetricExporter, WithExportConfig};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, Temporality};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// One export may take so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sends, and says when that begins or ceases to fail.
#[derive(Debug)]
pub(super) struct Sender {
    inner: MetricExporter,
    /// As it may be shown.
    url: String,
    failing: AtomicBool,
}

/// Called within a runtime: the connection lives there.
pub(super) fn sender(url: &str, every: Duration) -> io::Result<PeriodicReader<Sender>> {
    let builder = MetricExporter::builder().with_tonic().with_endpoint(url).with_timeout(PATIENCE);
    let shown = masked::url(url);
    let inner = builder.build().map_err(|error| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("cannot send metrics to {shown}: {error}"))
    })?;
    let sender = Sender { inner, url: shown, failing: AtomicBool::new(false) };
    Ok(PeriodicReader::builder(sender).with_interval(every).build())
}

impl PushMetricExporter for Sender {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let sent = self.inner.export(metrics).await;
        let failed = self.failing.swap(sent.is_err(), Ordering::Relaxed);
        match &sent {
            Err(error) if !failed => {
                tracing::warn!(
                    "metrics cannot be sent to {}: {error}; it is tried again, and said no more",
                    self.url
                );
            }
            Ok(()) if failed => tracing::info!("metrics are sent to {} again", self.url),
            Ok(()) | Err(_) => {}
        }
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
    use crate::telemetry::Metrics;
    use crate::telemetry::Telemetry;
    use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
        MetricsService, MetricsServiceServer,
    };
    use opentelemetry_proto::tonic::collector::metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
    };
    use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point::Value};
    use sidewinder_edge::limits::Limits;
    use sidewinder_edge::listener::Listener;
    use sidewinder_edge::routes::Routes;
    use sidewinder_edge::server::{Wish, serve};
    use std::sync::Arc;
    use tokio::sync::{mpsc, watch};
    use tonic::{Request, Response, Status};

    struct Receiver(mpsc::UnboundedSender<ExportMetricsServiceRequest>);

    #[tonic::async_trait]
    impl MetricsService for Receiver {
        async fn export(
            &self,
            request: Request<ExportMetricsServiceRequest>,
        ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
            self.0.send(request.into_inner()).map_err(|error| Status::internal(error.to_string()))?;
            Ok(Response::new(ExportMetricsServiceResponse::default()))
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_receiver_gets_what_was_counted_before_the_end() {
        let (sender, mut received) = mpsc::unbounded_channel();
        let listener = Listener::tcp("127.0.0.1:0".parse().expect("an address"), false).expect("a listener");
        let address = listener.tcp_address().expect("its address");
        let routes = Routes::default().with(MetricsServiceServer::new(Receiver(sender)));
        let (_wish, wishes) = watch::channel(Wish::Serve);
        tokio::spawn(serve(vec![listener], routes, Limits::default(), Arc::default(), wishes));
        let settings = Telemetry { otlp: Some(format!("http://{address}")), ..Telemetry::default() };
        let metrics = Metrics::begin(&settings, "0123").expect("a sender");
        metrics.pool("image").gone("exit");
        metrics.end().await;
        let request = received.recv().await.expect("an export");
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
