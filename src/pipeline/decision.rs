//! The entries of the control log: whatever decides about the output and is said by no event. They are made durable before
//! they take effect, so that a log of them and the events give the output again.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::engine::Budget;
use crate::event::{TimeSpan, Timestamp};

/// An entry of the control log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number, from 0.
    pub sequence: u64,
    /// When it was made, by the wall clock, in epoch milliseconds. Nothing depends on it.
    pub at: i64,
    /// Who asked for it.
    pub by: String,
    /// What was decided.
    #[serde(flatten)]
    pub decision: Decision,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Decision {
    /// A stream is there, or is read in another way, from an offset on.
    Stream {
        /// Its name.
        stream: String,
        /// The first line that is read so.
        offset: u64,
        /// Events from there on are late up to this time.
        floor: Option<Timestamp>,
        /// How it is read.
        settings: StreamDeclaration,
    },
    /// Patterns change, all at one cut of event time.
    Patterns {
        /// The first event time that sees the change; none: before any event.
        effective_from: Option<Timestamp>,
        /// The changes, in order.
        changes: Vec<Change>,
    },
    /// The others no longer wait for a partition that has fallen silent.
    Idle {
        /// Its stream.
        stream: String,
        /// Where its next line will stand.
        offset: u64,
    },
    /// What holds for patterns that have no budgets of their own.
    Limits {
        /// The first event time that sees it; none: before any event.
        effective_from: Option<Timestamp>,
        /// The budgets.
        limits: Budgets,
    },
    /// A partition that was silent speaks again.
    Resume {
        /// Its stream.
        stream: String,
        /// Its next line.
        offset: u64,
        /// Events from there on are late up to this time: so far the others have gone.
        floor: Option<Timestamp>,
    },
    /// Time has come so far in a partition, by a client's word or by the clock.
    Heartbeat {
        /// Its stream.
        stream: String,
        /// Where its next line will stand.
        offset: u64,
        /// Events from there on are late up to this time.
        floor: Timestamp,
    },
    /// How far everything had come when the service stopped, or was exported: replay ends here.
    Frontier {
        /// Up to this time events have been taken.
        time: Option<Timestamp>,
        /// By stream, the first line that was not read.
        offsets: BTreeMap<String, u64>,
    },
}

/// How the lines of a stream are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamDeclaration {
    /// The field that holds the event time.
    pub time_field: String,
    /// The field that holds the type.
    pub type_field: String,
    /// How far behind its partition's highest time an event may come, in ms.
    pub out_of_orderness: TimeSpan,
    /// How far ahead of it an event may come, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_time_jump: Option<TimeSpan>,
    /// Whether its events leave without waiting for the bound when all partitions are idle.
    pub flushes: bool,
    /// How events that came before are known; those are dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicates: Option<Duplicates>,
    /// Whether late events are sent on, not only counted.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub keeps_late: bool,
}

/// How events that came before are known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duplicates {
    /// The field that tells events apart.
    pub id: String,
    /// Until the partition's watermark is so far beyond an event, its id is remembered; in ms.
    pub window: TimeSpan,
    /// So many ids are remembered at most; those of the earliest events are forgotten first.
    pub max_ids: usize,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_yes(keeps: &bool) -> bool {
    *keeps
}

/// A change of one pattern.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The pattern's name.
    pub name: String,
    /// The version that is put, changed or removed.
    pub version: u64,
    /// What happens.
    #[serde(flatten)]
    pub what: What,
}

/// What happens to a pattern.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum What {
    /// The version begins; the one before it, if there is one, ends.
    Put {
        /// Its text.
        source: String,
        /// What becomes of the partial matches of the version before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<OldState>,
        /// What holds for it besides its text.
        properties: Properties,
    },
    /// It goes on with other properties.
    Set {
        /// All of them.
        properties: Properties,
    },
    /// It begins no partial match any more, as it exceeded a budget; until it is no longer paused, or another version
    /// follows.
    Suspend {
        /// What it exceeded.
        reason: Suspension,
        /// What becomes of its partial matches: they go on, or are dropped.
        state: OldState,
    },
    /// It ends.
    Remove {
        /// What becomes of its partial matches: drained or dropped.
        state: OldState,
    },
}

/// What becomes of the partial matches of a version that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OldState {
    /// They go on until they are complete or their window ends.
    Drain,
    /// They are dropped.
    Drop,
    /// The next version goes on with them.
    Carry,
}

