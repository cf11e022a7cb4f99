//! Streams: how they stand, and heartbeats.

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::Api;
use super::problem::Problem;
use crate::event::{TimeSpan, Timestamp};
use crate::pipeline::live::{NotAppended, Refusal, Silence, Status};

/// How a stream stands.
#[derive(Serialize)]
pub(super) struct Shown {
    name: String,
    /// What becomes of time when all streams are silent.
    silence: Silence,
    /// How far behind its highest time an event may come, in ms.
    out_of_orderness: TimeSpan,
    partitions: [Partition; 1],
}

/// How a partition of a stream stands.
#[derive(Serialize)]
pub(super) struct Partition {
    partition: u32,
    /// Where the next line will stand.
    next_offset: u64,
    /// Lines that have been taken in order.
    taken: u64,
    /// Lines that are durable and have not been taken.
    lag: u64,
    watermark: Option<Timestamp>,
    idle: bool,
    /// Whether the others wait for it.
    holds: bool,
    /// Since the start.
    events: u64,
    late: u64,
    dead_letters: u64,
    /// The bound that would have kept 99.9 % of the events, in ms.
    bound_for_99_9: Option<TimeSpan>,
}

/// All streams.
#[derive(Serialize)]
pub(super) struct All {
    items: Vec<Shown>,
    next: Option<String>,
    /// Up to this time events have been matched.
    frontier: Option<Timestamp>,
    /// Events and rejected lines that wait for the one who holds the watermark.
    waiting: usize,
    held_by: Option<Holder>,
}

/// Whom the others wait for.
#[derive(Serialize)]
pub(super) struct Holder {
    stream: String,
    partition: u32,
    /// By the wall clock, in epoch milliseconds.
    since: i64,
}

fn shown(api: &Api, status: &Status, name: &str) -> Option<Shown> {
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
        dead_letters: stream.dead_letters,
        bound_for_99_9: stream.bound_for_99_9,
    };
    let (silence, out_of_orderness) = (stream.silence, stream.out_of_orderness);
    Some(Shown { name: name.to_owned(), silence, out_of_orderness, partitions: [partition] })
}

pub(super) async fn list(State(api): State<Api>) -> Json<All> {
    let status = api.0.live.status();
    let items = status.streams.keys().filter_map(|name| shown(&api, &status, name)).collect();
    let held_by = status.holder.clone().map(|(stream, since)| Holder { stream, partition: 0, since });
    Json(All { items, next: None, frontier: status.frontier, waiting: status.waiting, held_by })
}

pub(super) async fn get(State(api): State<Api>, Path(stream): Path<String>) -> Result<Json<Shown>, Problem> {
    let found = shown(&api, &api.0.live.status(), &stream);
    Ok(Json(found.ok_or(NotAppended::NoStream)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Heartbeat {
    time: i64,
}

pub(super) async fn watermark(
    State(api): State<Api>,
    Path(stream): Path<String>,
    Json(heartbeat): Json<Heartbeat>,
) -> Result<Json<Value>, Problem> {
    let (reply, answer) = oneshot::channel();
    let told = move |result| _ = reply.send(result);
    api.0.live.heartbeat(&stream, Timestamp(heartbeat.time), "api", told);
    let watermark = answer.await.unwrap_or(Err(Refusal::Stopping))?;
    Ok(Json(json!({ "watermark": watermark })))
}
