//! Patterns as they are shown.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::problem::Place;
use crate::event::{TimeSpan, Timestamp};
use crate::pipeline::decision::{Budgets, OldState, Suspension, span};
use crate::pipeline::live::{Action, Decided, Dropped};
use crate::pipeline::registry::{Pattern, Registry, Standing, Version};

/// A pattern: the version that goes for its name, and what holds for it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Shown {
    name: String,
    version: u64,
    /// The first event time that sees the version, in epoch milliseconds; null: before any event.
    #[schema(value_type = Option<i64>)]
    effective_from: Option<Timestamp>,
    state: Standing,
    /// The text.
    pub(super) source: String,
    labels: BTreeMap<String, String>,
    /// Whether its matches can be seen but go to no sink.
    shadow: bool,
    /// Whether it begins no partial match.
    paused: bool,
    /// It gives one match per key in this length of event time; null: every match.
    #[serde(with = "span")]
    #[schema(value_type = Option<String>)]
    suppress: Option<TimeSpan>,
    limits: Budgets,
    /// Why it is suspended; null: it is not. It goes on with `paused: false`, or with another version.
    suspended: Option<Suspension>,
    /// What was dropped because of budgets since the service started; null: nothing.
    dropped: Option<Dropped>,
    /// What its ETag has in quotes.
    pub(super) revision: u64,
    /// When the version was decided, by the wall clock, in epoch milliseconds.
    created_at: i64,
    /// Who asked for it.
    created_by: String,
}

impl Shown {
    pub(super) fn new(name: &str, pattern: &Pattern, frontier: Option<Timestamp>) -> Option<Shown> {
        let version = pattern.current()?;
        Some(Shown {
            name: name.to_owned(),
            version: version.number,
            effective_from: version.effective_from,
            state: pattern.standing(name, version, frontier),
            source: version.source.clone(),
            labels: pattern.properties.labels.clone(),
            shadow: pattern.properties.shadow,
            paused: pattern.properties.paused,
            suppress: pattern.properties.suppress,
            limits: pattern.properties.limits,
            suspended: pattern.suspended.clone(),
            dropped: None,
            revision: pattern.revision,
            created_at: version.at,
            created_by: version.by.clone(),
        })
    }

    /// With what was dropped of it.
    pub(super) fn with(self, dropped: Option<&Dropped>) -> Shown {
        Shown { dropped: dropped.copied(), ..self }
    }

    pub(super) fn of(registry: &Registry, name: &str, frontier: Option<Timestamp>) -> Option<Shown> {
        Shown::new(name, registry.get(name)?, frontier)
    }
}

/// Patterns.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Listed {
    pub(super) items: Vec<Shown>,
    /// Where the list goes on, if it does.
    pub(super) next: Option<String>,
    /// What is odd in the texts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) warnings: Vec<Place>,
}

/// A version of a pattern. It never changes, but for where it stands and how it ended.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ShownVersion {
    name: String,
    version: u64,
    /// The first event time that sees it, in epoch milliseconds; null: before any event.
    #[schema(value_type = Option<i64>)]
    effective_from: Option<Timestamp>,
    state: Standing,
    /// How it ended, or will; null where nothing has been decided that ends it.
    ended: Option<ShownEnd>,
    source: String,
    created_at: i64,
    created_by: String,
}

/// The end of a version.
#[derive(Debug, Serialize, ToSchema)]
struct ShownEnd {
    /// The first event time that does not see it, in epoch milliseconds; null: before any event.
    #[schema(value_type = Option<i64>)]
    effective_from: Option<Timestamp>,
    /// What becomes of its partial matches.
    state: OldState,
    /// When that was decided, by the wall clock, in epoch milliseconds.
    at: i64,
    /// Who asked for it.
    by: String,
}

impl ShownVersion {
    pub(super) fn new(
        name: &str,
        pattern: &Pattern,
        version: &Version,
        frontier: Option<Timestamp>,
    ) -> ShownVersion {
        ShownVersion {
            name: name.to_owned(),
            version: version.number,
            effective_from: version.effective_from,
            state: pattern.standing(name, version, frontier),
            ended: version.ended.as_ref().map(|ended| ShownEnd {
                effective_from: ended.from,
                state: ended.state,
                at: ended.at,
                by: ended.by.clone(),
            }),
            source: version.source.clone(),
            created_at: version.at,
            created_by: version.by.clone(),
        }
    }
}

/// The versions of a pattern, the first one first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Versions {
    pub(super) items: Vec<ShownVersion>,
    /// Always null: all are there.
    pub(super) next: Option<String>,
}

/// What became of patterns.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Applied {
    /// The first event time that sees the changes, in epoch milliseconds; null: before any event.
    #[schema(value_type = Option<i64>)]
    effective_from: Option<Timestamp>,
    /// First those that were asked for, in their order, then those that are removed besides, by name.
    items: Vec<AppliedItem>,
    /// What is odd in the texts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Place>,
}

/// What became of a pattern.
#[derive(Debug, Serialize, ToSchema)]
struct AppliedItem {
    name: String,
    version: u64,
    action: Action,
}

impl Applied {
    pub(super) fn new(decided: Decided, warnings: Vec<Place>) -> Applied {
        let item = |outcome: crate::pipeline::live::Outcome| AppliedItem {
            name: outcome.name,
            version: outcome.version,
            action: outcome.action,
        };
        Applied {
            effective_from: decided.effective_from,
            items: decided.outcomes.into_iter().map(item).collect(),
            warnings,
        }
    }
}

/// A pattern that was removed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Removed {
    pub(super) name: String,
    /// Its last version.
    pub(super) version: u64,
    /// The first event time that does not see it, in epoch milliseconds; null: before any event.
    #[schema(value_type = Option<i64>)]
    pub(super) effective_from: Option<Timestamp>,
}

/// What a text comes to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Checked {
    /// Whether it could be put.
    pub(super) valid: bool,
    /// The patterns that have no errors.
    pub(super) items: Vec<CheckedPattern>,
    pub(super) errors: Vec<Place>,
    pub(super) warnings: Vec<Place>,
}

/// A pattern that has no errors.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CheckedPattern {
    pub(super) name: String,
}
