//! How far the service has come, in a small file that others can read while it runs: an export ends there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::owner::now;
use super::status::Status;
use crate::event::Timestamp;

/// How often it is written at most.
const EVERY: Duration = Duration::from_millis(500);

/// Writes the file. It is no part of what recovery needs: that it cannot be written, or is old, harms nothing.
pub(super) struct Mark {
    path: PathBuf,
    written: Option<(Instant, Marked)>,
}

/// What the file says: all that was taken, was taken by these decisions alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marked {
    /// How many entries the control log had.
    pub(crate) decisions: u64,
    /// Up to this time events had been taken.
    pub(crate) time: Option<Timestamp>,
    /// By stream, the first line that had not been taken.
    pub(crate) offsets: BTreeMap<String, u64>,
}

impl Marked {
    fn of(status: &Status) -> Marked {
        Marked { decisions: status.decisions, time: status.frontier, offsets: status.taken.clone() }
    }

    /// Where the file of a data directory stands.
    pub(crate) fn path(data: &Path) -> PathBuf {
        data.join("frontier.json")
    }
}

impl Mark {
    pub(super) fn new(data: &Path) -> Mark {
        Mark { path: Marked::path(data), written: None }
    }

    /// Notes how the service stands, if that is due.
    pub(super) fn note(&mut self, status: &Status) {
        let now = now();
        if self.written.as_ref().is_some_and(|(at, _)| now.duration_since(*at) < EVERY) {
            return;
        }
        let marked = Marked::of(status);
        let is_known = self.written.as_ref().is_some_and(|(_, known)| *known == marked);
        if !is_known && let Ok(text) = serde_json::to_vec(&marked) {
            let beside = self.path.with_extension("tmp");
            let _ = fs::write(&beside, text).and_then(|()| fs::rename(&beside, &self.path));
        }
        self.written = Some((now, marked));
    }
}
