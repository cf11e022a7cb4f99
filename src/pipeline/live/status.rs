//! How a live service stands, for whoever looks from outside. Nothing depends on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::registry::Registry;
use super::options::Silence;
use crate::event::{TimeSpan, Timestamp};
use crate::ingest;

/// How the service stood a moment ago.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// Up to this time events have been taken.
    pub frontier: Option<Timestamp>,
    /// Events and rejected lines that wait for the watermark.
    pub waiting: usize,
    /// By name.
    pub streams: BTreeMap<String, StreamStatus>,
    /// What was counted since the start.
    pub counters: ingest::Counters,
    /// The patterns as decided.
    pub registry: Arc<Registry>,
    /// The stream that the others wait for, and since when (by the wall clock, in epoch milliseconds).
    pub holder: Option<(String, i64)>,
    /// By pattern, what was dropped because of budgets.
    pub dropped: Arc<BTreeMap<String, Dropped>>,
    /// How many entries the control log had: what follows is decided by these.
    pub decisions: u64,
    /// By stream, the first line that had not been taken; also of streams that are not set any more.
    pub taken: BTreeMap<String, u64>,
    /// Why it does not go on, where it does not.
    pub failure: Option<String>,
}

/// What was dropped of a pattern because of budgets, since the start of the service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct Dropped {
    /// Partial matches.
    pub partial_matches: u64,
    /// Matches.
    pub matches: u64,
    /// How often it was suspended.
    pub suspensions: u64,
}

/// How a stream stood.
#[derive(Debug, Clone)]
pub struct StreamStatus {
    /// How many of its lines have been taken.
    pub taken: u64,
    /// Its own watermark.
    pub watermark: Option<Timestamp>,
    /// Whether the others do not wait for it.
    pub is_idle: bool,
    /// Events since the start.
    pub events: u64,
    /// Dead letters since the start.
    pub dead_letters: u64,
    /// Late events since the start.
    pub late: u64,
    /// Events since the start that had come before.
    pub duplicates: u64,
    /// What becomes of time when all streams are silent.
    pub silence: Silence,
    /// How far behind its highest time an event may come.
    pub out_of_orderness: TimeSpan,
    /// The bound that would have kept 99.9 % of the events.
    pub bound_for_99_9: Option<TimeSpan>,
}
