//! A span for each request, for those who collect traces. Where nobody does, it costs nothing.

use axum::extract::{MatchedPath, Request};
use axum::response::Response;
use opentelemetry::global::get_text_map_propagator;
use opentelemetry_http::HeaderExtractor;
use tracing::field::Empty;
use tracing::{Span, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The span of a request; a part of the client's trace where it names one (`traceparent`). Queries, headers and bodies are
/// not in it.
pub(super) fn span(request: &Request, id: &str) -> Span {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let span = info_span!(
        "request",
        otel.name = Empty,
        otel.kind = "server",
        http.request.method = request.method().as_str(),
        http.route = route,
        url.path = request.uri().path(),
        http.response.status_code = Empty,
        otel.status_code = Empty,
        request_id = id,
    );
    if !span.is_disabled() {
        span.record("otel.name", format!("{} {}", request.method(), route.unwrap_or("nowhere")));
        let parent =
            get_text_map_propagator(|propagator| propagator.extract(&HeaderExtractor(request.headers())));
        // It has just begun: there is nothing that could forbid it.
        let _ = span.set_parent(parent);
    }
    span
}

/// Notes what was answered.
pub(super) fn answered(span: &Span, response: &Response) {
    let status = response.status();
    span.record("http.response.status_code", status.as_u16());
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}
