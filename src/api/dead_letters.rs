//! What was rejected: looked at, and sent again.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use base64::Engine as _;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::oneshot;

use super::Api;
use super::body::{self, Kind, too_large};
use super::page::{self, Direction, Page};
use super::problem::Problem;
use crate::journal::Tail;
use crate::pipeline::live::NotAppended;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    stream: Option<String>,
    kind: Option<String>,
    limit: Option<usize>,
    cursor: Option<u64>,
    #[serde(default)]
    order: Direction,
}

/// A late event or a dead letter.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    /// Its number in the log of what was rejected.
    sequence: u64,
    stream: String,
    kind: String,
    /// What was rejected and why, as sinks get it.
    object: Box<RawValue>,
}

/// What the log says about the lines of a record.
#[derive(Debug, Deserialize)]
struct Meta {
    stream: String,
    kind: String,
}

/// What of a rejected line can be sent again.
#[derive(Debug, Deserialize)]
struct Rejected<'a> {
    #[serde(default)]
    reason: String,
    raw: Option<String>,
    raw_base64: Option<String>,
    #[serde(borrow)]
    event: Option<&'a RawValue>,
}

/// Where a line stands that was sent again.
#[derive(Debug, Serialize)]
pub(super) struct Redriven {
    stream: String,
    offset: u64,
    /// Whether it is an event now.
    accepted: bool,
}

pub(super) async fn list(
    State(api): State<Api>,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Result<Json<Page<Shown>>, Problem> {
    let Query(Wanted { stream, kind, limit, cursor, order }) = wanted?;
    if !matches!(kind.as_deref(), None | Some("late" | "dead_letter")) {
        let detail = "`kind` is `late` or `dead_letter`";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid-query", detail));
    }
    let log = api.0.live.rejected().clone();
    let take = move |sequence, meta: &[u8], line: &[u8]| {
        let meta: Meta = serde_json::from_slice(meta).ok()?;
        let is =
            |wanted: &Option<String>, there: &str| wanted.as_deref().is_none_or(|wanted| wanted == there);
        if !is(&stream, &meta.stream) || !is(&kind, &meta.kind) {
            return None;
        }
        Some(Shown { sequence, stream: meta.stream, kind: meta.kind, object: page::raw(line)? })
    };
    let limit = limit.unwrap_or(100).clamp(1, 1000);
    let read = tokio::task::spawn_blocking(move || page::page(&log, order, cursor, limit, take));
    Ok(Json(read.await.map_err(Problem::defect)?.map_err(Problem::defect)?))
}

pub(super) async fn redrive(
    State(api): State<Api>,
    sequence: Result<Path<u64>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Redriven>, Problem> {
    let Path(sequence) = sequence.map_err(|_| missing("dead letters have whole numbers"))?;
    let line_max = api.0.limits.line_bytes;
    let body = body.map_err(|_| too_large(api.0.limits.body_bytes))?;
    let (log, live) = (api.0.live.rejected().clone(), api.0.live.clone());
    let taken = tokio::task::spawn_blocking(move || {
        let (meta, line) = rejected(&log, sequence)?;
        let lines = if body.trim_ascii().is_empty() {
            again(&line)?
        } else {
            let lines = body::lines(Kind::Json, &body, line_max)?;
            if memchr::memchr_iter(b'\n', &lines).count() != 1 {
                let detail = "the body is one JSON object, which is sent in the place of the rejected line";
                return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "several-events", detail));
            }
            lines
        };
        let intake = live.intake(&meta.stream, lines, None)?;
        Ok((meta.stream, intake))
    });
    let (stream, intake) = taken.await.map_err(Problem::defect)??;
    let (reply, answer) = oneshot::channel();
    api.0.live.append(intake, move |result| _ = reply.send(result));
    let appended = answer.await.unwrap_or(Err(NotAppended::Stopping))?;
    Ok(Json(Redriven { stream, offset: appended.first, accepted: appended.rejected == 0 }))
}

fn missing(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no-such-dead-letter", detail)
}

/// A rejected line and what is said about it.
fn rejected(log: &Tail, sequence: u64) -> Result<(Meta, Vec<u8>), Problem> {
    let none = || missing(format!("there is no dead letter {sequence}, or not any more"));
    let mut reader = log.reader(sequence).map_err(|_| none())?;
    let record = reader.next().ok_or_else(none)?.map_err(Problem::defect)?;
    let place = sequence.checked_sub(record.first).ok_or_else(none)?;
    let line = page::lines(&record.body).nth(place as usize).ok_or_else(none)?;
    Ok((serde_json::from_slice(&record.meta).map_err(Problem::defect)?, line.to_vec()))
}

/// The line as it came, with its line break.
fn again(line: &[u8]) -> Result<Vec<u8>, Problem> {
    let rejected: Rejected<'_> = serde_json::from_slice(line).map_err(Problem::defect)?;
    if rejected.reason.starts_with("line longer than") {
        let detail = "only the beginning of a line that is too long is kept: send the event as the body";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "incomplete", detail));
    }
    let Rejected { raw, raw_base64, event, .. } = rejected;
    let mut line = match (event, raw_base64, raw) {
        (Some(event), _, _) => event.get().as_bytes().to_vec(),
        (None, Some(bytes), _) => {
            base64::engine::general_purpose::STANDARD.decode(bytes).map_err(Problem::defect)?
        }
        (None, None, raw) => raw.unwrap_or_default().into_bytes(),
    };
    line.push(b'\n');
    Ok(line)
}
