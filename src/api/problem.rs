//! What goes wrong, as problem documents (RFC 9457).

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::around;
use crate::journal::JournalError;
use crate::pattern::diagnostic::{Diagnostic, Diagnostics};
use crate::pattern::render::Source;
use crate::pipeline::live::{NotAppended, Refusal, Unanswered};

/// A problem document (RFC 9457).
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Problem {
    /// What kind of problem it is: a URL of the documentation.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    kind: Box<str>,
    /// The status in words.
    title: &'static str,
    /// The status.
    status: u16,
    /// What is wrong.
    detail: String,
    /// The id of the request, as in the header `x-request-id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    request_id: Option<Box<str>>,
    /// What is wrong with a pattern text, place by place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Place>,
    #[serde(skip)]
    #[schema(ignore)]
    retry_after: Option<u32>,
}

/// In the extensions of an answer: what kind of problem it is.
#[derive(Debug, Clone)]
pub(super) struct Code(pub(super) Box<str>);

/// One thing that is wrong with a text, or odd, and where. Lines and columns (in characters) count from 1.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Place {
    /// The code of the diagnostic.
    code: String,
    /// What is wrong.
    message: String,
    /// In a JSON body, which text it is about (RFC 6901).
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<String>,
    /// Where it begins.
    line: usize,
    /// Where it begins.
    column: usize,
    /// The first place behind it.
    end: End,
    /// What may help.
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
    /// All of it with an excerpt of the text, for people.
    rendered: String,
}

/// A place in a text.
#[derive(Debug, Clone, Serialize, ToSchema)]
struct End {
    line: usize,
    column: usize,
}

/// What diagnostics say about a text: its errors, or its warnings.
pub(super) fn places(
    text: &str,
    diagnostics: &Diagnostics,
    errors: bool,
    pointer: Option<&str>,
) -> Vec<Place> {
    let source = Source::new("pattern", text);
    let place = |diagnostic: &Diagnostic| {
        let (start, end) = (source.place(diagnostic.span.start), source.place(diagnostic.span.end));
        Place {
            code: diagnostic.code.to_owned(),
            message: diagnostic.message.clone(),
            pointer: pointer.map(str::to_owned),
            line: start.line,
            column: start.column,
            end: End { line: end.line, column: end.column },
            help: diagnostic.help.clone(),
            rendered: source.render(diagnostic, false),
        }
    };
    diagnostics.iter().filter(|diagnostic| diagnostic.is_error() == errors).map(place).collect()
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Problem {
        Problem {
            kind: format!("https://sequor.dev/problems/{code}").into(),
            title: status.canonical_reason().unwrap_or("problem"),
            status: status.as_u16(),
            detail: detail.into(),
            request_id: None,
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

    /// What is wrong with pattern texts.
    pub(super) fn of_texts(errors: Vec<Place>) -> Problem {
        let detail = errors.iter().map(|place| place.rendered.trim_end()).collect::<Vec<_>>().join("\n\n");
        Problem { errors, ..Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-pattern", detail) }
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        self.request_id = around::request_id().map(String::into_boxed_str);
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = self.retry_after;
        let code = self.kind.rsplit('/').next().unwrap_or_default().into();
        let mut response = (status, Json(self)).into_response();
        response.extensions_mut().insert(Code(code));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl From<NotAppended> for Problem {
    fn from(why: NotAppended) -> Problem {
        let (status, code, retry_after) = match &why {
            NotAppended::NoStream(_) => (StatusCode::NOT_FOUND, "no-such-stream", None),
            NotAppended::OtherBody => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key", None),
            NotAppended::Storage(error) if matches!(**error, JournalError::TooLarge { .. }) => {
                (StatusCode::PAYLOAD_TOO_LARGE, "too-large", None)
            }
            NotAppended::Full => (StatusCode::SERVICE_UNAVAILABLE, "busy", Some(1)),
            NotAppended::Crowded(_) => (StatusCode::SERVICE_UNAVAILABLE, "crowded", Some(1)),
            NotAppended::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping", Some(5)),
            NotAppended::Storage(_) => (StatusCode::SERVICE_UNAVAILABLE, "storage", Some(5)),
        };
        Problem { retry_after, ..Problem::new(status, code, why.to_string()) }
    }
}

impl From<Unanswered> for Problem {
    fn from(why: Unanswered) -> Problem {
        let (code, seconds) = match why {
            Unanswered::Busy => ("busy", 1),
            Unanswered::Stopping => ("stopping", 5),
        };
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, why.to_string());
        Problem { retry_after: Some(seconds), ..problem }
    }
}

impl From<Refusal> for Problem {
    fn from(why: Refusal) -> Problem {
        let (status, code) = match &why {
            Refusal::Exists(_) => (StatusCode::CONFLICT, "exists"),
            Refusal::Missing(_) => (StatusCode::NOT_FOUND, "no-such-pattern"),
            Refusal::NoStream(_) => (StatusCode::NOT_FOUND, "no-such-stream"),
            Refusal::Stale(..) | Refusal::StaleAll => (StatusCode::PRECONDITION_FAILED, "stale"),
            Refusal::Carry(..) | Refusal::DrainsForEver(_) | Refusal::NothingToCarry(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, "state")
            }
            Refusal::TooMany(_) => (StatusCode::UNPROCESSABLE_ENTITY, "too-many-patterns"),
            Refusal::Twice(_) => (StatusCode::UNPROCESSABLE_ENTITY, "twice"),
            Refusal::Storage(_) | Refusal::NoCheckpoint => (StatusCode::SERVICE_UNAVAILABLE, "storage"),
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
