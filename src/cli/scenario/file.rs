//! A scenario file: TOML as it is written, resolved into scenarios with absolute times and numbered events.
//!
//! Everything that can be wrong with a file is found here, before anything runs, with the scenario's name and line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::event::time::duration_of;
use crate::event::{TimeSpan, Timestamp};

/// A scenario: events, and what has to come of them.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What it is about.
    pub name: String,
    /// The line of the file in which its name stands, from 1.
    pub line: usize,
    /// The pattern files, relative to the working directory.
    pub patterns: Vec<PathBuf>,
    /// The moment that relative times count from.
    pub start: Timestamp,
    /// The bound on disorder that every stream has.
    pub out_of_orderness: TimeSpan,
    /// The events, in the order in which they arrive.
    pub events: Vec<Event>,
    /// The matches and timeouts that have to come, and no others.
    pub matches: Vec<Expected>,
    /// Patterns that must give nothing.
    pub none_of: Vec<String>,
    /// How many events have to be late.
    pub late: u64,
    /// How many lines have to be dead letters.
    pub dead_letters: u64,
}

/// An input line of a scenario, and where it arrives.
#[derive(Debug, Clone)]
pub struct Event {
    /// What expectations call it; else they use its number.
    pub label: Option<String>,
    /// The stream that it arrives on.
    pub stream: String,
    /// The partition of that stream.
    pub partition: u32,
    /// Its event time; none for a line that has none.
    pub time: Option<Timestamp>,
    /// The line.
    pub text: String,
}

/// A match or timeout that has to come. What is not said of it is not compared.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The pattern that gives it.
    pub pattern: Option<String>,
    /// Whether it is a timeout.
    pub timeout: bool,
    /// Its trigger time.
    pub at: Option<Timestamp>,
    /// Its key.
    pub key: Option<Key>,
    /// The events of each stage, by number, in order of acceptance.
    pub events: Option<BTreeMap<String, Vec<usize>>>,
    /// Some or all of its fields.
    pub fields: Map<String, Value>,
}

/// An expected key.
#[derive(Debug, Clone, PartialEq)]
pub enum Key {
    /// The value of the only key field.
    Single(Value),
    /// All key fields by their paths.
    Fields(Map<String, Value>),
}

/// The member that carries an event's number through the engine. Patterns cannot name it: a path knows no such `@`.
pub const EVENT_NUMBER: &str = "@event";

/// 2026-01-01T00:00:00Z, from where relative times count if the file does not say otherwise.
const DEFAULT_START: Timestamp = Timestamp(1_767_225_600_000);

