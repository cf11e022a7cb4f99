//! Matches: the newest first, or on from a cursor.

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Api;
use super::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default)]
    limit: Option<usize>,
    #[serde(default)]
    after: Option<u64>,
}

pub(super) async fn list(
    State(api): State<Api>,
    Query(wanted): Query<Wanted>,
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
