//! What others ask of the owner of the pipeline, and what it answers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::super::decision::{Budgets, OldState, Properties};
use super::super::registry::Registry;
use super::backup::Moment;
use crate::engine::{Differs, Engine};
use crate::event::{TimeSpan, Timestamp};
use crate::journal::JournalError;

/// A wish that the owner decides about.
pub(super) enum Request {
    /// To change patterns, all at one cut.
    Change(Wish, Reply<Decided>),
    /// To take that time has come so far in a stream.
    Heartbeat(String, Timestamp, String, Reply<Option<Timestamp>>),
    /// To make a checkpoint now.
    Savepoint(Reply<u64>),
    /// To say where everything stands.
    Moment(Box<dyn FnOnce(Moment) + Send>),
    /// To look at what the shards hold.
    Look(Arc<dyn Fn(&Engine) + Send + Sync>),
    /// To stop.
    Stop,
}

/// Where an answer goes.
pub(super) type Reply<T> = Box<dyn FnOnce(Result<T, Refusal>) + Send>;

/// Changes of patterns that are decided as one: all of them, at one cut, or none.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// The changes, no two of one pattern.
    pub changes: Vec<ChangeRequest>,
    /// Whether patterns that no change names are removed.
    pub only_these: bool,
    /// From this event time on, or as soon as can be where that has passed.
    pub effective_from: Option<Timestamp>,
    /// The revision that all patterns together have to have, if any.
    pub revision: Option<u64>,
    /// Whether it is only to be said what would be decided.
    pub dry_run: bool,
    /// Who asks for it.
    pub by: String,
}

/// A change of a pattern, as asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum ChangeRequest {
    /// A new version, or a new pattern. Nothing where the text and the properties are as they were.
    Put {
        /// Its name.
        name: String,
        /// Its text, which is without errors.
        source: String,
        /// What else holds for it.
        properties: NewProperties,
        /// What becomes of the version before.
        state: Option<OldState>,
        /// What has to be there.
        expected: Expected,
    },
    /// Other properties.
    Set {
        /// Its name.
        name: String,
        /// What holds for it from now on.
        properties: Properties,
        /// What has to be there.
        expected: Expected,
    },
    /// No such pattern any more.
    Remove {
        /// Its name.
        name: String,
        /// What becomes of its partial matches.
        state: Option<OldState>,
        /// What has to be there.
        expected: Expected,
    },
}

/// Properties that come with a text. What is not said is as before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewProperties {
    /// Whether it begins no partial match.
    pub paused: Option<bool>,
    /// Whether its matches go to no sink.
    pub shadow: Option<bool>,
    /// All its labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// Within which length of time it gives one match per key; `Some(None)`: it gives all.
    pub suppress: Option<Option<TimeSpan>>,
    /// All its own budgets.
    pub limits: Option<Budgets>,
}

impl NewProperties {
    /// These over others.
    pub fn over(self, before: Properties) -> Properties {
        Properties {
            paused: self.paused.unwrap_or(before.paused),
            shadow: self.shadow.unwrap_or(before.shadow),
            labels: self.labels.unwrap_or(before.labels),
            suppress: self.suppress.unwrap_or(before.suppress),
            limits: self.limits.unwrap_or(before.limits),
        }
    }
}

/// What has to be there of a pattern that is to be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// No such pattern.
    Absent,
    /// The pattern, whatever it is.
    Present,
    /// One of these revisions of it.
    OneOf(Vec<u64>),
    /// Anything or nothing.
    Any,
}

impl ChangeRequest {
    /// The pattern's name.
    pub fn name(&self) -> &str {
        match self {
            ChangeRequest::Put { name, .. }
            | ChangeRequest::Set { name, .. }
            | ChangeRequest::Remove { name, .. } => name,
        }
    }
}

/// What was decided, or would be.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    /// The first event time that sees it; none: before any event.
    pub effective_from: Option<Timestamp>,
    /// What became of each pattern: first those that were asked for, then those that are removed besides, by name.
    pub outcomes: Vec<Outcome>,
    /// The patterns afterwards.
    pub registry: Arc<Registry>,
    /// Up to this time events had been taken.
    pub frontier: Option<Timestamp>,
}

/// What became of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// The version that was put, changed, removed or kept.
    pub version: u64,
    /// What was done.
    pub action: Action,
}

/// What is done to a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is there now, and was not.
    Create,
    /// It has a new version.
    Replace,
    /// It has other properties.
    Set,
    /// It is not there any more.
    Remove,
    /// It is as it was.
    Keep,
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
    /// Some pattern has been changed since.
    StaleAll,
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
    /// No checkpoint could be made; the log of the service says why.
    NoCheckpoint,
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
                write!(f, "`{name}` has been changed since you read it: its ETag is \"{now}\" now")
            }
            Refusal::StaleAll => f.write_str("patterns have been changed since you read them"),
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
            Refusal::NoCheckpoint => {
                f.write_str("the checkpoint could not be made: the log of the service says why")
            }
            Refusal::Storage(error) => write!(f, "the decision could not be made durable: {error}"),
            Refusal::Stopping => f.write_str("the service is stopping"),
        }
    }
}

impl std::error::Error for Refusal {}
