//! Whether the service is there, and whether it takes work.

use axum::extract::State;
use axum::http::StatusCode;

use super::Api;
use super::problem::Problem;

/// Whether the service is there
#[utoipa::path(get, path = "/livez", tag = "health", responses((status = 200, body = String)))]
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// Whether the service takes work
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    responses(
        (status = 200, body = String),
        (status = 503, body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn ready(State(api): State<Api>) -> Result<&'static str, Problem> {
    if let Some(why) = api.0.live.unwritable() {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "storage", why));
    }
    match &api.0.live.status().failure {
        None => Ok("ok\n"),
        Some(why) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "failed", why.clone())),
    }
}
