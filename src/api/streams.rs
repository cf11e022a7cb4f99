//! Streams: how they stand, and heartbeats.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::Api;
use super::extract::{self, Caller, Named};
use super::problem::Problem;
use crate::event::Timestamp;
use crate::pipeline::live::Refusal;

#[derive(Serialize)]
struct Shown {
    name: String,
    next_offset: u64,
    taken: u64,
    watermark: Option<Timestamp>,
    idle: bool,
    events: u64,
    dead_letters: u64,
}

/// How the streams stand
#[utoipa::path(get, path = "/v1/streams", tag = "streams", responses((status = 200, body = Object)))]
pub(super) async fn list(State(api): State<Api>) -> Json<Value> {
    let status = api.0.live.status();
    let shown = |(name, stream): (&String, &crate::pipeline::live::StreamStatus)| Shown {
        name: name.clone(),
        next_offset: api.0.live.events(name).map_or(0, |log| log.next()),
        taken: stream.taken,
        watermark: stream.watermark,
        idle: stream.is_idle,
        events: stream.events,
        dead_letters: stream.dead_letters,
    };
    let items: Vec<Shown> = status.streams.iter().map(shown).collect();
    Json(json!({ "items": items, "next": null, "frontier": status.frontier }))
}

/// That time has come so far.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Heartbeat {
    /// In epoch milliseconds.
    time: i64,
}

/// Says that no event at or before a time comes any more
#[utoipa::path(
    post,
    path = "/v1/streams/{stream}/watermark",
    tag = "streams",
    params(("stream" = String, Path, description = "the stream's name")),
    request_body = Heartbeat,
    responses(
        (status = 200, body = Object),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn watermark(
    State(api): State<Api>,
    caller: Caller,
    Named(stream): Named<String>,
    extract::Json(heartbeat): extract::Json<Heartbeat>,
) -> Result<Json<Value>, Problem> {
    let (reply, answer) = oneshot::channel();
    let told = move |result| _ = reply.send(result);
    api.0.live.heartbeat(&stream, Timestamp(heartbeat.time), &caller.0.name, told);
    let watermark = answer.await.unwrap_or(Err(Refusal::Stopping))?;
    Ok(Json(json!({ "watermark": watermark })))
}
