//! Which logs of output cannot be written at the moment, and why: they hold what they have and try again.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tracing::{info, warn};

/// By the log's name.
#[derive(Debug, Default)]
pub(super) struct Stalls(Mutex<BTreeMap<&'static str, String>>);

impl Stalls {
    /// Notes that a log cannot be written.
    pub(super) fn begin(&self, log: &'static str, why: String) {
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(log, why.clone());
        if before.is_none() {
            warn!(log, reason = why, "output cannot be written: it waits until it can");
        }
    }

    /// Notes that a log can be written.
    pub(super) fn end(&self, log: &'static str) {
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(log).is_some() {
            info!(log, "output is written again");
        }
    }

    /// Why some log cannot be written, where one cannot.
    pub(super) fn any(&self) -> Option<String> {
        let stalls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stalls.iter().next().map(|(log, why)| format!("the log of {log}: {why}"))
    }
}
