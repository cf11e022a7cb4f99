//! Looking inside: what a pattern holds of a key, which patterns hold something of a key, and what a pattern costs.

mod model;

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value as Json;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::model::{Costs, Holders, PartialMatches, Words};
use super::Api;
use super::extract::{Named, Parameters};
use super::page::{a_hundred, check_limit};
use super::problem::Problem;
use crate::event::Value;
use crate::pipeline::live::{AskedKey, HeldPage, Refusal};
use crate::pipeline::registry::Registry;

/// The routes.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(partial_matches)).routes(routes!(cost)).routes(routes!(holders))
}

/// Which partial matches are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Of this key only: a text as it is, or the values of the key's fields as JSON, `["eu",42]` or
    /// `{"region":"eu","host":42}`.
    #[serde(default)]
    key: Option<String>,
    /// How many at most.
    #[serde(default = "a_hundred")]
    #[param(value_type = Option<usize>, minimum = 1, maximum = 1000, default = 100)]
    limit: usize,
    /// Where the list goes on: `next` of the answer before.
    #[serde(default)]
    cursor: Option<String>,
}

/// What is wanted of a key.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Listing {
    /// How many at most.
    #[serde(default = "a_hundred")]
    #[param(value_type = Option<usize>, minimum = 1, maximum = 1000, default = 100)]
    limit: usize,
    /// Where the list goes on: `next` of the answer before.
    #[serde(default)]
    cursor: Option<String>,
}

/// The partial matches of a pattern, of one key or over its keys
///
/// Without `key`, of each key the first 10 are listed.
#[utoipa::path(
    get,
    path = "/v1/patterns/{name}/partial-matches",
    tag = "patterns",
    params(("name" = String, Path, description = "the pattern's name"), Wanted),
    responses(
        (status = 200, body = PartialMatches),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json")
    )
)]
async fn partial_matches(
    State(api): State<Api>,
    Named(name): Named<String>,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<axum::Json<PartialMatches>, Problem> {
    check_limit(wanted.limit)?;
    let registry = &api.0.live.status().registry;
    let last = words_of(registry, &name, None)?;
    let key = wanted.key.as_deref().map(key_of).transpose()?;
    let (page, next) = match key {
        Some(key) => {
            let skip = wanted.cursor.as_deref().map_or(Some(0), |cursor| cursor.parse().ok());
            let skip: u64 = skip.ok_or_else(no_cursor)?;
            let page = api.0.live.held_of(&name, key.clone(), skip, wanted.limit).await?;
            if page.keys.is_empty() {
                last.takes_key(&name, &key)?;
            }
            let shown: usize = page.keys.iter().map(|key| key.items.len()).sum();
            let next = page.is_more.then(|| (skip.saturating_add(shown as u64)).to_string());
            (page, next)
        }
        None => {
            let after = wanted.cursor.map(|cursor| URL_SAFE_NO_PAD.decode(cursor)).transpose();
            let page = api.0.live.held(&name, after.map_err(|_| no_cursor())?, wanted.limit).await?;
            let next = page.last.as_ref().filter(|_| page.is_more).map(|last| URL_SAFE_NO_PAD.encode(last));
            (page, next)
        }
    };
    let words = words_of_all(registry, &page)?;
    Ok(axum::Json(PartialMatches::new(page, &words, next)))
}

/// The patterns that hold something of a key
#[utoipa::path(
    get,
    path = "/v1/keys/{key}",
    tag = "patterns",
    params(
        ("key" = String, Path, description = "a text as it is, or the values of the key's fields as JSON: `[\"eu\",42]`, or \
            `{\"region\":\"eu\",\"host\":42}` for the patterns with these fields; `[]` is the key of patterns without one"),
        Listing
    ),
    responses(
        (status = 200, body = Holders),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json")
    )
)]
async fn holders(
    State(api): State<Api>,
    Named(key): Named<String>,
    Parameters(wanted): Parameters<Listing>,
) -> Result<axum::Json<Holders>, Problem> {
    check_limit(wanted.limit)?;
    let key = key_of(&key)?;
    let after = wanted.cursor.map(|cursor| {
        let (version, name) = cursor.split_once('.')?;
        let name = String::from_utf8(URL_SAFE_NO_PAD.decode(name).ok()?).ok()?;
        Some((name, version.parse().ok()?))
    });
    let after = after.map(|after| after.ok_or_else(no_cursor)).transpose()?;
    let page = api.0.live.holders(key, after, wanted.limit).await?;
    let last = page.keys.last().filter(|_| page.is_more);
    let next = last.map(|last| format!("{}.{}", last.version, URL_SAFE_NO_PAD.encode(&last.pattern)));
    Ok(axum::Json(Holders::new(page, next)))
}

