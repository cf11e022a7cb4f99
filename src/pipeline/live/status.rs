//! How a live service stands, for whoever looks from outside. Nothing depends on it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::registry::Registry;
use crate::event::Timestamp;
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
#[derive(Debug, Clone, Default)]
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
}
