//! The control log as lines of JSON, ending with how far everything has come.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Api;
use super::problem::Problem;
use crate::pipeline::export;

/// Reads the control log, ending with how far everything has come
#[utoipa::path(
    get,
    path = "/v1/control-log",
    tag = "control log",
    responses(
        (status = 200, body = String, content_type = "application/x-ndjson"),
        (status = 500, body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn get(State(api): State<Api>) -> Result<Response, Problem> {
    let live = api.0.live.clone();
    let read = tokio::task::spawn_blocking(move || {
        let mut lines = Vec::new();
        export::control_log_of(&live.status(), live.control(), &mut lines).map(|()| lines)
    });
    let failed = |why: String| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "control-log", why);
    let read = read.await.map_err(|error| failed(error.to_string()))?;
    let lines = read.map_err(|error| failed(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], lines).into_response())
}