/// What a pattern costs and holds
///
/// Of a pattern with many keys, what they hold is estimated from some of them.
#[utoipa::path(
    get,
    path = "/v1/patterns/{name}/cost",
    tag = "patterns",
    params(("name" = String, Path, description = "the pattern's name")),
    responses(
        (status = 200, body = Costs),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json")
    )
)]
async fn cost(State(api): State<Api>, Named(name): Named<String>) -> Result<axum::Json<Costs>, Problem> {
    let known = api.0.live.status().registry.get(&name).is_some();
    if !known {
        return Err(Refusal::Missing(name).into());
    }
    Ok(axum::Json(Costs::new(api.0.live.cost(&name).await?)))
}

fn no_cursor() -> Problem {
    invalid("`cursor` is no `next` of such a list")
}

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid-parameter", detail)
}

/// A key that stands in a URL.
fn key_of(text: &str) -> Result<AskedKey, Problem> {
    let form = "a key is a text, or JSON with a text, a number, true or false for each field: `[\"eu\",42]` or \
                `{\"region\":\"eu\",\"host\":42}`";
    let wrong = |error: serde_json::Error| invalid(format!("{form}: {error}"));
    let value = |value: Json| {
        Some(match value {
            Json::Bool(value) => Value::Bool(value),
            Json::String(value) => Value::Str(value.into()),
            Json::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(value), _) => Value::Int(value),
                (None, Some(value)) => Value::UInt(value),
                (None, None) => Value::Float(number.as_f64()?),
            },
            _ => return None,
        })
    };
    let key = match text.as_bytes().first() {
        Some(b'[') => {
            let values: Vec<Json> = serde_json::from_str(text).map_err(wrong)?;
            values.into_iter().map(value).collect::<Option<_>>().map(AskedKey::Values)
        }
        Some(b'{') => {
            let values: BTreeMap<String, Json> = serde_json::from_str(text).map_err(wrong)?;
            let fields = values.into_iter().map(|(name, of)| Some((name, value(of)?)));
            fields.collect::<Option<_>>().map(AskedKey::Fields)
        }
        _ => Some(AskedKey::Values(vec![Value::Str(text.to_owned().into())])),
    };
    key.ok_or_else(|| invalid(form))
}

/// The words of a version of a pattern, or of its last one.
fn words_of(registry: &Registry, name: &str, version: Option<u64>) -> Result<Words, Problem> {
    let pattern = registry.get(name).ok_or_else(|| Refusal::Missing(name.to_owned()))?;
    let found = pattern.versions.iter().rfind(|known| version.is_none_or(|number| known.number == number));
    Ok(found.map_or_else(Words::default, |found| Words::new(&found.source)))
}

/// The words of all versions on a page.
fn words_of_all(registry: &Registry, page: &HeldPage) -> Result<BTreeMap<u64, Words>, Problem> {
    let mut words = BTreeMap::new();
    for key in &page.keys {
        if let std::collections::btree_map::Entry::Vacant(entry) = words.entry(key.version) {
            entry.insert(words_of(registry, &key.pattern, Some(key.version))?);
        }
    }
    Ok(words)
}
