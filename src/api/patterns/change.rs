//! Changing patterns, and checking what would be put.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use super::input::{ApplyOptions, Body, EndOptions, Given, New, Options, Several, json, unsupported};
use super::look::answer;
use super::model::{Applied, Checked, CheckedPattern, Listed, Removed, Shown};
use super::precondition::{if_match, of_put, put_refused, required};
use super::{decided, says_wish};
use crate::api::Api;
use crate::api::auth::{may_change, may_change_all};
use crate::api::extract::{Caller, Moment, Named, Parameters, Raw, media_type};
use crate::api::problem::Problem;
use crate::event::Timestamp;
use crate::pipeline::decision::{Budgets, OldState, Properties};
use crate::pipeline::live::{ChangeRequest, Expected, NewProperties, Refusal, Wish};

/// What can go wrong with any change, besides what the routes say of themselves.
type Changed = Result<Response, Problem>;

impl Given {
    fn put(self, state: Option<OldState>, expected: Expected) -> ChangeRequest {
        let Given { name, source, properties } = self;
        ChangeRequest::Put { name, source, properties, state, expected }
    }
}

fn wish(
    changes: Vec<ChangeRequest>,
    from: Option<Timestamp>,
    dry_run: bool,
    Caller(actor): Caller,
) -> Result<Wish, Problem> {
    says_wish(&changes, dry_run);
    changes.iter().try_for_each(|change| may_change(&actor, change.name()))?;
    Ok(Wish { changes, only_these: false, effective_from: from, revision: None, dry_run, by: actor.name })
}

/// New patterns, all of them or none, at one cut
#[utoipa::path(
    post,
    path = "/v1/patterns",
    tag = "patterns",
    params(Options),
    request_body(content((String = "text/plain"), (New = "application/json"))),
    responses(
        (status = 200, body = Listed, description = "what would be there, for a dry run"),
        (status = 201, body = Listed),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn create(
    api: State<Api>,
    Parameters(options): Parameters<Options>,
    caller: Caller,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Changed {
    let body = Body::read(&headers, &body, api.0.0.limits.pattern_bytes)?.with_patterns()?;
    let from = body.effective_from(options.effective_from)?;
    let names: Vec<String> = body.patterns.iter().map(|given| given.name.clone()).collect();
    let puts = body.patterns.into_iter().map(|given| given.put(None, Expected::Absent)).collect();
    let decided = decided(&api, wish(puts, from, options.dry_run, caller)?).await?;
    let shown = |name: &String| Shown::of(&decided.registry, name, decided.frontier);
    let listed =
        Listed { items: names.iter().filter_map(shown).collect(), next: None, warnings: body.warnings };
    let status = if options.dry_run { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(listed)).into_response())
}

/// A new version of a pattern, or a new pattern
///
/// What is there is replaced with `If-Match` only. The same text makes no version.
#[utoipa::path(
    put,
    path = "/v1/patterns/{name}",
    tag = "patterns",
    params(
        ("name" = String, Path, description = "the pattern's name"),
        ("if-match" = Option<String>, Header, description = "the ETag of what is replaced"),
        ("if-none-match" = Option<String>, Header, description = "`*`: only if there is no such pattern"),
        EndOptions
    ),
    request_body(content((String = "text/plain"), (New = "application/json"))),
    responses(
        (status = 200, body = Shown, headers(("etag" = String, description = "for `If-Match`"))),
        (status = 201, body = Shown, headers(("etag" = String, description = "for `If-Match`"))),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 412, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 428, body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn put(
    api: State<Api>,
    Named(name): Named<String>,
    Parameters(options): Parameters<EndOptions>,
    caller: Caller,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Changed {
    let mut body = Body::read(&headers, &body, api.0.0.limits.pattern_bytes)?.with_patterns()?;
    let from = body.effective_from(options.effective_from)?;
    let (Some(mut given), 0) = (body.patterns.pop(), body.patterns.len()) else {
        let detail = "PUT takes the text of one pattern";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "several-patterns", detail));
    };
    if given.name != name {
        let detail = format!("the text is of `{}`, the address of `{name}`", given.name);
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "other-name", detail));
    }
    if body.is_json {
        given.properties = replacing(given.properties);
    }
    let put = given.put(options.state, of_put(&headers)?);
    let decided = decided(&api, wish(vec![put], from, options.dry_run, caller)?).await;
    let decided = decided.map_err(|refusal| put_refused(&headers, refusal))?;
    let shown = Shown::of(&decided.registry, &name, decided.frontier).ok_or(Refusal::Missing(name))?;
    let mut response = answer(shown);
    let is_new =
        decided.outcomes.iter().any(|outcome| outcome.action == crate::pipeline::live::Action::Create);
    if is_new && !options.dry_run {
        *response.status_mut() = StatusCode::CREATED;
    }
    Ok(response)
}

