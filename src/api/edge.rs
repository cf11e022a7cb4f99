//! What every answer has, whatever it is: headers that keep browsers from guessing and storing, and an end to waiting.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;

/// They hold where the answer does not say otherwise itself.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

pub(super) async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

/// Ends a request whose answer does not begin in time. What follows the beginning, as of a stream of matches, may take longer.
pub(super) async fn in_time(State(time): State<Duration>, request: Request, next: Next) -> Response {
    tokio::time::timeout(time, next.run(request)).await.unwrap_or_else(|_| {
        let detail = format!(
            "the request took longer than {} s (`server.request_timeout`): what it asked for may have happened or not",
            time.as_secs_f32()
        );
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", detail).into_response()
    })
}
