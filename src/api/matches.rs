//! Matches: the newest first, or on from a cursor.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use utoipa::IntoParams;

use super::Api;
use super::extract::Parameters;
use super::problem::Problem;

/// Which matches are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// How many at most, up to 1000; 100 where it is not given.
    #[serde(default)]
    limit: Option<usize>,
    /// Where the list goes on: `next` of the answer before.
    #[serde(default)]
    after: Option<u64>,
}

/// Matches, in the order in which they were found
#[utoipa::path(
    get,
    path = "/v1/matches",
    tag = "matches",
    params(Wanted),
    responses(
        (status = 200, body = Object),
        (status = 400, body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn list(
    State(api): State<Api>,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Json<Value>, Problem> {
    let limit = wanted.limit.unwrap_or(100).clamp(1, 1000);
    let log = api.0.live.matches().clone();
    let from = wanted.after.map_or(log.first(), |after| after + 1).max(log.first());
    let read = tokio::task::spawn_blocking(move || {
        let mut items: Vec<Box<RawValue>> = Vec::new();
        let mut next = None;
        for record in log.reader(from)? {
            let record = record?;
            for (number, line) in (record.first..).zip(record.body.split(|&byte| byte == b'\n')) {
                if line.is_empty() || number < from {
                    continue;
                }
                if items.len() == limit {
                    return Ok((items, next));
                }
                next = Some(number);
                items.extend(serde_json::from_slice::<Box<RawValue>>(line).ok());
            }
        }
        Ok::<_, crate::journal::JournalError>((items, None))
    });
    let failed = |why: String| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "matches", why);
    let (items, next) =
        read.await.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))?;
    Ok(Json(json!({ "items": items, "next": next.map(|number| number.to_string()) })))
}
