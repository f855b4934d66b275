//! What is said of a receiver of OTLP: one line when it is away, another when it is back, and nothing in between.

use crate::telemetry::masked;
use opentelemetry_sdk::error::OTelSdkResult;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// One export may take so long.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How sending one kind of thing to one receiver goes.
#[derive(Debug)]
pub(super) struct Receiver {
    /// What is sent.
    what: &'static str,
    /// As it may be shown.
    url: String,
    failing: AtomicBool,
}

impl Receiver {
    pub(super) fn new(what: &'static str, url: &str) -> Self {
        Self { what, url: masked::url(url), failing: AtomicBool::new(false) }
    }

    /// Nothing can be sent to such an address.
    pub(super) fn is_none(&self, error: &dyn std::error::Error) -> io::Error {
        let Self { what, url, .. } = self;
        io::Error::new(io::ErrorKind::InvalidInput, format!("cannot send {what} to {url}: {error}"))
    }

    pub(super) fn has(&self, sent: &OTelSdkResult) {
        let Self { what, url, failing } = self;
        let failed = failing.swap(sent.is_err(), Ordering::Relaxed);
        match sent {
            Err(error) if !failed => {
                tracing::warn!(
                    "{what} cannot be sent to {url}: {error}; it is tried again, and said no more"
                );
            }
            Ok(()) if failed => tracing::info!("{what} are sent to {url} again"),
            Ok(()) | Err(_) => {}
        }
    }
}

/// A receiver as real as it gets in a test.
#[cfg(test)]
pub(super) mod real {
    use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
        MetricsService, MetricsServiceServer,
    };
    use opentelemetry_proto::tonic::collector::metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
    };
    use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
        TraceService, TraceServiceServer,
    };
    use opentelemetry_proto::tonic::collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
    };
    use sidewinder_edge::limits::Limits;
    use sidewinder_edge::listener::Listener;
    use sidewinder_edge::routes::Routes;
    use sidewinder_edge::server::{Sight, Wish, serve};
    use tokio::sync::{mpsc, watch};
    use tonic::{Request, Response, Status};

    struct Takes<T>(mpsc::UnboundedSender<T>);

    impl<T> Takes<T> {
        fn take(&self, request: Request<T>) -> Result<(), Status> {
            self.0.send(request.into_inner()).map_err(|error| Status::internal(error.to_string()))
        }
    }

    #[tonic::async_trait]
    impl MetricsService for Takes<ExportMetricsServiceRequest> {
        async fn export(
            &self,
            request: Request<ExportMetricsServiceRequest>,
        ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
            self.take(request).map(|()| Response::new(ExportMetricsServiceResponse::default()))
        }
    }

    #[tonic::async_trait]
    impl TraceService for Takes<ExportTraceServiceRequest> {
        async fn export(
            &self,
            request: Request<ExportTraceServiceRequest>,
        ) -> Result<Response<ExportTraceServiceResponse>, Status> {
            self.take(request).map(|()| Response::new(ExportTraceServiceResponse::default()))
        }
    }

    pub(in crate::telemetry) struct Received {
        pub(in crate::telemetry) url: String,
        pub(in crate::telemetry) metrics: mpsc::UnboundedReceiver<ExportMetricsServiceRequest>,
        pub(in crate::telemetry) spans: mpsc::UnboundedReceiver<ExportTraceServiceRequest>,
        /// It serves for as long as somebody could wish otherwise.
        _wish: watch::Sender<Wish>,
    }

    /// Begins to receive.
    pub(in crate::telemetry) fn receive() -> Received {
        let ((metrics_in, metrics), (spans_in, spans)) =
            (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let listener = Listener::tcp("127.0.0.1:0".parse().expect("an address"), false).expect("a listener");
        let url = format!("http://{}", listener.tcp_address().expect("its address"));
        let routes = Routes::default()
            .with(MetricsServiceServer::new(Takes(metrics_in)))
            .with(TraceServiceServer::new(Takes(spans_in)));
        let (wish, wishes) = watch::channel(Wish::Serve);
        tokio::spawn(serve(vec![listener], routes, Limits::default(), Sight::default(), wishes));
        Received { url, metrics, spans, _wish: wish }
    }
}
