//! Traces of requests, sent to a collector (OTLP over HTTP) where the settings name one.

use std::fmt;
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

use crate::config::settings::Otlp;

/// How long a collector may take for an answer; also what the end of the service may wait for it.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What sends traces; what it still has is sent when it ends.
#[derive(Default)]
pub(super) struct Telemetry(Option<SdkTracerProvider>);

impl Telemetry {
    /// Nothing where no collector is named.
    pub(super) fn new(settings: &Otlp) -> Result<Telemetry, String> {
        let Some(endpoint) = &settings.endpoint else { return Ok(Telemetry(None)) };
        // Where another one has been installed already, that one serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new())
            .with_endpoint(endpoint)
            .build()
            .map_err(|error| format!("cannot send traces (`otlp.endpoint`): {error}"))?;
        let resource = Resource::builder().with_service_name("sequor").build();
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
        Ok(Telemetry(Some(provider)))
    }

    /// What takes spans.
    pub(super) fn tracer(&self) -> Option<SdkTracer> {
        self.0.as_ref().map(|provider| provider.tracer("sequor"))
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(provider) = &self.0 {
            // That a collector does not answer is no reason to stay.
            let _ = provider.shutdown_with_timeout(TIMEOUT);
        }
    }
}

/// Sends on the thread of the exporter, which may wait.
struct Client(ureq::Agent);

impl Client {
    fn new() -> Client {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(TIMEOUT));
        Client(config.build().new_agent())
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let mut response = self.0.run(Request::from_parts(head, &body[..]))?;
        let body = response.body_mut().read_to_vec()?;
        Ok(response.map(|_| body.into()))
    }
}
