//! A found match as the outside sees it: its place in the total order, its id, and its JSON.

use sha2::{Digest, Sha256};

use smallvec::SmallVec;

use super::path::{Selected, Surroundings};
use super::set::Compiled;
use super::store::Store;
use crate::event::{Fields, Position, Timestamp, Value};
use crate::pattern::eval;
use crate::pattern::plan::Plan;

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
        &self.pattern.plan.name
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
        self.id_of(&self.by_stage(), &mut Vec::new())
    }

    /// The id. What it is a hash of is put together behind what stands in `room`, and taken away again.
    fn id_of(&self, steps: &[(u32, u32)], room: &mut Vec<u8>) -> [u8; 16] {
        let labels = &self.pattern.labels;
        let from = room.len();
        room.extend_from_slice(&labels.id);
        room.push(self.kind as u8);
        for of_stage in steps.chunk_by(|a, b| a.1 == b.1) {
            room.extend_from_slice(&labels.stages[of_stage[0].1 as usize].id);
            room.extend_from_slice(&(of_stage.len() as u32).to_le_bytes());
            for (event, _) in of_stage {
                let position = self.store.position(*event);
                let stream = self.around.streams.get(position.stream as usize).map_or("", |name| name);
                room.extend_from_slice(&(stream.len() as u32).to_le_bytes());
                room.extend_from_slice(stream.as_bytes());
                room.extend_from_slice(&position.partition.to_le_bytes());
                room.extend_from_slice(&position.offset.to_le_bytes());
            }
        }
        let mut id = [0; 16];
        id.copy_from_slice(&Sha256::digest(&room[from..])[..16]);
        room.truncate(from);
        id
    }

    /// Appends the match as one JSON object, without a line break.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        let steps = self.by_stage();
        let labels = &self.pattern.labels;
        out.extend_from_slice(labels.head.as_bytes());
        out.extend_from_slice(match self.kind {
            Kind::Match => b"match\",\"id\":\"".as_slice(),
            Kind::Timeout => b"timeout\",\"id\":\"",
        });
        let id = self.id_of(&steps, out);
        out.extend_from_slice(&hex(id));
        out.extend_from_slice(b"\",\"key\":{");
        let seen = self.selected();
        for (i, name) in labels.key.iter().enumerate() {
            out.extend_from_slice(name.as_bytes());
            write_value(&eval::Env::key(&seen, i), out);
        }
        out.extend_from_slice(b"},\"start\":");
        write_int(self.start().0, out);
        out.extend_from_slice(b",\"end\":");
        write_int(self.end.0, out);
        out.extend_from_slice(b",\"events\":");
        let mut before = b'{';
        for of_stage in steps.chunk_by(|a, b| a.1 == b.1) {
            out.push(before);
            before = b',';
            out.extend_from_slice(labels.stages[of_stage[0].1 as usize].text.as_bytes());
            let mut before = b'[';
            for (event, _) in of_stage {
                out.push(before);
                before = b',';
                for part in self.store.row(*event).object() {
                    write_raw(part, out);
                }
            }
            out.push(b']');
        }
        out.extend_from_slice(b"},\"fields\":{");
        for ((_, expr), name) in self.pattern.select.iter().zip(&labels.fields) {
            out.extend_from_slice(name.as_bytes());
            write_value(&eval::eval(expr, &seen), out);
        }
        out.extend_from_slice(b"}}");
    }

    /// The path by stage, in pattern order; the events of a stage in order of acceptance.
    fn by_stage(&self) -> SmallVec<[(u32, u32); 16]> {
        let mut steps = SmallVec::<[(u32, u32); 16]>::from_slice(self.path);
        if !steps.is_sorted_by_key(|step| step.1) {
            steps.sort_by_key(|step| step.1);
        }
        steps
    }

    fn selected(&self) -> Selected<'a> {
        Selected { path: self.path, store: self.store, around: self.around, key: self.key_slots }
    }
}

/// The key of an event, as a JSON object.
pub(super) fn key_json<'a>(pattern: &Compiled, row: &impl Fields<'a>, slots: &[usize]) -> String {
    let mut out = b"{".to_vec();
    for (name, slot) in pattern.labels.key.iter().zip(slots) {
        out.extend_from_slice(name.as_bytes());
        write_value(&row.value(*slot), &mut out);
    }
    out.push(b'}');
    String::from_utf8_lossy(&out).into_owned()
}

/// What all matches of a pattern say in the same words.
#[derive(Debug, Clone)]
pub(crate) struct Labels {
    /// The JSON up to the kind.
    head: String,
    /// The beginning of what the id is a hash of.
    id: Vec<u8>,
    stages: Vec<StageLabels>,
    /// Members' names as JSON, each with its colon and, after the first, a comma before.
    key: Vec<String>,
    fields: Vec<String>,
}

#[derive(Debug, Clone)]
struct StageLabels {
    /// The name as JSON, with its colon.
    text: String,
    /// The name in what the id is a hash of.
    id: Vec<u8>,
}

impl Labels {
    pub(crate) fn new(plan: &Plan, version: u64) -> Labels {
        let sized = |text: &str| [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
        let member = |name: &str| format!("{}:", serde_json::Value::from(name));
        let members = |names: Vec<String>| {
            let before = std::iter::once("").chain(std::iter::repeat(","));
            before.zip(names).map(|(before, name)| format!("{before}{}", member(&name))).collect()
        };
        Labels {
            head: format!(
                "{{{}{},\"version\":{version},\"kind\":\"",
                member("pattern"),
                serde_json::Value::from(&*plan.name)
            ),
            id: [b"sequor-match-1".as_slice(), &sized(&plan.name), &version.to_le_bytes()].concat(),
            stages: plan
                .stages
                .iter()
                .map(|s| StageLabels { text: member(&s.name), id: sized(&s.name) })
                .collect(),
            key: members(plan.key.iter().map(ToString::to_string).collect()),
            fields: members(plan.select.iter().map(|(name, _)| name.clone()).collect()),
        }
    }
}

/// Appends an integer.
fn write_int(int: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(int).as_bytes());
}

fn hex(id: [u8; 16]) -> [u8; 32] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 32];
    for (pair, byte) in text.chunks_exact_mut(2).zip(id) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
    text
}

/// Appends a value as JSON; times and spans as milliseconds.
fn write_value(value: &Value<'_>, out: &mut Vec<u8>) {
    let result = match value {
        Value::Null => serde_json::to_writer(out, &()),
        Value::Bool(b) => serde_json::to_writer(out, b),
        Value::Int(i) | Value::Time(i) | Value::Duration(i) => {
            write_int(*i, out);
            Ok(())
        }
        Value::UInt(u) => serde_json::to_writer(out, u),
        Value::Float(f) => serde_json::to_writer(out, f),
        Value::Str(s) => serde_json::to_writer(out, s.as_ref()),
        Value::Json(json) => {
            write_raw(json.as_bytes(), out);
            Ok(())
        }
    };
    debug_assert!(result.is_ok(), "writing to memory does not fail");
}

/// Appends JSON as it came; a line break can only stand between two tokens, and becomes a space.
fn write_raw(json: &[u8], out: &mut Vec<u8>) {
    let from = out.len();
    out.extend_from_slice(json);
    if memchr::memchr2(b'\n', b'\r', json).is_some() {
        for byte in &mut out[from..] {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }
}
