//! Pages of a log of lines: filtered, by a cursor, with bounded work for each request.

use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::problem::Problem;
use crate::journal::{JournalError, Tail};

/// Lines that one request looks at, at most.
const LINES_MAX: usize = 100_000;

/// Bytes of lines that one request looks at, at most; what is begun is finished.
const BYTES_MAX: usize = 64 << 20;

/// Items, and where to go on.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page<T> {
    /// What was found.
    pub(super) items: Vec<T>,
    /// To be given as `cursor` for what follows; null where nothing does. A page may be empty and have a cursor: so much
    /// was looked at.
    pub(super) next: Option<String>,
}

/// Which end of a log comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Direction {
    #[default]
    Newest,
    Oldest,
}

/// How many items a page has where it is not said.
pub(super) fn a_hundred() -> usize {
    100
}

/// Refuses a page of no items, or of too many.
pub(super) fn check_limit(limit: usize) -> Result<(), Problem> {
    if (1..=1000).contains(&limit) {
        return Ok(());
    }
    Err(Problem::new(StatusCode::BAD_REQUEST, "invalid-parameter", "`limit` is 1 to 1000"))
}

/// The lines of a log for which `take` gives something, from a cursor on. `take` gets the number, what is said about all of
/// a record, and the line.
fn page<T>(
    log: &Tail,
    direction: Direction,
    cursor: Option<u64>,
    limit: usize,
    mut take: impl FnMut(u64, &[u8], &[u8]) -> Option<T>,
) -> Result<Page<T>, JournalError> {
    let (mut items, mut seen, mut bytes) = (Vec::new(), 0, 0);
    let is_enough =
        |items: usize, seen: usize, bytes: usize| items >= limit || seen >= LINES_MAX || bytes >= BYTES_MAX;
    if direction == Direction::Newest {
        let before = cursor.unwrap_or(u64::MAX).min(log.next());
        for record in log.backward(before) {
            let record = record?;
            let lines: Vec<(u64, &[u8])> = (record.first..).zip(lines(&record.body)).collect();
            for (number, line) in lines.into_iter().rev() {
                if number >= before {
                    continue;
                }
                (seen, bytes) = (seen + 1, bytes + line.len());
                items.extend(take(number, &record.meta, line));
                if is_enough(items.len(), seen, bytes) {
                    let next = (number > log.first()).then(|| number.to_string());
                    return Ok(Page { items, next });
                }
            }
        }
        return Ok(Page { items, next: None });
    }
    let from = cursor.unwrap_or(0).max(log.first());
    for record in log.reader(from)? {
        let record = record?;
        for (number, line) in (record.first..).zip(lines(&record.body)) {
            if number < from {
                continue;
            }
            (seen, bytes) = (seen + 1, bytes + line.len());
            items.extend(take(number, &record.meta, line));
            if is_enough(items.len(), seen, bytes) {
                let next = (number + 1 < log.next()).then(|| (number + 1).to_string());
                return Ok(Page { items, next });
            }
        }
    }
    Ok(Page { items, next: None })
}

/// The same on a thread that may wait for files, as an answer.
pub(super) async fn answer<T: Send + 'static>(
    log: &Tail,
    direction: Direction,
    cursor: Option<u64>,
    limit: usize,
    take: impl FnMut(u64, &[u8], &[u8]) -> Option<T> + Send + 'static,
) -> Result<Json<Page<T>>, Problem> {
    let log = log.clone();
    let read = tokio::task::spawn_blocking(move || page(&log, direction, cursor, limit, take));
    Ok(Json(read.await.map_err(Problem::defect)?.map_err(Problem::defect)?))
}

/// The lines of a record's body, without their line breaks.
pub(super) fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    body.strip_suffix(b"\n").unwrap_or(body).split(|&byte| byte == b'\n')
}

/// A line as it stands, to be written byte for byte.
pub(super) fn raw(line: &[u8]) -> Option<Box<RawValue>> {
    RawValue::from_string(String::from_utf8(line.to_vec()).ok()?).ok()
}
