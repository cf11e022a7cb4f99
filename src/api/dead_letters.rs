//! What was rejected: looked at, and sent again.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine as _;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::oneshot;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::auth::may_post_to;
use super::body;
use super::extract::{Caller, Named, Parameters, Raw};
use super::page::{self, Direction, Page, a_hundred};
use super::problem::Problem;
use crate::journal::Tail;
use crate::pipeline::live::NotAppended;

/// Which are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Only those of this stream.
    stream: Option<String>,
    /// Only `late` events, or only each `dead_letter`.
    #[param(inline)]
    kind: Option<Kind>,
    /// How many at most.
    #[serde(default = "a_hundred")]
    #[param(value_type = Option<usize>, minimum = 1, maximum = 1000, default = 100)]
    limit: usize,
    /// Where the list goes on: `next` of the answer before.
    cursor: Option<u64>,
    /// Which come first.
    #[serde(default)]
    #[param(inline, required = false)]
    order: Direction,
}

/// Why a line was rejected: it came late, or it is no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Late,
    DeadLetter,
}

/// A late event or a dead letter.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeadLetter {
    /// Its number in the log of what was rejected.
    sequence: u64,
    stream: String,
    kind: Kind,
    /// What was rejected and why, as sinks get it.
    #[schema(value_type = Object)]
    object: Box<RawValue>,
}

/// What the log says about the lines of a record.
#[derive(Debug, Deserialize)]
struct Meta {
    stream: String,
    kind: Kind,
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
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Redriven {
    stream: String,
    offset: u64,
    /// Whether it is an event now.
    accepted: bool,
}

/// Lists late events and dead letters, the newest first
#[utoipa::path(
    get,
    path = "/v1/dead-letters",
    tag = "dead letters",
    params(Wanted),
    responses(
        (status = 200, body = Page<DeadLetter>),
        (status = 400, body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn list(
    State(api): State<Api>,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Json<Page<DeadLetter>>, Problem> {
    let Wanted { stream, kind, limit, cursor, order } = wanted;
    page::check_limit(limit)?;
    let take = move |sequence, meta: &[u8], line: &[u8]| {
        let meta: Meta = serde_json::from_slice(meta).ok()?;
        if stream.as_ref().is_some_and(|wanted| *wanted != meta.stream)
            || kind.is_some_and(|wanted| wanted != meta.kind)
        {
            return None;
        }
        Some(DeadLetter { sequence, stream: meta.stream, kind: meta.kind, object: page::raw(line)? })
    };
    page::answer(api.0.live.rejected(), order, cursor, limit, take).await
}

/// Sends a rejected line again, or what the body has in its place
#[utoipa::path(
    post,
    path = "/v1/dead-letters/{sequence}/redrive",
    tag = "dead letters",
    params(("sequence" = u64, Path, description = "the number of the dead letter")),
    request_body(content = Option<Object>, content_type = "application/json"),
    responses(
        (status = 200, body = Redriven),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn redrive(
    State(api): State<Api>,
    Caller(actor): Caller,
    Named(sequence): Named<u64>,
    Raw(body): Raw,
) -> Result<Json<Redriven>, Problem> {
    let line_max = api.0.limits.line_bytes;
    let (log, live) = (api.0.live.rejected().clone(), api.0.live.clone());
    let taken = tokio::task::spawn_blocking(move || {
        let (meta, line) = rejected(&log, sequence)?;
        may_post_to(&actor, &meta.stream)?;
        let lines = if body.trim_ascii().is_empty() {
            again(&line)?
        } else {
            let lines = body::lines(body::Kind::Json, &body, line_max)?;
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