/// Properties of a whole pattern: what is not said is at its default.
fn replacing(given: NewProperties) -> NewProperties {
    let Properties { paused, shadow, labels, suppress, limits } = given.over(Properties::default());
    NewProperties {
        paused: Some(paused),
        shadow: Some(shadow),
        labels: Some(labels),
        suppress: Some(suppress),
        limits: Some(limits),
    }
}

/// No such pattern any more
#[utoipa::path(
    delete,
    path = "/v1/patterns/{name}",
    tag = "patterns",
    params(
        ("name" = String, Path, description = "the pattern's name"),
        ("if-match" = Option<String>, Header, description = "the ETag of what is removed: without it 428"),
        EndOptions
    ),
    responses(
        (status = 200, body = Removed),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 412, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 428, body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn delete(
    api: State<Api>,
    Named(name): Named<String>,
    Parameters(options): Parameters<EndOptions>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Json<Removed>, Problem> {
    there(&api, &name)?;
    let expected = required(&name, &headers)?;
    let remove = ChangeRequest::Remove { name: name.clone(), state: options.state, expected };
    let from = options.effective_from.map(|Moment(time)| time);
    let decided = decided(&api, wish(vec![remove], from, options.dry_run, caller)?).await?;
    let version = decided.outcomes.first().map_or(0, |outcome| outcome.version);
    Ok(Json(Removed { name, version, effective_from: decided.effective_from }))
}

/// The revision and the properties of a pattern that is there.
fn there(State(api): &State<Api>, name: &str) -> Result<(u64, Properties), Refusal> {
    let status = api.0.live.status();
    let found = status.registry.get(name).filter(|pattern| pattern.is_there);
    let found = found.ok_or_else(|| Refusal::Missing(name.to_owned()))?;
    Ok((found.revision, found.properties.clone()))
}

/// What a PATCH may change.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "it only tells the form; a merge patch is merged as JSON")]
pub(super) struct PatternPatch {
    /// Whether it begins no partial match.
    paused: Option<bool>,
    /// Whether its matches go to no sink.
    shadow: Option<bool>,
    /// Labels by name; null takes one away.
    labels: Option<BTreeMap<String, Option<String>>>,
    /// One match per key in this length of event time, as in `10m`; null: every match.
    suppress: Option<String>,
    /// Its own budgets; null takes one away.
    limits: Option<Budgets>,
}

/// Other properties: paused, shadow, labels, suppress, limits
#[utoipa::path(
    patch,
    path = "/v1/patterns/{name}",
    tag = "patterns",
    params(
        ("name" = String, Path, description = "the pattern's name"),
        ("if-match" = Option<String>, Header, description = "the ETag of what is changed: without it 428"),
        Options
    ),
    request_body(content = PatternPatch, content_type = "application/merge-patch+json"),
    responses(
        (status = 200, body = Shown, headers(("etag" = String, description = "for `If-Match`"))),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 412, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 428, body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn patch(
    api: State<Api>,
    Named(name): Named<String>,
    Parameters(options): Parameters<Options>,
    caller: Caller,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Changed {
    if media_type(&headers).as_deref() != Some("application/merge-patch+json") {
        return Err(unsupported("`application/merge-patch+json`"));
    }
    let (revision, before) = there(&api, &name)?;
    match required(&name, &headers)? {
        Expected::OneOf(revisions) if !revisions.contains(&revision) => {
            return Err(Refusal::Stale(name, revision).into());
        }
        _ => {}
    }
    let properties = merged(before, json(&body)?)?;
    // What was merged is of this revision, whatever the client takes.
    let expected = Expected::OneOf(vec![revision]);
    let set = ChangeRequest::Set { name: name.clone(), properties, expected };
    let from = options.effective_from.map(|Moment(time)| time);
    let decided = decided(&api, wish(vec![set], from, options.dry_run, caller)?).await?;
    let shown = Shown::of(&decided.registry, &name, decided.frontier).ok_or(Refusal::Missing(name))?;
    Ok(answer(shown))
}

/// Properties after a merge patch (RFC 7396).
fn merged(before: Properties, patch: Value) -> Result<Properties, Problem> {
    let invalid = |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-body", detail);
    if !patch.is_object() {
        return Err(invalid(String::from(
            "a patch is an object with `paused`, `shadow`, `labels`, `suppress` or `limits`",
        )));
    }
    let mut whole = serde_json::to_value(before).map_err(|error| invalid(error.to_string()))?;
    merge(&mut whole, patch);
    serde_json::from_value(whole).map_err(|error| invalid(error.to_string()))
}

fn merge(whole: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *whole = patch;
        return;
    };
    if !whole.is_object() {
        *whole = Value::Object(serde_json::Map::new());
    }
    let Value::Object(members) = whole else { return };
    for (name, value) in patch {
        if value.is_null() {
            members.remove(&name);
        } else {
            merge(members.entry(name).or_insert(Value::Null), value);
        }
    }
}

/// Makes the patterns equal to a list, at one cut
///
/// Those that are not there are created, those with another text are replaced, those that are not in the list are
/// removed unless `prune=false`. Properties that are not given stay as they are. With `If-Match` only if no pattern has
/// been changed since the list of patterns had this ETag.
#[utoipa::path(
    post,
    path = "/v1/patterns:apply",
    tag = "patterns",
    params(
        ("if-match" = Option<String>, Header, description = "the ETag of the list of patterns"),
        ApplyOptions
    ),
    request_body(content((String = "text/plain"), (Several = "application/json"))),
    responses(
        (status = 200, body = Applied),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 412, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn apply(
    api: State<Api>,
    Parameters(options): Parameters<ApplyOptions>,
    caller: Caller,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Json<Applied>, Problem> {
    let body = Body::read(&headers, &body, api.0.0.limits.pattern_bytes)?.valid()?;
    let from = body.effective_from(options.effective_from)?;
    let put = |given: Given| given.put(options.state, Expected::Any);
    let revision = match if_match(&headers)? {
        Some(Expected::OneOf(revisions)) => Some(*revisions.first().unwrap_or(&u64::MAX)),
        _ => None,
    };
    let changes = body.patterns.into_iter().map(put).collect();
    if options.prune {
        // What is not named may be out of the token's scope.
        may_change_all(&caller.0)?;
    }
    let wish = Wish { only_these: options.prune, revision, ..wish(changes, from, options.dry_run, caller)? };
    let decided = decided(&api, wish).await?;
    Ok(Json(Applied::new(decided, body.warnings)))
}

/// What is wrong with a text, and what is odd; nothing is changed
#[utoipa::path(
    post,
    path = "/v1/patterns:check",
    tag = "patterns",
    request_body(content((String = "text/plain"), (New = "application/json"))),
    responses(
        (status = 200, body = Checked),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 415, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn check(
    State(api): State<Api>,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Json<Checked>, Problem> {
    let Body { patterns, warnings, errors, .. } = Body::read(&headers, &body, api.0.limits.pattern_bytes)?;
    let items = patterns.into_iter().map(|given| CheckedPattern { name: given.name }).collect();
    Ok(Json(Checked { valid: errors.is_empty(), items, errors, warnings }))
}
