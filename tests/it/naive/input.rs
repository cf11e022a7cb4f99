//! From lines to events: which are events, which are late or bad, and in which order the events are taken.

use std::rc::Rc;

use sequor::pattern::ast::PathSegment;

use super::json::{Json, Step};
use super::value::Value;
use super::{Input, Settings};

/// An event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    /// Its time.
    pub(crate) time: i64,
    /// Its place in the order in which events are taken.
    pub(crate) order: usize,
    /// Its position: stream, partition, offset.
    pub(crate) position: Position,
    /// The stream's name.
    pub(crate) stream: String,
    /// Its type, if it has one.
    pub(crate) kind: Option<String>,
    /// The object as it came, without white space around it.
    pub(crate) raw: String,
    json: Json,
}

/// Stream, partition and offset: what positions compare by.
pub(crate) type Position = (String, u32, u64);

/// A late event.
#[derive(Debug, Clone)]
pub(crate) struct Late {
    /// Where it stands among the others: its partition's highest time so far.
    pub(crate) rank: (Option<i64>, u32, u64),
    /// Its partition's watermark.
    pub(crate) watermark: i64,
    /// The object as it came.
    pub(crate) raw: String,
}

/// A line that is no event.
#[derive(Debug, Clone)]
pub(crate) struct Dead {
    /// Where it stands among the others: its partition's highest time so far.
    pub(crate) rank: (Option<i64>, u32, u64),
    /// What is wrong with it.
    pub(crate) reason: String,
    /// The line as it came.
    pub(crate) raw: Vec<u8>,
}

/// What the input holds.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// The events in the order in which they are taken.
    pub(crate) events: Vec<Rc<Event>>,
    /// Late events, in the order in which they are written.
    pub(crate) late: Vec<Late>,
    /// Dead letters, in the order in which they are written.
    pub(crate) dead: Vec<Dead>,
}

impl Event {
    /// The value of a field.
    pub(crate) fn field(&self, path: &[PathSegment]) -> Value {
        self.json.at(&steps(path))
    }

    /// The value of a field or of an `@` attribute.
    pub(crate) fn attribute(&self, path: &[PathSegment]) -> Value {
        let [PathSegment::Meta(name)] = path else { return self.field(path) };
        match &name.text[..] {
            "time" => Value::Time(self.time),
            "type" => self.kind.clone().map_or(Value::Null, Value::Str),
            "stream" => Value::Str(self.stream.clone()),
            "partition" => Value::Int(self.position.1.into()),
            "offset" => Value::Int(self.position.2.into()),
            // Lines of files have no record keys.
            "key" => Value::Null,
            other => unreachable!("the checker refuses @{other}"),
        }
    }
}

/// A path that reads a field, as steps into a JSON value.
pub(crate) fn steps(path: &[PathSegment]) -> Vec<Step> {
    let steps = path.iter().map(|segment| match segment {
        PathSegment::Name(name) => Step::Name(name.text.clone()),
        PathSegment::Index(index, _) => Step::Index(*index),
        PathSegment::Meta(name) => unreachable!("@{} is no field", name.text),
    });
    steps.collect()
}

/// Reads all partitions.
pub(crate) fn read(inputs: &[Input], settings: &Settings) -> Read {
    let mut read = Read::default();
    let mut events = Vec::new();
    for (partition, input) in inputs.iter().enumerate() {
        let mut highest: Option<i64> = None;
        for (offset, line) in input.lines.iter().enumerate() {
            let position = (input.stream.clone(), partition as u32, offset as u64);
            let text = trim(line);
            if text.is_empty() {
                continue;
            }
            match event(text, position.clone(), settings) {
                Ok(event) => {
                    let watermark = highest.map(|highest| {
                        highest.saturating_sub(settings.out_of_orderness_ms).saturating_sub(1)
                    });
                    highest = highest.max(Some(event.time));
                    match watermark {
                        Some(watermark) if event.time <= watermark => {
                            let rank = (highest, position.1, position.2);
                            read.late.push(Late { rank, watermark, raw: event.raw });
                        }
                        _ => events.push(event),
                    }
                }
                Err(reason) => {
                    read.dead.push(Dead {
                        rank: (highest, position.1, position.2),
                        reason,
                        raw: line.clone(),
                    });
                }
            }
        }
    }
    events.sort_by(|a, b| (a.time, &a.position).cmp(&(b.time, &b.position)));
    for (order, event) in events.iter_mut().enumerate() {
        event.order = order;
    }
    read.events = events.into_iter().map(Rc::new).collect();
    read.late.sort_by_key(|late| late.rank);
    read.dead.sort_by_key(|dead| dead.rank);
    read
}

