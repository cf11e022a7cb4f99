//! What a request wants to be there before it changes a pattern: `If-Match` and `If-None-Match`.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use crate::api::problem::Problem;
use crate::pipeline::live::{Expected, Refusal};

/// What `If-Match` says: the revisions, or that there is any.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<Expected>, Problem> {
    let mut revisions = Vec::new();
    let mut is_there = false;
    for value in headers.get_all(header::IF_MATCH) {
        is_there = true;
        for tag in value.to_str().unwrap_or_default().split(',') {
            let tag = tag.trim();
            if tag == "*" {
                return Ok(Some(Expected::Present));
            }
            // A weak tag, and one that is none of ours, is of no revision.
            let tag = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            revisions.extend(tag.and_then(|tag| tag.parse::<u64>().ok()));
        }
    }
    Ok(is_there.then_some(Expected::OneOf(revisions)))
}

/// What has to be there for a change of what is there.
pub(super) fn required(name: &str, headers: &HeaderMap) -> Result<Expected, Problem> {
    if_match(headers)?.ok_or_else(|| missing(name))
}

/// What has to be there for a PUT: what `If-Match` says, else nothing.
pub(super) fn of_put(headers: &HeaderMap) -> Result<Expected, Problem> {
    let expected = if_match(headers)?;
    match headers.get(header::IF_NONE_MATCH).map(HeaderValue::as_bytes) {
        None => Ok(expected.unwrap_or(Expected::Absent)),
        Some(b"*") if expected.is_none() => Ok(Expected::Absent),
        Some(_) => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "precondition",
            "PUT takes `If-Match` with ETags, or `If-None-Match: *`, and not both",
        )),
    }
}

/// Why a PUT was refused: what is there without having been named asks for a precondition, and a precondition that does
/// not hold is 412.
pub(super) fn put_refused(headers: &HeaderMap, refusal: Refusal) -> Problem {
    let failed = |why: String| Problem::new(StatusCode::PRECONDITION_FAILED, "stale", why);
    match refusal {
        Refusal::Exists(name) if headers.contains_key(header::IF_NONE_MATCH) => {
            failed(format!("a pattern `{name}` is there already"))
        }
        Refusal::Exists(name) => missing(&name),
        Refusal::Missing(name) => failed(format!("there is no pattern `{name}`")),
        other => other.into(),
    }
}

fn missing(name: &str) -> Problem {
    let detail = format!(
        "`{name}` is there already: send its ETag as `If-Match`, so that no change of others is lost"
    );
    Problem::new(StatusCode::PRECONDITION_REQUIRED, "if-match-required", detail)
}

/// Tells the revision of what a response shows.
pub(super) fn tag(response: &mut Response, revision: u64) {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{revision}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
}
