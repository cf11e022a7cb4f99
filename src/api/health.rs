//! Whether the service is there, and whether it takes work.

use axum::extract::State;
use axum::http::StatusCode;

use super::Api;
use super::problem::Problem;

pub(super) async fn live() -> &'static str {
    "ok\n"
}

pub(super) async fn ready(State(api): State<Api>) -> Result<&'static str, Problem> {
    if let Some(why) = api.0.live.unwritable() {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "storage", why));
    }
    match &api.0.live.status().failure {
        None => Ok("ok\n"),
        Some(why) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "failed", why.clone())),
    }
}
