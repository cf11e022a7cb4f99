//! What goes wrong, as problem documents (RFC 9457).

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::journal::JournalError;
use crate::pattern::diagnostic::Diagnostics;
use crate::pattern::render::Source;
use crate::pipeline::live::{NotAppended, Refusal};

/// A problem document.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Place>,
    #[serde(skip)]
    retry_after: Option<u32>,
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, Serialize)]
struct Place {
    code: String,
    message: String,
    line: usize,
    column: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
    rendered: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Problem {
        Problem {
            kind: format!("https://sequor.dev/problems/{code}"),
            title: status.canonical_reason().unwrap_or("problem"),
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
        }
    }

    /// Something that nobody asked for went wrong.
    pub(super) fn defect(why: impl std::fmt::Display) -> Problem {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", why.to_string())
    }

    /// Too much at once: later it may go.
    pub(super) fn busy(code: &str, detail: &str) -> Problem {
        Problem { retry_after: Some(1), ..Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail) }
    }

    /// What is wrong with a pattern text.
    pub(super) fn of_text(text: &str, diagnostics: &Diagnostics) -> Problem {
        let source = Source::new("pattern", text);
        let mut problem = Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid-pattern",
            source.render_all(diagnostics, false).trim_end().to_owned(),
        );
        problem.errors = diagnostics
            .iter()
            .map(|diagnostic| {
                let place = source.place(diagnostic.span.start);
                Place {
                    code: diagnostic.code.to_string(),
                    message: diagnostic.message.clone(),
                    line: place.line,
                    column: place.column,
                    help: diagnostic.help.clone(),
                    rendered: source.render(diagnostic, false),
                }
            })
            .collect();
        problem
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after;
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl From<QueryRejection> for Problem {
    fn from(why: QueryRejection) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "invalid-query", why.body_text())
    }
}

impl From<NotAppended> for Problem {
    fn from(why: NotAppended) -> Problem {
        let (status, code, retry_after) = match &why {
            NotAppended::NoStream => (StatusCode::NOT_FOUND, "no-such-stream", None),
            NotAppended::OtherBody => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key", None),
            NotAppended::Storage(error) if matches!(**error, JournalError::TooLarge { .. }) => {
                (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", None)
            }
            NotAppended::Full => (StatusCode::SERVICE_UNAVAILABLE, "busy", Some(1)),
            NotAppended::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping", Some(5)),
            NotAppended::Storage(_) => (StatusCode::SERVICE_UNAVAILABLE, "storage", Some(5)),
        };
        Problem { retry_after, ..Problem::new(status, code, why.to_string()) }
    }
}

impl From<Refusal> for Problem {
    fn from(why: Refusal) -> Problem {
        let (status, code) = match &why {
            Refusal::Exists(_) => (StatusCode::CONFLICT, "exists"),
            Refusal::Missing(_) => (StatusCode::NOT_FOUND, "no-such-pattern"),
            Refusal::NoStream(_) => (StatusCode::NOT_FOUND, "no-such-stream"),
            Refusal::Stale(..) => (StatusCode::PRECONDITION_FAILED, "stale"),
            Refusal::Carry(..) | Refusal::DrainsForEver(_) | Refusal::NothingToCarry(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "state")
            }
            Refusal::TooMany(_) => (StatusCode::UNPROCESSABLE_ENTITY, "too-many-patterns"),
            Refusal::Twice(_) => (StatusCode::UNPROCESSABLE_ENTITY, "twice"),
            Refusal::Storage(_) => (StatusCode::SERVICE_UNAVAILABLE, "storage"),
            Refusal::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        };
        let retry_after = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(5);
        Problem { retry_after, ..Problem::new(status, code, why.to_string()) }
    }
}

pub(super) async fn no_route(uri: Uri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no-such-route", format!("there is nothing at `{}`", uri.path()))
}

pub(super) async fn no_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("`{}` does not take {method}", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", detail)
}
