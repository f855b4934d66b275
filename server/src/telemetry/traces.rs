//! One span a call, sent by OTLP: from its arrival to its ending, with the moment at which a worker took it.
//!
//! A call belongs to the trace that its caller names by `traceparent`, or begins one. What the worker is told is this
//! span, so that spans of the tool hang below it. Whether a span is sent is decided where the trace begins; for traces
//! that begin here, a percentage says it. Nobody waits for a receiver: what it does not take in time is dropped.
//!
//! Without OTLP there is no tracer, and a call costs one look at that.

use super::Telemetry;
use super::receiver::{PATIENCE, Receiver};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{Span, SpanKind, Status, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, SpanData,
};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The outcome of a call with a value.
pub(super) const OK: &str = "OK";
/// Spans that wait to be sent. Further ones are dropped.
const QUEUE: usize = 4096;
/// How often they are sent, unless many wait.
const EVERY: Duration = Duration::from_secs(1);

/// What becomes of spans.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traces(Option<Arc<Tracing>>);

#[derive(Debug)]
struct Tracing {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// The trace that a call belongs to, in the words of its caller.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    pub(crate) traceparent: Option<String>,
    pub(crate) tracestate: Option<String>,
}

impl Extractor for Origin {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => self.traceparent.as_deref(),
            "tracestate" => self.tracestate.as_deref(),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

impl Traces {
    /// Called within a runtime: the connection lives there.
    pub(super) fn begin(settings: &Telemetry, resource: Resource) -> io::Result<Self> {
        let Some(url) = settings.otlp.as_deref().filter(|_| settings.trace_percent > 0) else {
            return Ok(Self::default());
        };
        let receiver = Receiver::new("spans", url);
        let builder = SpanExporter::builder().with_tonic().with_endpoint(url).with_timeout(PATIENCE);
        let inner = builder.build().map_err(|error| receiver.is_none(&error))?;
        let batches = BatchConfigBuilder::default().with_max_queue_size(QUEUE).with_scheduled_delay(EVERY);
        let processor = BatchSpanProcessor::builder(Sender { inner, receiver });
        let ratio = Sampler::TraceIdRatioBased(f64::from(settings.trace_percent) / 100.0);
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_sampler(Sampler::ParentBased(Box::new(ratio)))
            .with_span_processor(processor.with_batch_config(batches.build()).build())
            .build();
        let tracer = provider.tracer("sidewinder");
        Ok(Self(Some(Arc::new(Tracing { provider, tracer }))))
    }

    /// Begins the span of a call.
    pub(super) fn call(&self, origin: &Origin, pool: &Arc<str>, tool: &Arc<str>) -> CallSpan {
        let Some(Tracing { tracer, .. }) = self.0.as_deref() else { return CallSpan(None) };
        let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), origin);
        let builder = tracer.span_builder(tool.to_string()).with_kind(SpanKind::Server);
        let about = [KeyValue::new("pool", pool.clone()), KeyValue::new("tool", tool.clone())];
        let span = builder.with_attributes(about).start_with_context(tracer, &parent);
        CallSpan(Some(Box::new(span)))
    }

    /// Sends what has not been sent, within this time. It waits: not for a task of the runtime.
    pub(super) fn end(&self, within: Duration) -> OTelSdkResult {
        self.0.as_deref().map_or(Ok(()), |tracing| tracing.provider.shutdown_with_timeout(within))
    }
}

/// The span of one call; nothing, when nobody wants spans.
#[derive(Debug)]
pub(super) struct CallSpan(Option<Box<opentelemetry_sdk::trace::Span>>);

impl CallSpan {
    /// This span as a parent.
    pub(super) fn traceparent(&self) -> Option<String> {
        let context = self.0.as_ref()?.span_context();
        let (trace, span, flags) = (context.trace_id(), context.span_id(), context.trace_flags());
        Some(format!("00-{trace}-{span}-{flags:02x}"))
    }

    /// A worker has it. What came before was the line.
    pub(super) fn began(&mut self, worker: &str) {
        if let Some(span) = &mut self.0 {
            span.add_event("assigned", Vec::new());
            span.set_attribute(KeyValue::new("worker", worker.to_owned()));
        }
    }

