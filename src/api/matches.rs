//! Matches: the newest first or the oldest, filtered; and as a stream that goes on where a client left off.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::extract::{Moment, Parameters};
use super::page::{self, Direction, Page, a_hundred};
use super::problem::Problem;
use crate::event::Timestamp;
use crate::journal::{JournalError, Tail};
use crate::pipeline::live::Handle;

/// How often a stream on which nothing happens says that it is there.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Lines that are read for a client before it gets them, and their bytes.
const AHEAD_LINES: usize = 1_000;
const AHEAD_BYTES: usize = 256 << 10;

/// Which matches are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Only those of this pattern.
    pattern: Option<String>,
    /// Only those of this key: `name=value`, or an object of JSON.
    key: Option<String>,
    /// Only one of both.
    #[param(inline)]
    kind: Option<Kind>,
    /// Only those whose `end` is not before this.
    #[param(value_type = Option<Moment>)]
    from: Option<Moment>,
    /// Only those whose `end` is before this.
    #[param(value_type = Option<Moment>)]
    to: Option<Moment>,
    /// How many at most.
    #[serde(default = "a_hundred")]
    #[param(value_type = Option<usize>, minimum = 1, maximum = 1000, default = 100)]
    limit: usize,
    /// Where the list goes on: `next` of the answer before.
    cursor: Option<u64>,
    /// Which come first.
    #[serde(default)]
    #[param(inline, required = false)]
    order: Direction,
}

/// Which matches are followed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Followed {
    /// Only those of this pattern.
    pattern: Option<String>,
    /// Only those of this key: `name=value`, or an object of JSON.
    key: Option<String>,
    /// Only one of both.
    #[param(inline)]
    kind: Option<Kind>,
    /// On from behind this one, where the header `Last-Event-ID` does not say it. Without both: those found from now on.
    last_event_id: Option<u64>,
}

/// What was found: a match, or a partial match whose time was up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Match,
    Timeout,
}

/// Which lines are wanted.
#[derive(Debug, Default)]
struct Filter {
    pattern: Option<String>,
    kind: Option<Kind>,
    /// Parts of the key with their values.
    key: BTreeMap<String, Part>,
    from: Option<Moment>,
    to: Option<Moment>,
}

/// The value of a part of a key.
#[derive(Debug)]
enum Part {
    Json(Value),
    /// A text, or whatever is written so.
    Written(String),
}

/// What of a line decides whether it is wanted.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    pattern: Cow<'a, str>,
    kind: Kind,
    #[serde(borrow)]
    key: &'a RawValue,
    end: Timestamp,
}

impl Filter {
    fn new(pattern: Option<String>, kind: Option<Kind>, key: Option<&str>) -> Result<Filter, Problem> {
        let wrong = |detail: &str| Problem::new(StatusCode::BAD_REQUEST, "invalid-parameter", detail);
        let key = match key {
            None => BTreeMap::new(),
            Some(text) if text.trim_start().starts_with('{') => {
                let parts: BTreeMap<String, Value> = serde_json::from_str(text)
                    .map_err(|error| wrong(&format!("`key` is no JSON object: {error}")))?;
                parts.into_iter().map(|(name, value)| (name, Part::Json(value))).collect()
            }
            Some(text) => {
                let (name, value) =
                    text.split_once('=').ok_or_else(|| wrong("`key` is a JSON object, or `name=value`"))?;
                BTreeMap::from([(name.to_owned(), Part::Written(value.to_owned()))])
            }
        };
        Ok(Filter { pattern, kind, key, from: None, to: None })
    }

    fn takes_all(&self) -> bool {
        let Filter { pattern, kind, key, from, to } = self;
        pattern.is_none() && kind.is_none() && key.is_empty() && from.is_none() && to.is_none()
    }

    fn takes(&self, line: &[u8]) -> bool {
        if self.takes_all() {
            return true;
        }
        let Ok(line) = serde_json::from_slice::<Line<'_>>(line) else { return false };
        self.pattern.as_ref().is_none_or(|pattern| *pattern == line.pattern)
            && self.kind.is_none_or(|kind| kind == line.kind)
            && self.from.is_none_or(|Moment(from)| line.end >= from)
            && self.to.is_none_or(|Moment(to)| line.end < to)
            && self.takes_key(line.key)
    }

    fn takes_key(&self, key: &RawValue) -> bool {
        if self.key.is_empty() {
            return true;
        }
        let Ok(there) = serde_json::from_str::<BTreeMap<String, Value>>(key.get()) else { return false };
        self.key.iter().all(|(name, wanted)| match (there.get(name), wanted) {
            (None, _) => false,
            (Some(value), Part::Json(wanted)) => value == wanted,
            (Some(Value::String(value)), Part::Written(wanted)) => value == wanted,
            (Some(value), Part::Written(wanted)) => {
                serde_json::to_string(value).is_ok_and(|value| value == *wanted)
            }
        })
    }
}

