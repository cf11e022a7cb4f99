//! Streams: how they stand, and heartbeats.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::Api;
use super::auth::Actor;
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Heartbeat {
    time: i64,
}

pub(super) async fn watermark(
    State(api): State<Api>,
    Extension(actor): Extension<Actor>,
    Path(stream): Path<String>,
    Json(heartbeat): Json<Heartbeat>,
) -> Result<Json<Value>, Problem> {
    let (reply, answer) = oneshot::channel();
    let told = move |result| _ = reply.send(result);
    api.0.live.heartbeat(&stream, Timestamp(heartbeat.time), &actor.name, told);
    let watermark = answer.await.unwrap_or(Err(Refusal::Stopping))?;
    Ok(Json(json!({ "watermark": watermark })))
}
