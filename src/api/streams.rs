//! Streams: how they stand, and heartbeats.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use utoipa::ToSchema;

use super::Api;
use super::extract::{self, Caller, Moment, Named};
use super::problem::Problem;
use crate::event::{TimeSpan, Timestamp};
use crate::pipeline::live::{NotAppended, Refusal, Silence, Status};

/// How a stream stands.
#[derive(Serialize, ToSchema)]
pub(super) struct Stream {
    name: String,
    /// What becomes of time when all streams are silent.
    #[schema(value_type = String)]
    silence: Silence,
    /// How far behind its highest time an event may come, in ms.
    #[schema(value_type = i64)]
    out_of_orderness: TimeSpan,
    partitions: [Partition; 1],
}

/// How a partition of a stream stands.
#[derive(Serialize, ToSchema)]
pub(super) struct Partition {
    partition: u32,
    /// Where the next line will stand.
    next_offset: u64,
    /// Lines that have been taken in order.
    taken: u64,
    /// Lines that are durable and have not been taken.
    lag: u64,
    /// No event at or before it comes any more, in epoch milliseconds.
    #[schema(value_type = Option<i64>)]
    watermark: Option<Timestamp>,
    idle: bool,
    /// Whether the others wait for it.
    holds: bool,
    /// Since the start.
    events: u64,
    late: u64,
    /// Events that had come before, and were dropped.
    duplicates: u64,
    dead_letters: u64,
    /// The bound that would have kept 99.9 % of the events, in ms.
    #[schema(value_type = Option<i64>)]
    bound_for_99_9: Option<TimeSpan>,
}

/// All streams.
#[derive(Serialize, ToSchema)]
pub(super) struct Streams {
    items: Vec<Stream>,
    next: Option<String>,
    /// Up to this time events have been matched, in epoch milliseconds.
    #[schema(value_type = Option<i64>)]
    frontier: Option<Timestamp>,
    /// Events and rejected lines that wait for the one who holds the watermark.
    waiting: usize,
    held_by: Option<Holder>,
}

/// Whom the others wait for.
#[derive(Serialize, ToSchema)]
pub(super) struct Holder {
    stream: String,
    partition: u32,
    /// By the wall clock, in epoch milliseconds.
    since: i64,
}

fn shown(api: &Api, status: &Status, name: &str) -> Option<Stream> {
    let stream = status.streams.get(name)?;
    let next_offset = api.0.live.events(name).map_or(0, |log| log.next());
    let partition = Partition {
        partition: 0,
        next_offset,
        taken: stream.taken,
        lag: next_offset.saturating_sub(stream.taken),
        watermark: stream.watermark,
        idle: stream.is_idle,
        holds: status.holder.as_ref().is_some_and(|(holder, _)| holder == name),
        events: stream.events,
        late: stream.late,
        duplicates: stream.duplicates,
        dead_letters: stream.dead_letters,
        bound_for_99_9: stream.bound_for_99_9,
    };
    let (silence, out_of_orderness) = (stream.silence, stream.out_of_orderness);
    Some(Stream { name: name.to_owned(), silence, out_of_orderness, partitions: [partition] })
}

/// How the streams stand
#[utoipa::path(get, path = "/v1/streams", tag = "streams", responses((status = 200, body = Streams)))]
pub(super) async fn list(State(api): State<Api>) -> Json<Streams> {
    let status = api.0.live.status();
    let items = status.streams.keys().filter_map(|name| shown(&api, &status, name)).collect();
    let held_by = status.holder.clone().map(|(stream, since)| Holder { stream, partition: 0, since });
    Json(Streams { items, next: None, frontier: status.frontier, waiting: status.waiting, held_by })
}

/// How a stream stands
#[utoipa::path(
    get,
    path = "/v1/streams/{stream}",
    tag = "streams",
    params(("stream" = String, Path, description = "the stream's name")),
    responses(
        (status = 200, body = Stream),
        (status = 404, body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn get(
    State(api): State<Api>,
    Named(stream): Named<String>,
) -> Result<Json<Stream>, Problem> {
    let found = shown(&api, &api.0.live.status(), &stream);
    Ok(Json(found.ok_or(NotAppended::NoStream(stream))?))
}

/// That time has come so far.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Heartbeat {
    /// In epoch milliseconds, or RFC 3339.
    time: Moment,
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
    api.0.live.heartbeat(&stream, heartbeat.time.0, &caller.0.name, told);
    let watermark = answer.await.unwrap_or(Err(Refusal::Stopping))?;
    Ok(Json(json!({ "watermark": watermark })))
}
