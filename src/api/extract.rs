//! What handlers take of a request. Where it cannot be read the answer is a problem document.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request, rejection};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, OneOfBuilder, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::auth::Actor;
use super::problem::Problem;
use crate::event::Timestamp;

/// A body of JSON.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Json<T>, Problem> {
        let axum::Json(value) = axum::Json::from_request(request, state).await?;
        Ok(Json(value))
    }
}

/// A body as it is.
#[derive(Debug)]
pub(super) struct Raw(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Raw, Problem> {
        Ok(Raw(Bytes::from_request(request, state).await?))
    }
}

/// The parameters of a query.
#[derive(Debug)]
pub(super) struct Parameters<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Parameters<T>, Problem> {
        let Query(value) = Query::from_request_parts(parts, state).await?;
        Ok(Parameters(value))
    }
}

/// What the path names, percent-decoded.
#[derive(Debug)]
pub(super) struct Named<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Named<T>, Problem> {
        let Path(value) = Path::from_request_parts(parts, state).await?;
        Ok(Named(value))
    }
}

/// Who asks. Whoever checks tokens puts it into the extensions of the request.
#[derive(Debug, Clone)]
pub(super) struct Caller(pub(super) Actor);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Caller, Self::Rejection> {
        Ok(Caller(parts.extensions.get::<Actor>().cloned().unwrap_or_else(Actor::anonymous)))
    }
}

/// The media type of a body, in lower case and without its parameters.
pub(super) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?;
    let essence = value.to_str().unwrap_or("?").split(';').next().unwrap_or_default();
    Some(essence.trim().to_ascii_lowercase())
}

/// An event time: epoch milliseconds, or RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(pub(super) Timestamp);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Moment, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(i64),
            Text(String),
        }
        let form = "a time is a whole number of epoch milliseconds, or RFC 3339 as 2026-11-21T16:30:00Z";
        let text = match Form::deserialize(from).map_err(|_| D::Error::custom(form))? {
            Form::Number(number) => return Ok(Moment(Timestamp(number))),
            Form::Text(text) => text,
        };
        if let Ok(number) = text.parse() {
            return Ok(Moment(Timestamp(number)));
        }
        // A plus sign of an offset is a blank in a query that was not encoded.
        match chrono::DateTime::parse_from_rfc3339(&text.replace(' ', "+")) {
            Ok(time) => Ok(Moment(Timestamp(time.timestamp_millis()))),
            Err(_) => Err(D::Error::custom(form)),
        }
    }
}

impl PartialSchema for Moment {
    fn schema() -> RefOr<Schema> {
        let form = |kind| ObjectBuilder::new().schema_type(SchemaType::new(kind));
        let number = form(Type::Integer).format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)));
        let text = form(Type::String).format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
        OneOfBuilder::new()
            .item(number)
            .item(text)
            .description(Some("An event time: epoch milliseconds, or RFC 3339"))
            .into()
    }
}

impl ToSchema for Moment {}

impl From<rejection::JsonRejection> for Problem {
    fn from(rejection: rejection::JsonRejection) -> Problem {
        let code = match rejection.status() {
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "media-type",
            StatusCode::PAYLOAD_TOO_LARGE => "too-large",
            StatusCode::UNPROCESSABLE_ENTITY => "invalid-body",
            _ => "invalid-json",
        };
        Problem::new(rejection.status(), code, rejection.body_text())
    }
}

impl From<rejection::BytesRejection> for Problem {
    fn from(rejection: rejection::BytesRejection) -> Problem {
        match rejection.status() {
            status @ StatusCode::PAYLOAD_TOO_LARGE => {
                let detail = "the body is larger than `server.max_body` allows: send several";
                Problem::new(status, "too-large", detail)
            }
            status => Problem::new(status, "body", rejection.body_text()),
        }
    }
}

impl From<rejection::QueryRejection> for Problem {
    fn from(rejection: rejection::QueryRejection) -> Problem {
        Problem::new(rejection.status(), "invalid-parameter", rejection.body_text())
    }
}

impl From<rejection::PathRejection> for Problem {
    fn from(rejection: rejection::PathRejection) -> Problem {
        Problem::new(rejection.status(), "invalid-path", rejection.body_text())
    }
}
