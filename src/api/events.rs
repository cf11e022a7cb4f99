//! Events come in: lines or one object, answered once they are durable.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::Api;
use super::extract::{Named, Raw};
use super::problem::Problem;
use crate::pipeline::live::NotAppended;

/// Events come in: lines of JSON, one object, or an array of objects
#[utoipa::path(
    post,
    path = "/v1/streams/{stream}/events",
    tag = "streams",
    params(("stream" = String, Path, description = "the stream's name")),
    request_body(content((String = "application/x-ndjson"), (Object = "application/json"))),
    responses(
        (status = 200, body = Object),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn post(
    State(api): State<Api>,
    Named(stream): Named<String>,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Json<Value>, Problem> {
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    let lines = if is_json { one_line_each(&body)? } else { without_blank_lines(&body) };
    let count = memchr::memchr_iter(b'\n', &lines).count() as u32;
    if count == 0 {
        return Ok(Json(json!({ "accepted": 0, "rejected": 0, "first_offset": null, "last_offset": null })));
    }
    let rejected = api.0.live.rejects(&stream, &lines).ok_or(NotAppended::NoStream)?;
    let (reply, answer) = oneshot::channel();
    api.0.live.append(&stream, lines, count, b"", move |result| _ = reply.send(result))?;
    let appended = answer.await.unwrap_or(Err(NotAppended::Stopping))?;
    Ok(Json(json!({
        "accepted": u64::from(count) - rejected,
        "rejected": rejected,
        "first_offset": appended.first,
        "last_offset": appended.first + u64::from(count) - 1,
    })))
}

/// The lines that are not blank, each with its line break.
fn without_blank_lines(body: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(body.len() + 1);
    for line in body.split(|&byte| byte == b'\n') {
        if !line.iter().all(u8::is_ascii_whitespace) {
            lines.extend_from_slice(line);
            lines.push(b'\n');
        }
    }
    lines
}

/// An object, or an array of objects, with a line for each.
fn one_line_each(body: &[u8]) -> Result<Vec<u8>, Problem> {
    let body = body.trim_ascii();
    let objects: Vec<&serde_json::value::RawValue> = match body.first() {
        Some(b'[') => serde_json::from_slice(body),
        _ => serde_json::from_slice(body).map(|object| vec![object]),
    }
    .map_err(|error| {
        Problem::new(StatusCode::BAD_REQUEST, "invalid-json", format!("the body is no JSON: {error}"))
    })?;
    let mut lines = Vec::with_capacity(body.len() + objects.len());
    for object in objects {
        // A line break in JSON stands between two tokens.
        lines
            .extend(object.get().bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
        lines.push(b'\n');
    }
    Ok(lines)
}