/// What holds for a pattern besides its text.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Properties {
    /// It begins no partial match; those that it has go on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// It runs and its matches can be seen, but no sink gets them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub shadow: bool,
    /// For people and for choosing.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// It gives one match per key in this length of event time; the others are counted and dropped.
    #[serde(skip_serializing_if = "Option::is_none", with = "span")]
    pub suppress: Option<TimeSpan>,
    /// Its own budgets, instead of those of the settings.
    #[serde(skip_serializing_if = "Budgets::is_empty")]
    pub limits: Budgets,
}

/// A length of time as the language writes it.
pub(crate) mod span {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::event::TimeSpan;
    use crate::event::time::duration_of;

    pub(crate) fn serialize<S: Serializer>(span: &Option<TimeSpan>, to: S) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => to.collect_str(span),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<TimeSpan>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        let span = text.map(|text| duration_of(&text)).transpose().map_err(serde::de::Error::custom)?;
        if span.is_some_and(|span| span.0 <= 0) {
            return Err(serde::de::Error::custom("`suppress` is a length of time above 0, as in 10m"));
        }
        Ok(span)
    }
}

/// Why a pattern was suspended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Suspension {
    /// The budget that it exceeded, as settings call it.
    pub limit: String,
    /// What that is.
    pub budget: u64,
    /// What there was.
    pub reached: u64,
    /// The key; null where the budget is for all keys together.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub key: Option<serde_json::Value>,
    /// The time of the event that exceeded it, in epoch milliseconds.
    #[schema(value_type = i64)]
    pub time: Timestamp,
}

/// Budgets of one pattern. What is not said is as the settings say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Budgets {
    /// Partial matches of one key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, value_type = Option<u64>)]
    pub max_partial_matches_per_key: Option<NonZeroU64>,
    /// Events that are kept for one key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, value_type = Option<u64>)]
    pub max_retained_events_per_key: Option<NonZeroU64>,
    /// Bytes of the events that are kept for one key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, value_type = Option<u64>)]
    pub max_retained_bytes_per_key: Option<NonZeroU64>,
    /// Partial matches of all keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, value_type = Option<u64>)]
    pub max_partial_matches: Option<NonZeroU64>,
    /// Bytes of the events that are kept for all keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, value_type = Option<u64>)]
    pub max_retained_bytes: Option<NonZeroU64>,
    /// Matches that one event may complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, value_type = Option<u64>)]
    pub max_matches_per_event: Option<NonZeroU64>,
    /// What happens to the pattern when it reaches one of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<BudgetPolicy>,
}

impl Budgets {
    pub(super) fn is_empty(&self) -> bool {
        *self == Budgets::default()
    }

    /// These, and what they do not say as others do.
    pub(super) fn over(self, others: Budgets) -> Budgets {
        Budgets {
            max_partial_matches_per_key: self
                .max_partial_matches_per_key
                .or(others.max_partial_matches_per_key),
            max_retained_events_per_key: self
                .max_retained_events_per_key
                .or(others.max_retained_events_per_key),
            max_retained_bytes_per_key: self.max_retained_bytes_per_key.or(others.max_retained_bytes_per_key),
            max_partial_matches: self.max_partial_matches.or(others.max_partial_matches),
            max_retained_bytes: self.max_retained_bytes.or(others.max_retained_bytes),
            max_matches_per_event: self.max_matches_per_event.or(others.max_matches_per_event),
            policy: self.policy.or(others.policy),
        }
    }

    /// As the engine has them; none where nothing is limited.
    pub(super) fn budget(self) -> Option<Budget> {
        let budget = Budget {
            partial_matches_per_key: Budget::some(self.max_partial_matches_per_key),
            events_per_key: Budget::some(self.max_retained_events_per_key),
            bytes_per_key: Budget::some(self.max_retained_bytes_per_key),
            partial_matches: Budget::some(self.max_partial_matches),
            bytes: Budget::some(self.max_retained_bytes),
            matches_per_event: Budget::some(self.max_matches_per_event),
            drops_oldest: false,
        };
        let drops_oldest = self.policy == Some(BudgetPolicy::DropOldest);
        (budget != Budget::default()).then_some(Budget { drops_oldest, ..budget })
    }
}

/// What happens to a pattern that reaches one of its budgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BudgetPolicy {
    /// It is suspended, with the reason.
    Suspend,
    /// Its oldest partial matches are dropped, and counted.
    DropOldest,
}