/// The bound on disorder if the file does not say otherwise: that of `sequor replay`.
const DEFAULT_BOUND: TimeSpan = TimeSpan(5_000);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    patterns: Option<Vec<PathBuf>>,
    start: Option<String>,
    out_of_orderness: Option<String>,
    scenario: Vec<RawScenario>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawScenario {
    name: toml::Spanned<String>,
    start: Option<String>,
    out_of_orderness: Option<String>,
    events: Vec<toml::Table>,
    #[serde(default)]
    matches: Vec<RawExpected>,
    #[serde(default)]
    none_of: Vec<String>,
    #[serde(default)]
    late: u64,
    #[serde(default)]
    dead_letters: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExpected {
    pattern: Option<String>,
    #[serde(default)]
    kind: Kind,
    at: Option<String>,
    key: Option<toml::Value>,
    events: Option<BTreeMap<String, OneOrMany>>,
    #[serde(default)]
    fields: toml::Table,
}

#[derive(Deserialize, Default, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Match,
    Timeout,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(EventRef),
    Many(Vec<EventRef>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum EventRef {
    Number(usize),
    Label(String),
}

/// Reads a scenario file's text. `path` is where it stands: pattern files are named relative to its folder, and without
/// `patterns` the pattern file is the one with the scenario file's name.
pub fn parse(text: &str, path: &Path) -> Result<Vec<Scenario>, String> {
    let raw: RawFile = toml::from_str(text).map_err(|e| format!("{}: {e}", path.display()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let patterns: Vec<PathBuf> = match raw.patterns {
        Some(names) => names.iter().map(|name| folder.join(name)).collect(),
        None => vec![pattern_beside(path)],
    };
    let scenarios = raw.scenario.into_iter().map(|mut scenario| {
        let line = 1 + text[..scenario.name.span().start].matches('\n').count();
        let name = scenario.name.get_ref().clone();
        scenario.start = scenario.start.or_else(|| raw.start.clone());
        scenario.out_of_orderness = scenario.out_of_orderness.or_else(|| raw.out_of_orderness.clone());
        resolve(scenario, line, patterns.clone())
            .map_err(|e| format!("{}:{line}: scenario \"{name}\": {e}", path.display()))
    });
    scenarios.collect()
}

/// `NAME.seq` beside `NAME.scenario.toml`.
fn pattern_beside(path: &Path) -> PathBuf {
    let name = path.file_name().map(|n| n.to_string_lossy()).unwrap_or_default();
    let stem = name.strip_suffix(".toml").unwrap_or(&name);
    path.with_file_name(format!("{}.seq", stem.strip_suffix(".scenario").unwrap_or(stem)))
}

fn resolve(raw: RawScenario, line: usize, patterns: Vec<PathBuf>) -> Result<Scenario, String> {
    let start = raw.start.as_deref().map_or(Ok(DEFAULT_START), parse_time)?;
    let out_of_orderness = raw.out_of_orderness.as_deref().map_or(Ok(DEFAULT_BOUND), span)?;
    let mut events = Vec::with_capacity(raw.events.len());
    for (number, table) in raw.events.into_iter().enumerate() {
        events.push(event(table, number, start).map_err(|e| format!("event {number}: {e}"))?);
    }
    let mut labels = BTreeMap::new();
    for (number, event) in events.iter().enumerate() {
        if let Some(label) = &event.label
            && let Some(other) = labels.insert(label.clone(), number)
        {
            return Err(format!("events {other} and {number} are both called \"{label}\""));
        }
    }
    let mut matches = Vec::with_capacity(raw.matches.len());
    for (number, raw) in raw.matches.into_iter().enumerate() {
        matches
            .push(expected(raw, start, &labels, events.len()).map_err(|e| format!("match {number}: {e}"))?);
    }
    Ok(Scenario {
        name: raw.name.into_inner(),
        line,
        patterns,
        start,
        out_of_orderness,
        events,
        matches,
        none_of: raw.none_of,
        late: raw.late,
        dead_letters: raw.dead_letters,
    })
}

/// An event from its table: `t`, `as`, `stream`, `partition`, `line` and `fields` are the scenario's, the others are
/// the event's own; `fields` holds those of the event's own that have such a name.
fn event(mut table: toml::Table, number: usize, start: Timestamp) -> Result<Event, String> {
    let label = take_text(&mut table, "as")?;
    let stream = take_text(&mut table, "stream")?.unwrap_or_else(|| "events".to_owned());
    let partition = match table.remove("partition") {
        None => 0,
        Some(value) => value
            .as_integer()
            .and_then(|n| u32::try_from(n).ok())
            .ok_or("`partition` is not a number from 0 on")?,
    };
    let time = match take_text(&mut table, "t")? {
        Some(text) => Some(start.plus(span(&text)?)),
        None => None,
    };
    if let Some(text) = take_text(&mut table, "line")? {
        if time.is_some() || !table.is_empty() {
            return Err(
                "`line` is the whole input line: neither `t` nor fields have a place beside it".to_owned()
            );
        }
        if text.contains('\n') || is_event(&text) {
            return Err("`line` is one line that is no event: write an event as a table with `t`".to_owned());
        }
        return Ok(Event { label, stream, partition, time, text });
    }
    let Some(Timestamp(ms)) = time else {
        return Err("it has no time: say `t = \"0s\"` (or `line` for an input line as it stands)".to_owned());
    };
    let more = match table.remove("fields") {
        None => toml::Table::new(),
        Some(toml::Value::Table(more)) => more,
        Some(_) => return Err("`fields` is not a table".to_owned()),
    };
    let mut members = Map::new();
    members.insert("ts".to_owned(), ms.into());
    for (name, value) in table.into_iter().chain(more) {
        if members.insert(name.clone(), json(value)?).is_some() {
            return Err(format!("the field `{name}` is there twice (`ts` comes from `t`)"));
        }
    }
    members.insert(EVENT_NUMBER.to_owned(), number.into());
    Ok(Event { label, stream, partition, time, text: Value::Object(members).to_string() })
}

/// Whether a line could be an event: only then does it matter where it arrives.
fn is_event(line: &str) -> bool {
    serde_json::from_str::<Map<String, Value>>(line).is_ok_and(|members| members.contains_key("ts"))
}

fn expected(
    raw: RawExpected,
    start: Timestamp,
    labels: &BTreeMap<String, usize>,
    count: usize,
) -> Result<Expected, String> {
    let number = |event: EventRef| match event {
        EventRef::Number(number) if number < count => Ok(number),
        EventRef::Number(number) => {
            Err(format!("there is no event {number}, the last one is {}", count.max(1) - 1))
        }
        EventRef::Label(label) => {
            labels.get(&label).copied().ok_or_else(|| format!("no event is called \"{label}\""))
        }
    };
    let numbers = |events: OneOrMany| match events {
        OneOrMany::One(event) => Ok(vec![number(event)?]),
        OneOrMany::Many(events) => events.into_iter().map(number).collect::<Result<Vec<_>, String>>(),
    };
    let events = match raw.events {
        None => None,
        Some(stages) => Some(
            stages
                .into_iter()
                .map(|(stage, events)| Ok((stage, numbers(events)?)))
                .collect::<Result<BTreeMap<_, _>, String>>()?,
        ),
    };
    Ok(Expected {
        pattern: raw.pattern,
        timeout: raw.kind == Kind::Timeout,
        at: raw.at.map(|text| span(&text)).transpose()?.map(|span| start.plus(span)),
        key: match raw.key {
            None => None,
            Some(toml::Value::Table(fields)) => Some(Key::Fields(object(fields)?)),
            Some(value) => Some(Key::Single(json(value)?)),
        },
        events,
        fields: object(raw.fields)?,
    })
}

fn take_text(table: &mut toml::Table, name: &str) -> Result<Option<String>, String> {
    match table.remove(name) {
        None => Ok(None),
        Some(toml::Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("`{name}` is not a string (a field of that name goes into `fields`)")),
    }
}

fn object(table: toml::Table) -> Result<Map<String, Value>, String> {
    table.into_iter().map(|(name, value)| Ok((name, json(value)?))).collect()
}

fn json(value: toml::Value) -> Result<Value, String> {
    Ok(match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(int) => int.into(),
        toml::Value::Boolean(bool) => bool.into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(values) => values.into_iter().map(json).collect::<Result<Vec<_>, _>>()?.into(),
        toml::Value::Table(table) => object(table)?.into(),
        toml::Value::Float(float) => serde_json::Number::from_f64(float)
            .map(Value::Number)
            .ok_or_else(|| format!("{float} is no number in JSON"))?,
    })
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    match chrono::DateTime::parse_from_rfc3339(text) {
        Ok(time) => Ok(Timestamp(time.timestamp_millis())),
        Err(_) => Err(format!("`start` is not a time like \"2026-01-01T00:00:00Z\": \"{text}\"")),
    }
}

fn span(text: &str) -> Result<TimeSpan, String> {
    duration_of(text).map_err(|e| format!("\"{text}\": {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(text, Path::new("dir/p.scenario.toml")).unwrap_err()
    }

    fn with_events(events: &str) -> String {
        format!("\n[[scenario]]\nname = \"s\"\nevents = [{events}]\n")
    }

    #[test]
    fn a_file_is_resolved_with_its_defaults() {
        let text = r#"
            start = "2026-01-02T00:00:00Z"
            [[scenario]]
            name = "one"
            events = [
              { t = "1s", as = "x", type = "a", n = 1.5, o = { p = [1] } },
              { t = "2m", type = "b", stream = "other", partition = 3, fields = { t = 7, as = true } },
              { line = "no event" },
            ]
            matches = [{ kind = "timeout", at = "2m", events = { s = ["x", 1] } }]
            [[scenario]]
            name = "two"
            start = "1970-01-01T00:00:00Z"
            out_of_orderness = "1h30m"
            events = []
        "#;
        let scenarios = parse(text, Path::new("dir/p.scenario.toml")).unwrap();
        let [one, two] = scenarios.as_slice() else { panic!("{scenarios:?}") };
        assert_eq!((one.line, one.patterns.as_slice()), (4, [PathBuf::from("dir/p.seq")].as_slice()));
        assert_eq!(one.start, Timestamp(1_767_312_000_000));
        assert_eq!(one.out_of_orderness, TimeSpan(5_000));
        assert_eq!(one.events[0].text, r#"{"@event":0,"n":1.5,"o":{"p":[1]},"ts":1767312001000,"type":"a"}"#);
        assert_eq!(one.events[1].text, r#"{"@event":1,"as":true,"t":7,"ts":1767312120000,"type":"b"}"#);
        assert_eq!((one.events[1].stream.as_str(), one.events[1].partition), ("other", 3));
        assert_eq!((one.events[2].text.as_str(), one.events[2].time), ("no event", None));
        assert_eq!(one.matches[0].events, Some(BTreeMap::from([("s".to_owned(), vec![0, 1])])));
        assert_eq!(one.matches[0].at, Some(Timestamp(1_767_312_120_000)));
        assert_eq!((two.start, two.out_of_orderness), (Timestamp(0), TimeSpan(5_400_000)));
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        let cases = [
            (with_events("{}"), "event 0: it has no time"),
            (with_events(r#"{t="1x"}"#), "\"1x\": a duration is"),
            (with_events(r#"{t=""}"#), ": a duration is"),
            (with_events(r#"{t="99999999999w"}"#), ": this duration is out of range"),
            (with_events(r#"{t="1s", ts=3}"#), "`ts` is there twice"),
            (with_events(r#"{t="1s", as=3}"#), "`as` is not a string"),
            (with_events(r#"{t="1s", partition=-1}"#), "`partition` is not"),
            (with_events(r#"{t="1s", x=nan}"#), "no number in JSON"),
            (with_events(r#"{line="x", t="1s"}"#), "neither `t` nor fields"),
            (with_events(r#"{line='{"ts":1}'}"#), "is no event"),
            (with_events(r#"{t="1s", as="x"}, {t="2s", as="x"}"#), "events 0 and 1 are both called"),
            (with_events(r#"{t="1s"}"#) + "matches = [{events={a=1}}]", "match 0: there is no event 1"),
            (with_events(r#"{t="1s"}"#) + "matches = [{events={a=\"y\"}}]", "no event is called \"y\""),
            (with_events("") + "start = \"yesterday\"", "`start` is not a time"),
            (with_events("") + "match = []", "unknown field `match`"),
            ("".to_owned(), "missing field `scenario`"),
        ];
        for (text, wanted) in cases {
            let found = error(&text);
            assert!(found.contains(wanted), "{found}\nshould say {wanted}");
            assert!(found.starts_with("dir/p.scenario.toml:"), "{found}");
        }
        assert!(error(&with_events("{}")).starts_with("dir/p.scenario.toml:3: scenario \"s\": event 0"));
    }
}
