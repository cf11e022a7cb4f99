//! What others ask of the owner of the pipeline, and what it answers.

use std::fmt;
use std::sync::Arc;

use super::super::decision::{OldState, Properties};
use crate::engine::Differs;
use crate::event::Timestamp;
use crate::journal::JournalError;

/// A wish that the owner decides about.
pub(super) enum Request {
    /// To change patterns, all at one cut.
    Change(Vec<ChangeRequest>, Effective, String, Reply<Decided>),
    /// To take that time has come so far in a stream.
    Heartbeat(String, Timestamp, String, Reply<Option<Timestamp>>),
    /// To stop.
    Stop,
}

/// Where an answer goes.
pub(super) type Reply<T> = Box<dyn FnOnce(Result<T, Refusal>) + Send>;

/// When a change is to take effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effective {
    /// As soon as can be.
    Now,
    /// From an event time on, or as soon as can be where that has passed.
    From(Timestamp),
}

/// A change of a pattern, as asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum ChangeRequest {
    /// A pattern that is not there yet.
    Create {
        /// Its name.
        name: String,
        /// Its text, which is without errors.
        source: String,
        /// What else holds for it.
        properties: Properties,
    },
    /// A new version, or a new pattern.
    Put {
        /// Its name.
        name: String,
        /// Its text, which is without errors.
        source: String,
        /// What else holds for it; as before where there is none.
        properties: Option<Properties>,
        /// What becomes of the version before.
        state: Option<OldState>,
        /// The revision that it is to replace; none: there is to be no such pattern.
        revision: Option<u64>,
    },
    /// Other properties.
    Set {
        /// Its name.
        name: String,
        /// What holds for it from now on.
        properties: Properties,
        /// The revision that it is to replace.
        revision: u64,
    },
    /// No such pattern any more.
    Remove {
        /// Its name.
        name: String,
        /// What becomes of its partial matches.
        state: Option<OldState>,
        /// The revision that is to be removed.
        revision: u64,
    },
}

impl ChangeRequest {
    /// The pattern's name.
    pub fn name(&self) -> &str {
        match self {
            ChangeRequest::Create { name, .. }
            | ChangeRequest::Put { name, .. }
            | ChangeRequest::Set { name, .. }
            | ChangeRequest::Remove { name, .. } => name,
        }
    }
}

/// What was decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// The control-log entry: the revision of all patterns that it changed.
    pub revision: u64,
    /// The first event time that sees it; none: before any event.
    pub effective_from: Option<Timestamp>,
    /// By change, the pattern's name and version.
    pub versions: Vec<(String, u64)>,
}

/// Why a wish is refused. Nothing of it happened.
#[derive(Debug, Clone)]
pub enum Refusal {
    /// A pattern of this name is there.
    Exists(String),
    /// No pattern of this name is there.
    Missing(String),
    /// It has been changed since; its revision now.
    Stale(String, u64),
    /// There is no such stream.
    NoStream(String),
    /// What the version before holds does not fit the new one.
    Carry(String, Differs),
    /// The version before has no window: draining might never end.
    DrainsForEver(String),
    /// There is no version before whose state could be carried over.
    NothingToCarry(String),
    /// More patterns than may be.
    TooMany(usize),
    /// One name stands twice among the changes.
    Twice(String),
    /// It could not be made durable.
    Storage(Arc<JournalError>),
    /// The service is stopping.
    Stopping,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Exists(name) => write!(f, "a pattern `{name}` is there already: PUT replaces it"),
            Refusal::Missing(name) => write!(f, "there is no pattern `{name}`"),
            Refusal::Stale(name, now) => {
                write!(f, "`{name}` has been changed since you read it: its revision is {now} now")
            }
            Refusal::NoStream(name) => write!(f, "there is no stream `{name}`"),
            Refusal::Carry(name, differs) => write!(
                f,
                "the state of `{name}` cannot be carried over: {differs}; use `state=drain` or `state=drop`"
            ),
            Refusal::DrainsForEver(name) => {
                write!(f, "`{name}` has no `within`, so draining it might never end: use `state=drop`")
            }
            Refusal::NothingToCarry(name) => {
                write!(f, "there is no version of `{name}` whose state could be carried over")
            }
            Refusal::TooMany(limit) => {
                write!(f, "there may be {limit} patterns at most (`engine.max_patterns`): remove some")
            }
            Refusal::Twice(name) => write!(f, "`{name}` stands twice in one request"),
            Refusal::Storage(error) => write!(f, "the decision could not be made durable: {error}"),
            Refusal::Stopping => f.write_str("the service is stopping"),
        }
    }
}

impl std::error::Error for Refusal {}
