//! What is held, and what it costs, as it is shown.

use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::invalid;
use crate::api::problem::Problem;
use crate::engine::{Awaited, HeldEvent, HeldKey, PartialMatch, Wait};
use crate::event::{Timestamp, Value};
use crate::pattern::ast::LinkKind;
use crate::pattern::{Limits, compile};
use crate::pipeline::live::{AskedKey, HeldPage, VersionCost};

/// The largest number that every reader of JSON takes as it is.
const COUNT_MAX: u64 = (1 << 53) - 1;

/// Members of an object in their order.
#[derive(Debug)]
struct Members<T>(Vec<(String, T)>);

impl<T: Serialize> Serialize for Members<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        self.0.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
        map.end()
    }
}

type Key = Members<serde_json::Value>;

fn key_of(values: &[(String, Value<'static>)]) -> Key {
    let value = |value: &Value<'_>| match value {
        Value::Bool(value) => (*value).into(),
        Value::Int(value) | Value::Time(value) | Value::Duration(value) => (*value).into(),
        Value::UInt(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::Str(value) => value.as_ref().into(),
        Value::Null | Value::Json(_) => serde_json::Value::Null,
    };
    Members(values.iter().map(|(name, of)| (name.clone(), value(of))).collect())
}

/// The words in which a version of a pattern says what it waits for.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// By stage: its name, and all of it.
    stages: Vec<(String, String)>,
    /// The fields of its key.
    key: Vec<String>,
}

impl Words {
    pub(super) fn new(source: &str) -> Words {
        let compiled = compile(source, &Limits::default());
        let Some(plan) = compiled.plans.first() else { return Words::default() };
        let stage = |stage: &crate::pattern::plan::Stage| {
            let text = source.get(stage.span.start as usize..stage.span.end as usize).unwrap_or_default();
            let text = text.lines().map(str::trim).collect::<Vec<_>>().join(" ");
            (stage.name.clone(), text)
        };
        Words {
            stages: plan.stages.iter().map(stage).collect(),
            key: plan.key.iter().map(ToString::to_string).collect(),
        }
    }

    /// Refuses a key with other fields.
    pub(super) fn takes_key(&self, name: &str, key: &AskedKey) -> Result<(), Problem> {
        match self.key.as_slice() {
            fields if key.name(fields).is_some() => Ok(()),
            [] => Err(invalid(format!("`{name}` has no key: leave `key` out"))),
            fields => Err(invalid(format!("the key of `{name}` is ({})", fields.join(", ")))),
        }
    }

    fn name(&self, stage: usize) -> String {
        self.stages.get(stage).map_or_else(String::new, |(name, _)| name.clone())
    }

    fn text(&self, stage: usize) -> &str {
        self.stages.get(stage).map_or("", |(_, text)| text)
    }
}

/// Partial matches.
#[derive(Debug, serde::Serialize, ToSchema)]
pub(super) struct PartialMatches {
    /// By key and version.
    items: Vec<Shown>,
    /// The keys of this page, and how much each holds.
    keys: Vec<KeyCount>,
    /// Where the list goes on, if it does. It is made anew for each page, as events pass.
    next: Option<String>,
}

/// How many partial matches a version of a pattern has of a key.
#[derive(Debug, serde::Serialize, ToSchema)]
struct KeyCount {
    version: u64,
    /// The key's fields and their values.
    #[schema(value_type = Object)]
    key: Key,
    /// All partial matches of the key, those that are complete and wait included.
    partial_matches: u64,
    /// Whether there are more than can be said.
    is_capped: bool,
}

/// Whether something is still waited for.
#[derive(Debug, serde::Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Standing {
    /// Events are waited for, or the end of the window.
    Open,
    /// It is complete, and waits until nothing that began earlier can become a match.
    Complete,
}

/// A partial match.
#[derive(Debug, serde::Serialize, ToSchema)]
struct Shown {
    pattern: String,
    version: u64,
    /// The key's fields and their values.
    #[schema(value_type = Object)]
    key: Key,
    state: Standing,
    /// The variables that have matched, in the order of the pattern.
    matched: Vec<String>,
    /// What would bring it on: any of these.
    waits_for: Vec<ShownWait>,
    /// The time of its first event, in epoch milliseconds.
    #[schema(value_type = i64)]
    since: Timestamp,
    /// When its window closes, in epoch milliseconds; null where it does not.
    #[schema(value_type = Option<i64>)]
    deadline: Option<Timestamp>,
    /// Its events by variable.
    #[schema(value_type = std::collections::BTreeMap<String, Vec<ShownEvent>>)]
    events: Members<Vec<ShownEvent>>,
    /// How many more events it has: they did not fit into the answer.
    events_omitted: usize,
}

/// Something that a partial match waits for.
#[derive(Debug, serde::Serialize, ToSchema)]
struct ShownWait {
    /// The variable that would match; null: no certain one.
    variable: Option<String>,
    /// As the pattern says it.
    text: String,
    /// Whether the variable has matched already, and may again.
    again: bool,
    /// The variables that no event may match meanwhile.
    unless: Vec<String>,
}

/// An event of a partial match.
#[derive(Debug, serde::Serialize, ToSchema)]
struct ShownEvent {
    stream: String,
    partition: u32,
    offset: u64,
    /// In epoch milliseconds.
    #[schema(value_type = i64)]
    time: Timestamp,
    /// The event as it came.
    #[schema(value_type = Object)]
    event: Box<RawValue>,
}