    pub(super) fn end(&mut self, outcome: &'static str) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new("outcome", outcome));
            span.set_status(if outcome == OK { Status::Ok } else { Status::error(outcome) });
            span.end();
        }
    }
}

/// Sends spans, and says when that begins or ceases to fail.
#[derive(Debug)]
struct Sender {
    inner: SpanExporter,
    receiver: Receiver,
}

impl opentelemetry_sdk::trace::SpanExporter for Sender {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let sent = self.inner.export(batch).await;
        self.receiver.has(&sent);
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::super::receiver::real;
    use super::*;
    use crate::telemetry::Metrics;
    use opentelemetry_proto::tonic::trace::v1::Span as Sent;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn from(traceparent: &str) -> Origin {
        Origin { traceparent: Some(traceparent.to_owned()), tracestate: Some("vendor=value".to_owned()) }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }

    fn word(span: &Sent, name: &str) -> String {
        let found = span.attributes.iter().find(|attribute| attribute.key == name);
        found.map(|attribute| format!("{:?}", attribute.value)).unwrap_or_default()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_receiver_gets_one_span_a_call_below_that_of_its_caller() {
        let mut receiver = real::receive();
        let settings = Telemetry { otlp: Some(receiver.url.clone()), ..Telemetry::default() };
        let metrics = Metrics::begin(&settings, "0123").expect("a sender");
        let pool = metrics.pool("image");
        let mut good = pool.call("resize", None, &from(PARENT));
        let told = good.traceparent().expect("a span");
        good.began("0.7");
        good.end(OK);
        let mut refused = pool.call("resize", None, &Origin::default());
        refused.end("QUEUE_FULL");
        drop((good, refused));
        // Its trace is not wanted by whoever began it.
        let unwanted = pool.call("resize", None, &from(&PARENT.replace("-01", "-00")));
        let unwanted = unwanted.traceparent().expect("a context all the same");
        assert!(unwanted.starts_with(&PARENT[..36]) && unwanted.ends_with("-00"), "{unwanted}");
        metrics.end().await;
        let request = receiver.spans.recv().await.expect("an export");
        let resource = format!("{:?}", request.resource_spans[0].resource);
        assert!(resource.contains("\"sidewinder\"") && resource.contains("\"0123\""), "{resource}");
        let [good, refused] = &request.resource_spans[0].scope_spans[0].spans[..] else {
            panic!("not two spans: {request:?}")
        };
        assert_eq!(told, format!("00-{}-{}-01", hex(&good.trace_id), hex(&good.span_id)));
        assert_eq!(&told[..36], &PARENT[..36]);
        assert_eq!(
            (hex(&good.parent_span_id), good.trace_state.as_str()),
            ("00f067aa0ba902b7".to_owned(), "vendor=value")
        );
        assert_eq!((good.name.as_str(), good.events[0].name.as_str()), ("resize", "assigned"));
        assert!(word(good, "worker").contains("0.7") && word(good, "pool").contains("image"), "{good:?}");
        assert!(good.start_time_unix_nano <= good.events[0].time_unix_nano, "{good:?}");
        assert!(word(refused, "outcome").contains("QUEUE_FULL") && refused.events.is_empty(), "{refused:?}");
        assert!(refused.parent_span_id.is_empty() && refused.trace_id != good.trace_id, "{refused:?}");
        assert_eq!(refused.status.as_ref().map(|status| status.message.as_str()), Some("QUEUE_FULL"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn without_a_receiver_or_a_percentage_there_are_no_spans() {
        let receiver = real::receive();
        let none = Telemetry { otlp: Some(receiver.url.clone()), trace_percent: 0, ..Telemetry::default() };
        for settings in [Telemetry::default(), none] {
            let metrics = Metrics::begin(&settings, "0123").expect("metrics");
            let call = metrics.pool("image").call("resize", None, &from(PARENT));
            assert_eq!(call.traceparent(), None, "{settings:?}");
        }
    }
}
