//! Events come in: lines, an object or an array of them, answered once they are durable.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::oneshot;
use utoipa::ToSchema;

use super::Api;
use super::body::{self, Kind, Packing};
use super::extract::{Named, Raw};
use super::problem::Problem;
use crate::pipeline::live::{Appended, NotAppended};

/// The longest `Idempotency-Key`, in bytes.
const KEY_BYTES_MAX: usize = 255;

/// Says that an answer is that of an earlier request.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What became of posted events.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Posted {
    /// Lines that are events.
    accepted: u32,
    /// Lines that are none: they are dead letters.
    rejected: u32,
    /// Where the first line stands in the stream.
    first_offset: Option<u64>,
    /// Where the last one does.
    last_offset: Option<u64>,
}

/// Events come in: lines of JSON, one object, or an array of objects
#[utoipa::path(
    post,
    path = "/v1/streams/{stream}/events",
    tag = "streams",
    params(
        ("stream" = String, Path, description = "the stream's name"),
        ("idempotency-key" = Option<String>, Header, description = "makes a retry safe: it is answered as the first one was"),
        ("content-encoding" = Option<String>, Header, description = "`gzip` or `zstd`")
    ),
    request_body(content((String = "application/x-ndjson"), (Object = "application/json"))),
    responses(
        (
            status = 200,
            body = Posted,
            headers(("idempotency-replayed" = Option<String>, description = "`true` where an earlier request was answered so"))
        ),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn post(
    State(api): State<Api>,
    Named(stream): Named<String>,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Response, Problem> {
    let limits = &api.0.limits;
    if api.0.live.events(&stream).is_none() {
        return Err(NotAppended::NoStream(stream).into());
    }
    let (kind, packing, key) = (Kind::of(&headers)?, Packing::of(&headers)?, key(&headers)?);
    let (body_max, line_max) = (limits.body_bytes, limits.line_bytes);
    // Few at once, so that what they hold is bounded whatever the number of connections.
    let permit = api.0.intakes.acquire().await;
    let live = api.0.live.clone();
    let taken = tokio::task::spawn_blocking(move || {
        let lines = body::lines(kind, &packing.unpack(&body, body_max)?, line_max)?;
        if lines.is_empty() {
            return Ok(None);
        }
        Ok::<_, Problem>(Some(live.intake(&stream, lines, key.as_deref())?))
    });
    let Some(intake) = taken.await.unwrap_or_else(|_| Err(NotAppended::Stopping.into()))? else {
        let none = Posted { accepted: 0, rejected: 0, first_offset: None, last_offset: None };
        return Ok(Json(none).into_response());
    };
    drop(permit);
    let (reply, answer) = oneshot::channel();
    api.0.live.append(intake, move |result| _ = reply.send(result));
    Ok(answer.await.unwrap_or(Err(NotAppended::Stopping)).map(answered)?)
}

/// The answer to a batch that is durable.
fn answered(appended: Appended) -> Response {
    let Appended { first, count, rejected, is_replayed } = appended;
    let answer = Posted {
        accepted: count - rejected,
        rejected,
        first_offset: Some(first),
        last_offset: Some(first + u64::from(count) - 1),
    };
    let mut response = Json(answer).into_response();
    if is_replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    match key.to_str() {
        Ok(key) if (1..=KEY_BYTES_MAX).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => {
            let detail = format!("`Idempotency-Key` has 1 to {KEY_BYTES_MAX} visible characters (ASCII)");
            Err(Problem::new(StatusCode::BAD_REQUEST, "idempotency-key", detail))
        }
    }
}