/// A line without JSON's white space around it.
fn trim(line: &[u8]) -> &[u8] {
    let solid = |byte: &u8| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let from = line.iter().position(solid).unwrap_or(line.len());
    let to = line.iter().rposition(solid).map_or(from, |last| last + 1);
    &line[from..to]
}

/// The event that a line holds, or what is wrong with the line.
fn event(line: &[u8], position: Position, settings: &Settings) -> Result<Event, String> {
    let text = std::str::from_utf8(line).map_err(|error| format!("invalid JSON: {error}"))?;
    serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|error| format!("invalid JSON: {error}"))?;
    let json = Json::read(text);
    if !matches!(json, Json::Object(..)) {
        return Err("not a JSON object".into());
    }
    let field =
        |path: &str| json.at(&path.split('.').map(|name| Step::Name(name.into())).collect::<Vec<_>>());
    let kind = match field(&settings.type_field) {
        Value::Str(kind) => Some(kind),
        _ => None,
    };
    let name = &settings.time_field;
    let time = match field(name) {
        Value::Null => return Err(format!("no event time: `{name}` is missing")),
        Value::Int(ms) => i64::try_from(ms).ok(),
        Value::Float(ms) if ms.fract() == 0.0 && ms >= -(2_f64.powi(63)) && ms < 2_f64.powi(63) => {
            Some(ms as i64)
        }
        Value::Str(text) => rfc3339(&text),
        _ => None,
    };
    let invalid = || {
        format!("invalid event time: `{name}` is neither a whole number of milliseconds nor an RFC 3339 time")
    };
    let time = time.ok_or_else(invalid)?;
    Ok(Event { time, order: 0, stream: position.0.clone(), position, kind, raw: text.to_owned(), json })
}

/// The moment that an RFC 3339 text names, in milliseconds, rounded down.
pub(crate) fn rfc3339(text: &str) -> Option<i64> {
    let captures = regex::Regex::new(
        r"(?x)^([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt\x20]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?
          (?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))$",
    )
    .unwrap()
    .captures(text)?;
    let number = |group: usize| captures.get(group).map_or(Some(0), |m| m.as_str().parse::<i64>().ok());
    let (year, month, day) = (number(1)?, number(2)?, number(3)?);
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let month = usize::try_from(month - 1).ok()?;
    if !(1..=*lengths.get(month)?).contains(&day) {
        return None;
    }
    let (hour, minute, second) = (number(4)?, number(5)?, number(6)?);
    let (ahead_hours, ahead_minutes) = (number(9)?, number(10)?);
    if hour > 23 || minute > 59 || second > 60 || ahead_hours > 23 || ahead_minutes > 59 {
        return None;
    }
    // Days since the first of January in the year 0, and from there to 1970.
    let years_before = year - 1;
    let leap_days =
        years_before.div_euclid(4) - years_before.div_euclid(100) + years_before.div_euclid(400) + 1;
    let days = year * 365 + leap_days + lengths[..month].iter().sum::<i64>() + day - 1 - 719_528;
    let ahead = (ahead_hours * 60 + ahead_minutes)
        * if captures.get(8).is_some_and(|m| m.as_str() == "-") { -1 } else { 1 };
    let minutes = (days * 24 + hour) * 60 + minute - ahead;
    let digits = captures.get(7).map_or("", |m| m.as_str());
    let fraction: i64 = format!("{digits:0<3}")[..3].parse().ok()?;
    Some((minutes * 60 + second) * 1000 + fraction)
}
