//! The audit log: a journal of its own in the data directory, of bounded size, a record for each entry.
//!
//! What comes in great numbers, which is posting events and being refused, is written when it comes first and from then on
//! counted, so that nobody can push the entries that matter out of the log.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::auth::wall_clock;
use crate::journal::{Journal, JournalError, NewRecord, Options, Retention, Tail};

/// For how long what repeats is only counted, in milliseconds.
const COUNTED_MS: i64 = 60_000;
/// How many kinds of what repeats are counted at once.
const COUNTED_MAX: usize = 1_024;
/// How many entries wait for a disk that takes nothing.
const HELD_MAX: usize = 10_000;
/// The log has about so many segments.
const SEGMENTS: u64 = 8;

/// A request that was to change something, and what came of it. Nothing of its body or its query is in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(super) struct Entry {
    /// When it was answered, in epoch milliseconds.
    pub(super) at: i64,
    /// The name of the token, or `anonymous` where none is needed; none where it is not known.
    pub(super) who: Option<String>,
    /// The address that it came from.
    #[schema(value_type = Option<String>)]
    pub(super) from: Option<IpAddr>,
    /// The method.
    pub(super) method: String,
    /// The route.
    pub(super) route: String,
    /// The path.
    pub(super) path: String,
    /// What was to change, and what did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(super) what: Option<Value>,
    /// The status of the answer.
    pub(super) status: u16,
    /// What kind of problem was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) problem: Option<String>,
    /// The id of the request.
    pub(super) request_id: Option<String>,
    /// For how many requests it stands: this one, and those like it since the entry before.
    pub(super) requests: u64,
}

/// What makes entries alike that are counted.
type Likeness = (Option<String>, String, String, u16);

/// Entries that come in great numbers.
struct Counted {
    written_at: i64,
    /// The last one, and how many there were since one was written.
    last: Entry,
}

/// The audit log.
pub struct Audit {
    tail: Tail,
    retain_bytes: u64,
    /// Apart from the journal: counting must not wait for the disk.
    counted: Mutex<BTreeMap<Likeness, Counted>>,
    writer: Mutex<Writer>,
}

struct Writer {
    journal: Journal,
    /// Entries that could not be written yet.
    held: VecDeque<Entry>,
    is_failing: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Audit {
    /// Opens the log in a data directory that nobody else has, or begins it.
    pub fn open(data: &Path, retain_bytes: u64) -> Result<Audit, JournalError> {
        let segment_bytes = (retain_bytes / SEGMENTS).max(4 << 10);
        let options = Options { segment_bytes, ..Options::default() };
        let (journal, _) = Journal::open(&data.join("audit"), options)?;
        Ok(Audit {
            tail: journal.tail().clone(),
            retain_bytes,
            counted: Mutex::default(),
            writer: Mutex::new(Writer { journal, held: VecDeque::new(), is_failing: false }),
        })
    }

    /// What is durable of it.
    pub(in crate::api) fn tail(&self) -> &Tail {
        &self.tail
    }

    /// The entries that are to be written now that there is this one; `counts` says that it may only be counted.
    pub(super) fn due(&self, entry: Entry, counts: bool) -> Vec<Entry> {
        if !counts {
            return vec![entry];
        }
        // What was refused may name anything.
        let place = if matches!(entry.status, 401 | 403) { &entry.route } else { &entry.path };
        let likeness = (entry.who.clone(), entry.method.clone(), place.clone(), entry.status);
        let mut counted = lock(&self.counted);
        let mut due = Vec::new();
        match counted.get_mut(&likeness) {
            Some(Counted { written_at, last }) => {
                let requests = last.requests + 1;
                *last = Entry { requests, ..entry };
                if last.at - *written_at >= COUNTED_MS {
                    *written_at = last.at;
                    due.push(last.clone());
                    last.requests = 0;
                }
            }
            None => {
                if counted.len() >= COUNTED_MAX {
                    due = std::mem::take(&mut *counted).into_values().map(|counted| counted.last).collect();
                    due.retain(|entry| entry.requests > 0);
                }
                let last = Entry { requests: 0, ..entry.clone() };
                counted.insert(likeness, Counted { written_at: entry.at, last });
                due.push(entry);
            }
        }
        due
    }

    /// Writes entries durably. Those that cannot be written wait for the next ones.
    pub(super) fn write(&self, entries: Vec<Entry>) {
        let mut writer = lock(&self.writer);
        writer.held.extend(entries);
        let lost = writer.held.len().saturating_sub(HELD_MAX);
        writer.held.drain(..lost);
        let written = writer.write_held();
        let kept = written.and_then(|()| match self.tail.bytes() > self.retain_bytes {
            true => {
                let policy = Retention { bytes_max: Some(self.retain_bytes), keep_since: None };
                writer.journal.retain(&policy, u64::MAX).map(|_| ())
            }
            false => Ok(()),
        });
        if lost > 0 || (kept.is_err() && !writer.is_failing) {
            let error = kept.as_ref().err().map(ToString::to_string);
            tracing::error!(error, lost, "the audit log cannot be written");
        }
        writer.is_failing = kept.is_err();
    }

    /// Writes what has been counted so far.
    pub fn flush(&self) {
        let mut due = Vec::new();
        for Counted { written_at, last } in lock(&self.counted).values_mut() {
            if last.requests > 0 {
                due.push(last.clone());
                (*written_at, last.requests) = (wall_clock(), 0);
            }
        }
        self.write(due);
    }

    /// Entries with their numbers, newest first, below a number.
    pub(super) fn list(&self, below: u64, limit: usize) -> Result<Vec<(u64, Entry)>, JournalError> {
        let read = self.tail.backward(below).take(limit).map(|record| {
            let record = record?;
            // What a newer version may have written is not for this one to show.
            Ok(serde_json::from_slice(&record.body).ok().map(|entry| (record.first, entry)))
        });
        read.filter_map(Result::transpose).collect()
    }
}

impl Writer {
    fn write_held(&mut self) -> Result<(), JournalError> {
        if self.held.is_empty() {
            return Ok(());
        }
        // An entry is plain data: it can be written.
        let bodies = self.held.iter().map(|entry| serde_json::to_vec(entry).unwrap_or_default());
        let bodies: Vec<Vec<u8>> = bodies.collect();
        let records: Vec<_> =
            bodies.iter().map(|body| NewRecord { count: 1, meta: b"", body: body.as_slice() }).collect();
        self.journal.append(&records)?;
        self.held.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at: i64, path: &str, status: u16) -> Entry {
        Entry {
            at,
            who: Some("one".into()),
            from: None,
            method: "POST".into(),
            route: "/v1/streams/{stream}/events".into(),
            path: path.into(),
            what: None,
            status,
            problem: None,
            request_id: None,
            requests: 1,
        }
    }

