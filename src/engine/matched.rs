//! A found match as the outside sees it: its place in the total order, its id, and its JSON.

use sha2::{Digest, Sha256};

use super::path::{Selected, Surroundings};
use super::set::Compiled;
use super::store::Store;
use crate::event::{Position, Timestamp, Value};
use crate::pattern::eval;

/// Where a match stands in the output, across shards: by trigger time, deadlines before events; deadlines by the
/// position of the match's first event, events by their own; then by pattern. What is equal here comes from one shard,
/// in the right sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Order {
    /// The trigger time.
    pub time: Timestamp,
    /// Whether an event triggered it, not a deadline.
    pub of_event: bool,
    /// The position of the event, or of the match's first event for a deadline.
    pub position: Position,
    /// The rank of the pattern by name and version.
    pub pattern: u32,
}

/// Takes what a shard finds, in order.
pub trait MatchSink {
    /// Takes one match or timeout.
    fn take(&mut self, order: Order, found: &MatchView<'_>);
}

/// Whether the pattern was completed, or its window closed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A match.
    Match,
    /// A timed-out partial match.
    Timeout,
}

/// A match or timeout, as long as the engine holds its events.
pub struct MatchView<'a> {
    pub(crate) pattern: &'a Compiled,
    pub(crate) kind: Kind,
    /// (kept event, stage) in order of acceptance; at least one.
    pub(crate) path: &'a [(u32, u32)],
    pub(crate) end: Timestamp,
    pub(crate) store: &'a Store,
    pub(crate) around: &'a Surroundings,
    pub(crate) key_slots: &'a [usize],
}

impl<'a> MatchView<'a> {
    /// The pattern's name.
    pub fn pattern(&self) -> &'a str {
        &self.pattern.name
    }

    /// Match or timeout.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The first event's time.
    pub fn start(&self) -> Timestamp {
        self.path.first().map_or(self.end, |(event, _)| self.store.time(*event))
    }

    /// The trigger time.
    pub fn end(&self) -> Timestamp {
        self.end
    }

    /// The events in order of acceptance: position, time, and the name of the stage.
    pub fn events(&self) -> impl Iterator<Item = (Position, Timestamp, &'a str)> {
        let (store, pattern) = (self.store, self.pattern);
        self.path.iter().map(move |(event, stage)| {
            (store.position(*event), store.time(*event), pattern.stages[*stage as usize].as_str())
        })
    }

    /// The match's id: docs/decisions.md has its encoding.
    pub fn id(&self) -> [u8; 16] {
        let mut hash = Sha256::new();
        let text = |hash: &mut Sha256, text: &str| {
            hash.update((text.len() as u32).to_le_bytes());
            hash.update(text.as_bytes());
        };
        hash.update(b"sequor-match-1");
        text(&mut hash, &self.pattern.name);
        hash.update(self.pattern.version.to_le_bytes());
        hash.update([self.kind as u8]);
        let seen = self.selected();
        for (stage, name) in self.pattern.stages.iter().enumerate() {
            let count = seen.events(stage).count();
            if count == 0 {
                continue;
            }
            text(&mut hash, name);
            hash.update((count as u32).to_le_bytes());
            for row in seen.events(stage) {
                let position = row.head.position;
                text(&mut hash, self.around.streams.get(position.stream as usize).map_or("", |s| s));
                hash.update(position.partition.to_le_bytes());
                hash.update(position.offset.to_le_bytes());
            }
        }
        let mut id = [0; 16];
        id.copy_from_slice(&hash.finalize()[..16]);
        id
    }

    /// Appends the match as one JSON object, without a line break.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"pattern\":");
        write_text(&self.pattern.name, out);
        write_after(out, ",\"version\":", self.pattern.version as i64);
        out.extend_from_slice(match self.kind {
            Kind::Match => b",\"kind\":\"match\",\"id\":\"".as_slice(),
            Kind::Timeout => b",\"kind\":\"timeout\",\"id\":\"",
        });
        for byte in self.id() {
            out.push(b"0123456789abcdef"[usize::from(byte >> 4)]);
            out.push(b"0123456789abcdef"[usize::from(byte & 15)]);
        }
        out.extend_from_slice(b"\",\"key\":{");
        let seen = self.selected();
        for (i, name) in self.pattern.key_names.iter().enumerate() {
            write_member(i, name, &eval::Env::key(&seen, i), out);
        }
        write_after(out, "},\"start\":", self.start().0);
        write_after(out, ",\"end\":", self.end.0);
        out.extend_from_slice(b",\"events\":{");
        let mut first = true;
        for (stage, name) in self.pattern.stages.iter().enumerate() {
            let mut before: &[u8] = b":[";
            for row in seen.events(stage) {
                if before == b":[" {
                    if !std::mem::take(&mut first) {
                        out.push(b',');
                    }
                    write_text(name, out);
                }
                out.extend_from_slice(before);
                before = b",";
                write_raw(row.raw(), out);
            }
            if before == b"," {
                out.push(b']');
            }
        }
        out.extend_from_slice(b"},\"fields\":{");
        for (i, (name, expr)) in self.pattern.select.iter().enumerate() {
            write_member(i, name, &eval::eval(expr, &seen), out);
        }
        out.extend_from_slice(b"}}");
    }

    fn selected(&self) -> Selected<'a> {
        Selected { path: self.path, store: self.store, around: self.around, key: self.key_slots }
    }
}

fn write_after(out: &mut Vec<u8>, before: &str, number: i64) {
    out.extend_from_slice(before.as_bytes());
    write_value(&Value::Int(number), out);
}

fn write_member(index: usize, name: &str, value: &Value<'_>, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b',');
    }
    write_text(name, out);
    out.push(b':');
    write_value(value, out);
}

/// Appends a JSON string.
fn write_text(text: &str, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = serde_json::to_writer(out, text);
}

/// Appends a value as JSON; times and spans as milliseconds.
fn write_value(value: &Value<'_>, out: &mut Vec<u8>) {
    let result = match value {
        Value::Null => serde_json::to_writer(out, &()),
        Value::Bool(b) => serde_json::to_writer(out, b),
        Value::Int(i) | Value::Time(i) | Value::Duration(i) => serde_json::to_writer(out, i),
        Value::UInt(u) => serde_json::to_writer(out, u),
        Value::Float(f) => serde_json::to_writer(out, f),
        Value::Str(s) => serde_json::to_writer(out, s.as_ref()),
        Value::Json(json) => {
            write_raw(json, out);
            Ok(())
        }
    };
    debug_assert!(result.is_ok(), "writing to memory does not fail");
}

/// Appends JSON as it came; a line break can only stand between two tokens, and becomes a space.
fn write_raw(json: &str, out: &mut Vec<u8>) {
    let from = out.len();
    out.extend_from_slice(json.as_bytes());
    if memchr::memchr2(b'\n', b'\r', json.as_bytes()).is_some() {
        for byte in &mut out[from..] {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }
}
