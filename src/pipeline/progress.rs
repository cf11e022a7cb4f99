//! How far a run has come, for whoever wants to show it. Nothing depends on it.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// Counters that a run raises as it goes.
#[derive(Debug, Default)]
pub struct Progress {
    pub(super) bytes: AtomicU64,
    pub(super) events: AtomicU64,
    pub(super) matches: AtomicU64,
    pub(super) time: AtomicI64,
}

impl Progress {
    /// Bytes read, as they are stored.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Events read.
    pub fn events(&self) -> u64 {
        self.events.load(Relaxed)
    }

    /// Matches and timeouts written.
    pub fn matches(&self) -> u64 {
        self.matches.load(Relaxed)
    }

    /// The event time that was reached, in milliseconds since the epoch.
    pub fn time(&self) -> i64 {
        self.time.load(Relaxed)
    }
}