    #[test]
    fn what_repeats_is_counted_and_never_lost_from_the_count() {
        let dir = tempfile::tempdir().unwrap();
        let audit = Audit::open(dir.path(), 1 << 20).unwrap();
        for second in 0..150 {
            audit.write(audit.due(entry(second * 1_000, "/a", 200), true));
            audit.write(audit.due(entry(second * 1_000, &format!("/{second}"), 403), true));
        }
        audit.write(audit.due(entry(1, "/a", 200), false));
        audit.flush();
        let all = audit.list(u64::MAX, 1_000).unwrap();
        let of = |status| all.iter().filter(move |(_, entry)| entry.status == status);
        assert_eq!(of(200).map(|(_, entry)| entry.requests).sum::<u64>(), 151);
        assert_eq!(of(403).map(|(_, entry)| entry.requests).sum::<u64>(), 150);
        assert!(all.len() <= 10, "{}", all.len());
        // However many kinds there are, all are counted.
        for at in 0..3_000 {
            audit.write(audit.due(entry(at, &format!("/{}", at % 1_500), 404), true));
        }
        audit.flush();
        let all = audit.list(u64::MAX, 10_000).unwrap();
        let requests = all.iter().filter(|(_, entry)| entry.status == 404).map(|(_, entry)| entry.requests);
        assert_eq!(requests.sum::<u64>(), 3_000);
    }

    #[test]
    fn the_log_is_bounded_and_goes_on_after_a_start() {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..2 {
            let audit = Audit::open(dir.path(), 64 << 10).unwrap();
            for at in 0..1_000 {
                audit.write(audit.due(entry(round * 1_000 + at, "/v1/streams/events/events", 200), false));
            }
            assert!(audit.tail.bytes() <= 72 << 10, "{}", audit.tail.bytes());
        }
        let audit = Audit::open(dir.path(), 64 << 10).unwrap();
        let all = audit.list(u64::MAX, 10_000).unwrap();
        assert!(all.len() > 100 && all[0].1.at == 1_999, "{}", all.len());
        assert!(all.windows(2).all(|two| two[0].0 == two[1].0 + 1));
    }
}
