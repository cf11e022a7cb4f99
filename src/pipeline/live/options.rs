//! What a live service is made of.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::super::decision::{Budgets, StreamDeclaration};
use crate::config::secret::Secret;
use crate::config::settings::Sink;

/// What a live service is made of.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data directory.
    pub dir: PathBuf,
    /// The streams.
    pub streams: Vec<StreamOptions>,
    /// Threads that match side by side.
    pub threads: usize,
    /// Events that are passed on together.
    pub batch_size: usize,
    /// Events that may wait for the watermark to pass them.
    pub max_buffered_events: usize,
    /// Patterns at once.
    pub max_patterns: usize,
    /// Budgets of patterns that have none of their own.
    pub limits: Budgets,
    /// The size at which a new file of a log is begun, in bytes.
    pub segment_bytes: u64,
    /// How many keys that make retries safe are remembered of each stream.
    pub idempotency_keys: usize,
    /// How much of the event log of a stream is kept beyond what recovery needs, in bytes.
    pub retain_bytes: u64,
    /// How long it is kept beyond what recovery needs.
    pub retain_time: Duration,
    /// How often the state is written; without it, a start reads the logs from their beginning.
    pub checkpoint_interval: Option<Duration>,
    /// How many bytes of keys are held in memory, if not all.
    pub state_memory: Option<u64>,
    /// How much of the log of matches is kept, in bytes.
    pub matches_retain_bytes: u64,
    /// How much of the log of late events and dead letters is kept, in bytes.
    pub rejected_retain_bytes: u64,
    /// Where matches go.
    pub sinks: Vec<SinkOptions>,
}

/// Where matches go.
#[derive(Debug, Clone)]
pub struct SinkOptions {
    /// As the settings say.
    pub sink: Sink,
    /// What requests are signed with.
    pub secret: Option<Secret>,
}

/// A stream whose events are posted.
#[derive(Debug, Clone)]
pub struct StreamOptions {
    /// Its name.
    pub name: String,
    /// How its lines are read.
    pub declaration: StreamDeclaration,
    /// After which silence the others no longer wait for it.
    pub idle_timeout: Duration,
    /// What becomes of time when all are silent.
    pub silence: Silence,
}

/// What becomes of time when all partitions are silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Silence {
    /// It goes on to the highest event time.
    Flush,
    /// It stands still.
    Hold,
    /// It goes on with the clock.
    Clock,
}
