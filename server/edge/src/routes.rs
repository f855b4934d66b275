//! From the path of a request to the service that answers it.
//!
//! Generated services already answer a request with a boxed future, so a map of boxed services is all that is needed;
//! tonic's own router would bring a web framework into the daemon. What nobody knows is `UNIMPLEMENTED`, with our
//! details.

use crate::outcome::{Invalid, Outcome};
use crate::status;
use http::{Request, Response};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service};
use tonic::server::NamedService;
use tonic_health::server::HealthReporter;

/// What a service gives back for a request.
pub(crate) type Answer = BoxFuture<Response<Body>, Infallible>;

/// Services by name.
#[derive(Clone, Default)]
pub struct Routes {
    doors: BTreeMap<&'static str, Arc<dyn Door>>,
}

trait Door: Send + Sync {
    fn ask(&self, request: Request<Body>) -> Answer;
}

impl<S> Door for S
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Answer>,
    S: Clone + Send + Sync,
{
    /// A generated service is ready at any time, and its clone is a counted reference.
    fn ask(&self, request: Request<Body>) -> Answer {
        self.clone().call(request)
    }
}

impl Routes {
    /// With one more service.
    #[must_use]
    pub fn with<S>(mut self, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Answer>,
        S: NamedService + Clone + Send + Sync + 'static,
    {
        self.doors.insert(S::NAME, Arc::new(service));
        self
    }

    /// With what every gRPC server is expected to have: health, and reflection in both of its versions. The reporter
    /// is how the truth gets in: one name for each pool, and the empty name for the daemon.
    pub fn with_standard_services(self) -> Result<(Self, HealthReporter), tonic_reflection::server::Error> {
        let (reporter, health) = tonic_health::server::health_reporter();
        let describe = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(sidewinder_proto::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let routes = self.with(health).with(describe().build_v1()?).with(describe().build_v1alpha()?);
        Ok((routes, reporter))
    }

    pub(crate) fn ask(&self, request: Request<Body>) -> Answer {
        let service = request.uri().path().trim_start_matches('/').split('/').next().unwrap_or_default();
        if let Some(door) = self.doors.get(service) {
            return door.ask(request);
        }
        let path = request.uri().path().to_owned();
        let status = status::of(&Outcome::Invalid(Invalid::UnknownMethod { path }));
        Box::pin(std::future::ready(Ok(status.into_http())))
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.doors.keys()).finish()
    }
}