/// Lists matches, the newest first
#[utoipa::path(
    get,
    path = "/v1/matches",
    tag = "matches",
    params(Wanted),
    responses(
        (status = 200, body = Page<Value>),
        (status = 400, body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn list(
    State(api): State<Api>,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<Json<Page<Box<RawValue>>>, Problem> {
    let (order, cursor, limit) = (wanted.order, wanted.cursor, wanted.limit);
    page::check_limit(limit)?;
    let filter = Filter::new(wanted.pattern, wanted.kind, wanted.key.as_deref())?;
    let filter = Filter { from: wanted.from, to: wanted.to, ..filter };
    let take = move |_, _: &[u8], line: &[u8]| if filter.takes(line) { page::raw(line) } else { None };
    page::answer(api.0.live.matches(), order, cursor, limit, take).await
}

/// Follows matches as they are found (server-sent events)
///
/// Each is an event `match` with its number as `id`. Where matches were deleted before they were read, an event `gap` says which.
#[utoipa::path(
    get,
    path = "/v1/matches/stream",
    tag = "matches",
    params(
        Followed,
        ("last-event-id" = Option<u64>, Header, description = "on from behind this one")
    ),
    responses(
        (status = 200, body = String, content_type = "text/event-stream"),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn follow(
    State(api): State<Api>,
    Parameters(wanted): Parameters<Followed>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let filter = Filter::new(wanted.pattern, wanted.kind, wanted.key.as_deref())?;
    let last = match headers.get("last-event-id").map(|id| id.to_str().ok().and_then(|id| id.parse().ok())) {
        None => wanted.last_event_id,
        Some(Some(id)) => Some(id),
        Some(None) => {
            let detail = "`Last-Event-ID` is the `id` of a match of this stream";
            return Err(Problem::new(StatusCode::BAD_REQUEST, "last-event-id", detail));
        }
    };
    let Ok(permit) = Arc::clone(&api.0.sse_clients).try_acquire_owned() else {
        let detail = "as many streams of matches are open as may be (`server.max_sse_clients`)";
        return Err(Problem::busy("too-many-streams", detail));
    };
    let live = api.0.live.clone();
    let log = live.matches();
    let next = last.map_or(log.next(), |last: u64| last.saturating_add(1).min(log.next()));
    let client = Client { next, live, filter: Arc::new(filter), ahead: VecDeque::new(), _permit: permit };
    let events = stream::unfold(client, |mut client| async move {
        let event = client.event().await?;
        Some((Ok::<_, Infallible>(event), client))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("heartbeat")).into_response())
}

/// A client that follows. It reads the log at its own pace, and holds a few lines at most.
struct Client {
    live: Handle,
    filter: Arc<Filter>,
    /// The number to read on from.
    next: u64,
    ahead: VecDeque<(u64, String)>,
    _permit: OwnedSemaphorePermit,
}

impl Client {
    /// The next event; none where the stream ends.
    async fn event(&mut self) -> Option<Event> {
        loop {
            if let Some((number, line)) = self.ahead.pop_front() {
                return Some(Event::default().id(number.to_string()).event("match").data(line));
            }
            let live = self.live.clone();
            let moved = live.matched();
            if live.is_leaving() {
                return None;
            }
            if live.matches().next() <= self.next {
                moved.await;
                continue;
            }
            let (log, filter, from) = (live.matches().clone(), Arc::clone(&self.filter), self.next);
            match tokio::task::spawn_blocking(move || ahead(&log, &filter, from)).await.ok()? {
                Ok((lines, next)) => (self.ahead, self.next) = (lines, next),
                Err(JournalError::Pruned { from, first }) => {
                    self.next = first;
                    let gap = format!("{{\"from\":{from},\"to\":{}}}", first.saturating_sub(1));
                    return Some(Event::default().event("gap").data(gap));
                }
                Err(error) => {
                    tracing::warn!(%error, "a stream of matches was ended");
                    return None;
                }
            }
        }
    }
}

/// The next lines that are wanted, not many, and where to read on.
fn ahead(log: &Tail, filter: &Filter, from: u64) -> Result<(VecDeque<(u64, String)>, u64), JournalError> {
    let (mut lines, mut bytes, mut next) = (VecDeque::new(), 0, from);
    for record in log.reader(from)? {
        let record = record?;
        for (number, line) in (record.first..).zip(page::lines(&record.body)) {
            if number < from {
                continue;
            }
            if lines.len() >= AHEAD_LINES || bytes >= AHEAD_BYTES {
                return Ok((lines, next));
            }
            next = number + 1;
            if filter.takes(line) {
                bytes += line.len();
                lines.push_back((number, String::from_utf8_lossy(line).into_owned()));
            }
        }
    }
    Ok((lines, next))
}
