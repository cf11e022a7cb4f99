//! The audit: every request that was to change something is noted, who sent it and what came of it, also where it was refused.

mod log;

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use self::log::Entry;
use super::Api;
use super::around::REQUEST_ID;
use super::auth::table::{Rule, rule_of};
use super::auth::{Actor, Role, wall_clock};
use super::extract::Parameters;
use super::problem::{Code, Problem};

pub use self::log::Audit;

/// Of a longer path no more is noted, in characters.
const PATH_LEN_MAX: usize = 512;

tokio::task_local! {
    static WHAT: RefCell<Option<Value>>;
}

/// The address that a request came from. Whoever accepts connections puts it into the extensions of the request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// Says what the request that is being answered changes; the last word counts.
pub(super) fn says(what: Value) {
    let _ = WHAT.try_with(|said| said.replace(Some(what)));
}

/// Notes a request that is to change something, before its answer leaves.
pub(super) async fn audit(
    State(audit): State<Arc<Audit>>,
    matched: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let rule = matched.and_then(|path| rule_of(request.method(), path.as_str()));
    let Some(rule) = rule.filter(|rule| rule.is_mutation()) else { return next.run(request).await };
    let entry = begun(rule, &request);
    // A client that goes away does not undo what it asked for: that goes on, and is noted.
    let answering = tokio::spawn(async move {
        let answered = async {
            let response = next.run(request).await;
            (response, WHAT.with(RefCell::take))
        };
        let (response, what) = WHAT.scope(RefCell::default(), answered).await;
        let entry = Entry { what, ..ended(entry, &response) };
        let counts = rule.least == Some(Role::Ingest) || matches!(entry.status, 401 | 403);
        let due = audit.due(entry, counts);
        if !due.is_empty() {
            // What cannot be written has been told.
            let _ = tokio::task::spawn_blocking(move || audit.write(due)).await;
        }
        response
    });
    answering.await.unwrap_or_else(|_| {
        let detail = "this is a defect of sequor: its log tells more";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail).into_response()
    })
}

fn begun(rule: &Rule, request: &Request) -> Entry {
    Entry {
        at: 0,
        who: None,
        from: request.extensions().get::<Peer>().map(|peer| peer.0),
        method: rule.method.to_owned(),
        route: rule.path.to_owned(),
        path: request.uri().path().chars().take(PATH_LEN_MAX).collect(),
        what: None,
        status: 0,
        problem: None,
        request_id: None,
        requests: 1,
    }
}

fn ended(entry: Entry, response: &Response) -> Entry {
    let said = response.extensions();
    let id = response.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok());
    Entry {
        at: wall_clock(),
        who: said.get::<Actor>().map(|actor| actor.name.clone()),
        status: response.status().as_u16(),
        problem: said.get::<Code>().map(|code| code.0.to_string()),
        request_id: id.map(str::to_owned),
        ..entry
    }
}

/// Which entries are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// How many at most, up to 1000; 100 where it is not given.
    #[serde(default)]
    limit: Option<usize>,
    /// Where the list goes on: `next` of the answer before.
    #[serde(default)]
    after: Option<u64>,
}

/// Entries of the audit log.
#[derive(Serialize, ToSchema)]
pub(super) struct Entries {
    /// Newest first.
    items: Vec<Numbered>,
    /// Where the list goes on.
    next: Option<String>,
}

/// An entry with its number.
#[derive(Serialize, ToSchema)]
struct Numbered {
    /// Counts from 0.
    number: u64,
    #[serde(flatten)]
    entry: Entry,
}

/// Who asked for which changes, and what came of it; newest first
///
/// What comes in great numbers (events, heartbeats, requests without the right to change something) is written when it
/// comes first, and counted from then on.
#[utoipa::path(
    get,
    path = "/v1/audit",
    tag = "audit",
    params(Wanted),
    responses(
        (status = 200, body = Entries),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 500, body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn list(
    State(api): State<Api>,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Json<Entries>, Problem> {
    let limit = wanted.limit.unwrap_or(100).clamp(1, 1000);
    let read = tokio::task::spawn_blocking(move || {
        let audit = &api.0.audit;
        audit.flush();
        audit.list(wanted.after.unwrap_or(u64::MAX), limit)
    });
    let failed = |why: String| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "audit", why);
    let entries = read.await.map_err(|error| failed(error.to_string()))?;
    let entries = entries.map_err(|error| failed(error.to_string()))?;
    let next = entries.last().filter(|(number, _)| entries.len() == limit && *number > 0);
    let next = next.map(|(number, _)| number.to_string());
    let items = entries.into_iter().map(|(number, entry)| Numbered { number, entry }).collect();
    Ok(Json(Entries { items, next }))
}
