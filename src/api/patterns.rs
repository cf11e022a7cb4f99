//! Patterns: put, looked at, and removed while events pass.

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::Api;
use super::auth::{Actor, may_change};
use super::problem::Problem;
use crate::event::Timestamp;
use crate::pattern::{self, compile};
use crate::pipeline::decision::{OldState, Properties};
use crate::pipeline::live::{ChangeRequest, Decided, Effective, Refusal};
use crate::pipeline::registry::Pattern;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    #[serde(default)]
    effective_from: Option<i64>,
    #[serde(default)]
    state: Option<OldState>,
    #[serde(default)]
    dry_run: bool,
}

impl Options {
    fn effective(&self) -> Effective {
        self.effective_from.map_or(Effective::Now, |time| Effective::From(Timestamp(time)))
    }
}

fn shown(name: &str, pattern: &Pattern, frontier: Option<Timestamp>) -> Value {
    let Some(version) = pattern.current() else { return Value::Null };
    let begins = version.effective_from.is_none()
        || version.effective_from <= frontier.map(|f| Timestamp(f.0.saturating_add(1)));
    json!({
        "name": name,
        "version": version.number,
        "effective_from": version.effective_from,
        "state": if !begins { "scheduled" } else if pattern.properties.paused { "paused" } else { "active" },
        "source": version.source,
        "labels": pattern.properties.labels,
        "shadow": pattern.properties.shadow,
        "revision": pattern.revision,
        "created_by": version.by,
        "created_at": version.at,
    })
}

/// The patterns of a text, each with its own part of it.
fn texts(text: &str) -> Result<Vec<(String, String)>, Problem> {
    let compiled = compile(text, &pattern::Limits::default());
    if compiled.diagnostics.has_errors() {
        return Err(Problem::of_text(text, &compiled.diagnostics));
    }
    let patterns = &compiled.file.patterns;
    let mut from = 0;
    let mut texts = Vec::with_capacity(patterns.len());
    for (place, pattern) in patterns.iter().enumerate() {
        // What stands before a pattern belongs to it; what follows the last one as well.
        let to = if place + 1 == patterns.len() { text.len() } else { pattern.span.end as usize };
        texts.push((pattern.name.text.clone(), text[from..to].trim().to_owned()));
        from = to;
    }
    if texts.is_empty() {
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "no-pattern",
            "the text holds no pattern",
        ));
    }
    Ok(texts)
}

async fn decided(
    api: &Api,
    actor: &Actor,
    changes: Vec<ChangeRequest>,
    effective: Effective,
) -> Result<Decided, Problem> {
    changes.iter().try_for_each(|change| may_change(actor, change.name()))?;
    let (reply, answer) = oneshot::channel();
    api.0.live.change(changes, effective, &actor.name, move |result| _ = reply.send(result));
    Ok(answer.await.unwrap_or(Err(Refusal::Stopping))?)
}

fn listed(api: &Api, names: impl Iterator<Item = String>) -> Value {
    let status = api.0.live.status();
    let items: Vec<Value> =
        names.filter_map(|name| Some(shown(&name, status.registry.get(&name)?, status.frontier))).collect();
    json!({ "items": items, "next": null })
}

pub(super) async fn list(State(api): State<Api>) -> Json<Value> {
    let status = api.0.live.status();
    Json(listed(&api, status.registry.iter().map(|(name, _)| name.to_owned())))
}

pub(super) async fn create(
    State(api): State<Api>,
    Extension(actor): Extension<Actor>,
    Query(options): Query<Options>,
    text: String,
) -> Result<Response, Problem> {
    if text.len() > api.0.limits.pattern_bytes {
        let detail = format!("a pattern text has {} bytes at most", api.0.limits.pattern_bytes);
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "text-too-long", detail));
    }
    let texts = texts(&text)?;
    if options.dry_run {
        let items: Vec<Value> =
            texts.iter().map(|(name, source)| json!({ "name": name, "source": source })).collect();
        return Ok(Json(json!({ "items": items, "next": null })).into_response());
    }
    let create = |(name, source): &(String, String)| ChangeRequest::Create {
        name: name.clone(),
        source: source.clone(),
        properties: Properties::default(),
    };
    decided(&api, &actor, texts.iter().map(create).collect(), options.effective()).await?;
    let body = listed(&api, texts.into_iter().map(|(name, _)| name));
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

fn one(api: &Api, name: &str) -> Result<Response, Problem> {
    let status = api.0.live.status();
    let pattern = status.registry.get(name).filter(|pattern| pattern.is_there);
    let pattern = pattern.ok_or_else(|| Problem::from(Refusal::Missing(name.to_owned())))?;
    let mut response = Json(shown(name, pattern, status.frontier)).into_response();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", pattern.revision)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

pub(super) async fn get(State(api): State<Api>, Path(name): Path<String>) -> Result<Response, Problem> {
    one(&api, &name)
}

/// The revision that a request is to replace.
fn revision(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(tag) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let tag = tag.to_str().ok().and_then(|tag| tag.trim().trim_matches('"').parse().ok());
    tag.map(Some).ok_or_else(|| {
        Problem::new(StatusCode::PRECONDITION_FAILED, "stale", "`If-Match` is no ETag of a pattern")
    })
}

fn required(name: &str, revision: Option<u64>) -> Result<u64, Problem> {
    revision.ok_or_else(|| {
        let detail = format!(
            "`{name}` is there already: send its ETag as `If-Match`, so that no change of others is lost"
        );
        Problem::new(StatusCode::PRECONDITION_REQUIRED, "if-match-required", detail)
    })
}

pub(super) async fn put(
    State(api): State<Api>,
    Extension(actor): Extension<Actor>,
    Path(name): Path<String>,
    Query(options): Query<Options>,
    headers: HeaderMap,
    text: String,
) -> Result<Response, Problem> {
    let mut texts = texts(&text)?;
    let (Some((found, source)), 0) = (texts.pop(), texts.len()) else {
        let detail = "PUT takes the text of one pattern";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "several-patterns", detail));
    };
    if found != name {
        let detail = format!("the text is of `{found}`, the address of `{name}`");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "other-name", detail));
    }
    let is_there = api.0.live.status().registry.get(&name).is_some_and(|pattern| pattern.is_there);
    let revision = revision(&headers)?;
    if is_there {
        required(&name, revision)?;
    }
    let put =
        ChangeRequest::Put { name: name.clone(), source, properties: None, state: options.state, revision };
    decided(&api, &actor, vec![put], options.effective()).await?;
    let mut response = one(&api, &name)?;
    if !is_there {
        *response.status_mut() = StatusCode::CREATED;
    }
    Ok(response)
}

pub(super) async fn delete(
    State(api): State<Api>,
    Extension(actor): Extension<Actor>,
    Path(name): Path<String>,
    Query(options): Query<Options>,
    headers: HeaderMap,
) -> Result<Json<Value>, Problem> {
    let revision = required(&name, revision(&headers)?)?;
    let remove = ChangeRequest::Remove { name: name.clone(), state: options.state, revision };
    let decided = decided(&api, &actor, vec![remove], options.effective()).await?;
    Ok(Json(json!({ "name": name, "effective_from": decided.effective_from })))
}
