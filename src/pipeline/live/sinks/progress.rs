//! How sinks stand, for the journals that wait for them and for whoever looks; and how they are told to stop.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::super::owner::{now, wall_clock};
use crate::journal::Tail;

/// How often the same failure is logged at most.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// How a sink stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SinkStatus {
    /// Its name.
    pub name: String,
    /// What it is: `file` or `webhook`.
    pub kind: &'static str,
    /// How many lines it has delivered since it was made.
    pub delivered: u64,
    /// How many lines it has given up.
    pub undelivered: u64,
    /// How many lines of the log it has not looked at yet.
    pub behind: u64,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// Since when it has been trying again, in epoch milliseconds.
    pub retrying_since: Option<i64>,
    /// Whether the log waits for it, and so the service as a whole.
    pub holds_up: bool,
}

/// How a sink stands; shared by its thread and those who look.
pub(in crate::pipeline::live) struct Progress {
    tail: Tail,
    state: Mutex<State>,
}

struct State {
    status: SinkStatus,
    next: u64,
    durable_next: u64,
    logged: Option<Instant>,
}

impl Progress {
    pub(super) fn new(name: &str, kind: &'static str, tail: Tail, next: u64) -> Arc<Progress> {
        let status = SinkStatus { name: name.to_owned(), kind, ..SinkStatus::default() };
        let state = State { status, next, durable_next: next, logged: None };
        Arc::new(Progress { tail, state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How it stands now.
    pub(in crate::pipeline::live) fn status(&self) -> SinkStatus {
        let state = self.state();
        SinkStatus { behind: self.tail.next().saturating_sub(state.next), ..state.status.clone() }
    }

    /// The first line that it needs: nothing from there on may be deleted.
    pub(in crate::pipeline::live) fn needs(&self) -> u64 {
        self.state().durable_next
    }

    /// Whether the log waits for it.
    pub(in crate::pipeline::live) fn holds_up(&self, holds_up: bool) {
        let mut state = self.state();
        if holds_up && !state.status.holds_up {
            warn!(sink = state.status.name, "the log waits for the sink, which is too far behind");
        }
        state.status.holds_up = holds_up;
    }

    /// It has come so far.
    pub(super) fn came(&self, next: u64, durable_next: u64, delivered: u64, undelivered: u64) {
        let mut state = self.state();
        (state.next, state.durable_next) = (next, durable_next);
        (state.status.delivered, state.status.undelivered) = (delivered, undelivered);
    }

    /// It goes on again, if it did not.
    pub(super) fn succeeded(&self) {
        let mut state = self.state();
        if state.status.retrying_since.take().is_some() {
            state.logged = None;
            info!(sink = state.status.name, "the sink goes on");
        }
    }

    /// Something went wrong, and is tried again.
    pub(super) fn failed(&self, error: String) {
        let mut state = self.state();
        if state.logged.is_none_or(|last| last.elapsed() >= LOG_EVERY) {
            warn!(sink = state.status.name, error, "the sink cannot go on and tries again");
            state.logged = Some(now());
        }
        state.status.last_error = Some(error);
        state.status.retrying_since.get_or_insert_with(wall_clock);
    }
}

/// Tells threads to stop.
#[derive(Default)]
pub(in crate::pipeline::live) struct Stop {
    is_set: Mutex<bool>,
    set: Condvar,
}

impl Stop {
    pub(in crate::pipeline::live) fn set(&self) {
        *self.is_set.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.set.notify_all();
    }

    pub(in crate::pipeline::live) fn is_set(&self) -> bool {
        *self.is_set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for it, or until the time is over.
    pub(in crate::pipeline::live) fn wait(&self, timeout: Duration) -> bool {
        let is_set = self.is_set.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.set.wait_timeout_while(is_set, timeout, |is_set| !*is_set);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Waits between attempts: longer each time, and by chance not all at once.
pub(super) struct Backoff {
    base: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    pub(super) fn new(base: Duration, max: Duration) -> Backoff {
        Backoff { base, max, failures: 0 }
    }

    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// How long to wait after one more failure: between the half and the whole of what is doubled each time.
    pub(super) fn next(&mut self) -> Duration {
        let whole = self.base.saturating_mul(1 << self.failures.min(20)).min(self.max);
        self.failures = self.failures.saturating_add(1);
        let mut random = [0; 2];
        // Without chance, it is the whole.
        let chance =
            getrandom::fill(&mut random).map_or(1.0, |()| f64::from(u16::from_le_bytes(random)) / 65535.0);
        whole.mul_f64(0.5 + 0.5 * chance)
    }
}
