//! Looking at patterns and at their versions.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use utoipa::IntoParams;

use super::model::{Listed, Shown, ShownVersion, Versions};
use super::precondition::tag;
use crate::api::Api;
use crate::api::extract::{Named, Parameters};
use crate::api::page::{a_hundred, check_limit};
use crate::api::problem::Problem;
use crate::pipeline::live::Refusal;
use crate::pipeline::registry::{Pattern, Registry};

/// Which patterns are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// How many at most.
    #[serde(default = "a_hundred")]
    #[param(value_type = Option<usize>, minimum = 1, maximum = 1000, default = 100)]
    limit: usize,
    /// Where the list goes on: `next` of the answer before.
    #[serde(default)]
    cursor: Option<String>,
    /// Only those with this label, as in `team=fraud`; without a `=`, those with any value of it.
    #[serde(default)]
    label: Option<String>,
}

/// The patterns that are there, in the order of their names
#[utoipa::path(
    get,
    path = "/v1/patterns",
    tag = "patterns",
    params(Wanted),
    responses(
        (status = 200, body = Listed, headers(("etag" = String, description = "of all patterns together"))),
        (status = 400, body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn list(
    State(api): State<Api>,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Response, Problem> {
    let invalid = |detail: &str| Problem::new(StatusCode::BAD_REQUEST, "invalid-parameter", detail);
    check_limit(wanted.limit)?;
    let status = api.0.live.status();
    let cursor = wanted.cursor.map(|cursor| {
        let name = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|name| String::from_utf8(name).ok());
        name.ok_or_else(|| invalid("`cursor` is no `next` of a list of patterns"))
    });
    // Before all names comes the empty one, which none has.
    let cursor = cursor.transpose()?.unwrap_or_default();
    let label = wanted.label.as_deref().map(|label| match label.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (label, None),
    });
    let is_wanted = |pattern: &Pattern| {
        label.is_none_or(|(name, value)| {
            let found = pattern.properties.labels.get(name);
            found.is_some_and(|found| value.is_none_or(|value| value == found))
        })
    };
    let mut found = status.registry.after(&cursor).filter(|(_, pattern)| is_wanted(pattern)).peekable();
    let mut items = Vec::new();
    let mut last = None;
    while items.len() < wanted.limit
        && let Some((name, pattern)) = found.next()
    {
        let shown = Shown::new(name, pattern, status.frontier);
        items.extend(shown.map(|shown| shown.with(status.dropped.get(name))));
        last = Some(name);
    }
    let next = last.filter(|_| found.peek().is_some()).map(|name| URL_SAFE_NO_PAD.encode(name));
    let mut response = Json(Listed { items, next, warnings: Vec::new() }).into_response();
    tag(&mut response, status.registry.revision());
    Ok(response)
}

/// A pattern
#[utoipa::path(
    get,
    path = "/v1/patterns/{name}",
    tag = "patterns",
    params(("name" = String, Path, description = "the pattern's name")),
    responses(
        (status = 200, body = Shown, headers(("etag" = String, description = "for `If-Match`"))),
        (status = 404, body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn get(State(api): State<Api>, Named(name): Named<String>) -> Result<Response, Problem> {
    let status = api.0.live.status();
    let dropped = status.dropped.get(&name);
    let shown = Shown::of(&status.registry, &name, status.frontier);
    let shown = shown.ok_or_else(|| Refusal::Missing(name.clone()))?;
    Ok(answer(shown.with(dropped)))
}

/// An answer that shows a pattern.
pub(super) fn answer(shown: Shown) -> Response {
    let revision = shown.revision;
    let mut response = Json(shown).into_response();
    tag(&mut response, revision);
    response
}

/// A pattern by its name, also one that was removed.
pub(super) fn known<'a>(registry: &'a Registry, name: &str) -> Result<&'a Pattern, Problem> {
    registry.get(name).ok_or_else(|| Refusal::Missing(name.to_owned()).into())
}

/// All versions of a pattern, also of one that was removed
#[utoipa::path(
    get,
    path = "/v1/patterns/{name}/versions",
    tag = "patterns",
    params(("name" = String, Path, description = "the pattern's name")),
    responses(
        (status = 200, body = Versions),
        (status = 404, body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn versions(
    State(api): State<Api>,
    Named(name): Named<String>,
) -> Result<Json<Versions>, Problem> {
    let status = api.0.live.status();
    let pattern = known(&status.registry, &name)?;
    let shown = |version| ShownVersion::new(&name, pattern, version, status.frontier);
    Ok(Json(Versions { items: pattern.versions.iter().map(shown).collect(), next: None }))
}

/// A version of a pattern, also of one that was removed
#[utoipa::path(
    get,
    path = "/v1/patterns/{name}/versions/{version}",
    tag = "patterns",
    params(
        ("name" = String, Path, description = "the pattern's name"),
        ("version" = u64, Path, description = "its number, from 1")
    ),
    responses(
        (status = 200, body = ShownVersion),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn version(
    State(api): State<Api>,
    Named((name, number)): Named<(String, u64)>,
) -> Result<Json<ShownVersion>, Problem> {
    let status = api.0.live.status();
    let pattern = known(&status.registry, &name)?;
    let version = pattern.versions.iter().find(|version| version.number == number);
    let version = version.ok_or_else(|| no_version(&name, number))?;
    Ok(Json(ShownVersion::new(&name, pattern, version, status.frontier)))
}

/// There is no such version.
pub(super) fn no_version(name: &str, number: u64) -> Problem {
    let detail = format!("there is no version {number} of `{name}`");
    Problem::new(StatusCode::NOT_FOUND, "no-such-version", detail)
}
