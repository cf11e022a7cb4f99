//! When the next deadline of a shard passes, for whoever looks from outside: only whether a step of the clock is worth an
//! entry of the control log depends on it.

use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;

use crate::engine::Engine;
use crate::event::Timestamp;

/// When the next deadline of a shard passes.
#[derive(Debug)]
pub(super) struct Due(AtomicI64);

impl Due {
    pub(super) fn new(engine: &mut Engine) -> Due {
        let due = Due(AtomicI64::new(i64::MAX));
        due.note(engine);
        due
    }

    /// Notes how a shard stands.
    pub(super) fn note(&self, engine: &mut Engine) {
        self.0.store(engine.due().map_or(i64::MAX, |due| due.0), Relaxed);
    }

    /// As of a moment ago; none where nothing waits for time.
    pub(super) fn get(&self) -> Option<Timestamp> {
        Some(Timestamp(self.0.load(Relaxed))).filter(|due| *due < Timestamp::MAX)
    }
}