impl PartialMatches {
    pub(super) fn new(page: HeldPage, words: &BTreeMap<u64, Words>, next: Option<String>) -> PartialMatches {
        let unknown = Words::default();
        let of = |key: &HeldKey| words.get(&key.version).unwrap_or(&unknown);
        let keys = page.keys.iter().map(|key| KeyCount {
            version: key.version,
            key: key_of(&key.key),
            partial_matches: key.count.min(COUNT_MAX),
            is_capped: key.count > COUNT_MAX,
        });
        let items =
            page.keys.iter().flat_map(|key| key.items.iter().map(|item| Shown::new(key, item, of(key))));
        PartialMatches { items: items.collect(), keys: keys.collect(), next }
    }
}

impl Shown {
    fn new(key: &HeldKey, item: &PartialMatch, words: &Words) -> Shown {
        let mut by_stage: BTreeMap<usize, Vec<ShownEvent>> = BTreeMap::new();
        for event in &item.events {
            by_stage.entry(event.stage).or_default().extend(ShownEvent::new(event));
        }
        let events: Vec<(String, Vec<ShownEvent>)> =
            by_stage.into_iter().map(|(stage, events)| (words.name(stage), events)).collect();
        Shown {
            pattern: key.pattern.clone(),
            version: key.version,
            key: key_of(&key.key),
            state: if item.is_complete { Standing::Complete } else { Standing::Open },
            matched: events.iter().map(|(name, _)| name.clone()).collect(),
            waits_for: item.waits.iter().map(|wait| ShownWait::new(wait, words)).collect(),
            since: item.since,
            deadline: item.deadline,
            events: Members(events),
            events_omitted: item.omitted,
        }
    }
}

impl ShownWait {
    fn new(wait: &Wait, words: &Words) -> ShownWait {
        let link = match wait.link {
            LinkKind::Next => "next",
            LinkKind::FollowedByAny => "followed by any",
            _ => "followed by",
        };
        let (variable, text, again) = match wait.awaited {
            Awaited::Stage(stage, again) => {
                (Some(words.name(stage)), format!("{link} {}", words.text(stage)), again)
            }
            Awaited::NextEvent => (None, String::from("the next event"), false),
            Awaited::Deadline => (None, String::from("the end of the window"), false),
        };
        let unless = wait.unless.iter().map(|&stage| words.name(stage)).collect();
        ShownWait { variable, text, again, unless }
    }
}

impl ShownEvent {
    /// None where it is not JSON, which no event is.
    fn new(event: &HeldEvent) -> Option<ShownEvent> {
        Some(ShownEvent {
            stream: event.stream.clone(),
            partition: event.position.partition,
            offset: event.position.offset,
            time: event.time,
            event: RawValue::from_string(event.json.clone()).ok()?,
        })
    }
}

/// Patterns that hold something of a key.
#[derive(Debug, serde::Serialize, ToSchema)]
pub(super) struct Holders {
    /// By name and version.
    items: Vec<Holder>,
    /// Where the list goes on, if it does.
    next: Option<String>,
}

/// A version of a pattern that holds something of a key.
#[derive(Debug, serde::Serialize, ToSchema)]
struct Holder {
    pattern: String,
    version: u64,
    /// The key's fields and their values.
    #[schema(value_type = Object)]
    key: Key,
    /// All partial matches, those that are complete and wait included.
    partial_matches: u64,
    /// Whether there are more than can be said.
    is_capped: bool,
    /// When the first of them began, in epoch milliseconds.
    #[schema(value_type = i64)]
    since: Timestamp,
    /// When the next window closes, in epoch milliseconds; null where none does.
    #[schema(value_type = Option<i64>)]
    deadline: Option<Timestamp>,
}

impl Holders {
    pub(super) fn new(page: HeldPage, next: Option<String>) -> Holders {
        let items = page.keys.into_iter().map(|held| Holder {
            key: key_of(&held.key),
            pattern: held.pattern,
            version: held.version,
            partial_matches: held.count.min(COUNT_MAX),
            is_capped: held.count > COUNT_MAX,
            since: held.since,
            deadline: held.deadline,
        });
        Holders { items: items.collect(), next }
    }
}

/// What the versions of a pattern cost.
#[derive(Debug, serde::Serialize, ToSchema)]
pub(super) struct Costs {
    /// Those that are at work.
    items: Vec<ShownCost>,
    /// Always null: all are there.
    next: Option<String>,
}

/// What a version of a pattern costs and holds. What is counted is counted since it was installed, or the service was
/// started.
#[derive(Debug, serde::Serialize, ToSchema)]
struct ShownCost {
    version: u64,
    /// Events that its conditions were asked about.
    events: u64,
    matches: u64,
    timeouts: u64,
    /// Its part of the time that the engine took, from 0 to 1, as far as it was sampled; null where nothing was yet.
    time_share: Option<f64>,
    /// Keys that hold something now.
    keys: u64,
    /// Partial matches now.
    partial_matches: u64,
    /// Events that they hold; what several keys or patterns share is counted for each.
    retained_events: u64,
    /// Bytes of their states, as a checkpoint has them.
    bytes: u64,
    /// Whether what they hold is estimated from some keys.
    is_estimate: bool,
}

impl Costs {
    pub(super) fn new(versions: Vec<VersionCost>) -> Costs {
        let shown = |VersionCost { version, cost, weight, is_estimate, timed_nanos }| ShownCost {
            version,
            events: cost.events,
            matches: cost.matches,
            timeouts: cost.timeouts,
            time_share: (timed_nanos > 0).then(|| (cost.nanos as f64 / timed_nanos as f64).min(1.0)),
            keys: weight.keys,
            partial_matches: weight.partial_matches.min(COUNT_MAX),
            retained_events: weight.events,
            bytes: weight.bytes,
            is_estimate,
        };
        Costs { items: versions.into_iter().map(shown).collect(), next: None }
    }
}
