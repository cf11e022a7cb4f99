//! The settings as resolved: what every part of the service reads. `docs/configuration.md` tells users the same.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::secret::SecretSource;
use super::target::{Allowed, Selector};
use super::value::ByteSize;
use crate::event::TimeSpan;

/// All settings of the service. Spans of event time are [`TimeSpan`]s, waits by the clock are [`Duration`]s.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How it is reached, and how much may come at once.
    pub server: Server,
    /// What it keeps, where, and for how long.
    pub data: Data,
    /// How matching is run. Nothing of it shows in the output.
    pub engine: Engine,
    /// What one pattern may keep or say.
    pub limits: Limits,
    /// Who may do what.
    pub auth: Auth,
    /// What it tells on standard error.
    pub log: Log,
    /// Where traces go.
    pub otlp: Otlp,
    /// Where events come from; at least one.
    pub streams: Vec<Stream>,
    /// Where matches go besides the API.
    pub sinks: Vec<Sink>,
}

/// `[server]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The address to listen on; with port 0 a free one is taken.
    pub listen: SocketAddr,
    /// The certificate, where HTTP is spoken over TLS.
    pub tls: Option<Tls>,
    /// Whether to listen elsewhere than on the loopback even without authentication and TLS.
    pub allow_insecure: bool,
    /// Connections at once.
    pub max_connections: usize,
    /// How long a request may take, streams of matches apart.
    pub request_timeout: Duration,
    /// The largest body of a request, after decompression.
    pub max_body: ByteSize,
    /// The longest line of a body of events.
    pub max_line: ByteSize,
    /// The longest pattern text.
    pub max_pattern_text: ByteSize,
    /// Streams of matches (SSE) open at once.
    pub max_sse_clients: usize,
}

/// `server.tls`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The file with the chain of certificates (PEM).
    pub cert: PathBuf,
    /// The file with the private key (PEM).
    pub key: PathBuf,
}

/// `[data]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data {
    /// The data directory.
    pub dir: PathBuf,
    /// How often the state is written.
    pub checkpoint_interval: Duration,
    /// How much state of keys is held in memory; without a limit where there is none.
    pub state_memory: Option<ByteSize>,
    /// How much of the event log of a stream is kept, beyond what recovery needs.
    pub retain_bytes: ByteSize,
    /// How long the event log of a stream is kept, beyond what recovery needs.
    pub retain_time: Duration,
    /// The size at which a new file of a log is begun.
    pub segment_size: ByteSize,
    /// How much of the log of matches is kept.
    pub matches_retain_bytes: ByteSize,
    /// How much of the log of late events and dead letters is kept.
    pub rejected_retain_bytes: ByteSize,
    /// How much of the audit log is kept.
    pub audit_retain_bytes: ByteSize,
    /// How many idempotency keys of posted batches are remembered.
    pub idempotency_keys: usize,
}

/// `[engine]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// Threads that match side by side.
    pub threads: usize,
    /// Events that are passed on together.
    pub batch_size: usize,
    /// Events that may wait for the watermark to pass them.
    pub max_buffered_events: usize,
    /// Patterns at once.
    pub max_patterns: usize,
}

/// `[limits]`: budgets of each pattern that has none of its own. Without a limit where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Partial matches of one key.
    pub max_partial_matches_per_key: u64,
    /// Events that are kept for one key.
    pub max_retained_events_per_key: Option<u64>,
    /// Bytes of the events that are kept for one key.
    pub max_retained_bytes_per_key: Option<ByteSize>,
    /// Partial matches of all keys.
    pub max_partial_matches: Option<u64>,
    /// Bytes of the events that are kept for all keys.
    pub max_retained_bytes: Option<ByteSize>,
    /// Matches that one event may complete.
    pub max_matches_per_event: u64,
    /// What happens to a pattern that reaches one of them.
    pub policy: LimitPolicy,
}

/// What happens to a pattern that reaches one of its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitPolicy {
    /// It is suspended, with the reason.
    Suspend,
    /// Its oldest partial matches are dropped, and counted.
    DropOldest,
}

/// `[auth]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// Whether requests need a token.
    pub enabled: bool,
    /// The file with the hashes of tokens; `tokens.json` of the data directory where there is none.
    pub tokens_file: Option<PathBuf>,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The least weighty lines that are written.
    pub level: LogLevel,
    /// How lines look.
    pub format: LogFormat,
}

/// How weighty a line of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Something failed.
    Error,
    /// Something is not as it should be.
    Warn,
    /// What happens seldom and matters.
    Info,
    /// What helps to find a fault.
    Debug,
    /// Everything.
    Trace,
}

/// How lines of the log look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Human,
    /// A JSON object a line.
    Json,
}

/// `[otlp]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Otlp {
    /// The URL that traces are sent to; none are where there is none.
    pub endpoint: Option<String>,
}

/// `[[streams]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// What patterns and the API call it.
    pub name: String,
    /// Where its events come from.
    pub source: SourceKind,
    /// The field that holds the event time, as a dotted path.
    pub time_field: String,
    /// The field that holds the type, as a dotted path.
    pub type_field: String,
    /// How far behind its partition's highest time an event may come and still be taken.
    pub out_of_orderness: TimeSpan,
    /// After which silence a partition no longer holds up the others.
    pub idle_timeout: Duration,
    /// What becomes of time when all partitions are silent.
    pub silence: Silence,
    /// How far beyond its partition's highest time an event may be; any distance where there is none.
    pub max_time_jump: Option<TimeSpan>,
    /// What becomes of late events.
    pub late: LatePolicy,
    /// How events that came before are known; they are not looked for where there is none.
    pub duplicates: Option<Duplicates>,
}

/// Where the events of a stream come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// They are posted to the API.
    Http,
}

/// What becomes of time when all partitions of a stream are silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// It goes on to the highest event time: what waits is matched.
    Flush,
    /// It stands still until the next event.
    Hold,
    /// It goes on with the clock.
    Clock,
}

/// What becomes of late events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LatePolicy {
    /// They are counted, and kept where sinks and the API find them.
    Output,
    /// They are counted.
    Drop,
}

/// `duplicates` of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Duplicates {
    /// The field that tells events apart, as a dotted path.
    pub id: String,
    /// For how long an id is remembered, in event time.
    pub window: TimeSpan,
    /// How many ids are remembered.
    pub max_ids: usize,
}

/// `[[sinks]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sink {
    /// What logs, metrics and patterns call it.
    pub name: String,
    /// What goes there.
    pub what: SinkInput,
    /// Of which patterns matches go there; of all where it is empty.
    pub patterns: Vec<Selector>,
    /// Where it is.
    pub target: Target,
}

/// What goes to a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkInput {
    /// Matches and timeouts.
    Matches,
    /// Late events.
    Late,
    /// Lines that could not be read.
    DeadLetters,
}

/// Where a sink is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A file of JSON lines, each written exactly once.
    File(FileTarget),
    /// A URL that is sent to at least once.
    Webhook(WebhookTarget),
}

/// A sink with `type = "file"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileTarget {
    /// The file.
    pub path: PathBuf,
    /// The size at which it is put aside and a new one begun; never where there is none.
    pub rotate_bytes: Option<ByteSize>,
    /// How many files that were put aside are kept; all where there is none.
    pub keep: Option<u32>,
}

/// A sink with `type = "webhook"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookTarget {
    /// Where to.
    pub url: String,
    /// What requests are signed with; they are not where there is none.
    pub secret: Option<SecretSource>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// After how many attempts a match becomes a dead letter.
    pub max_attempts: u32,
    /// What may be connected to although it is no public address.
    pub allow: Vec<Allowed>,
}
