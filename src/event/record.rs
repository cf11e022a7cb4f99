//! How decoded events lie in memory: a block holds many lines and, per line, a head and the values that patterns
//! need, one slot each. A row is a view of one event; blocks and the engine's store of kept events both give rows.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use super::{Position, TimeSpan, Timestamp, Value};

/// An event type, as far as the installed patterns know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId(pub u32);

impl TypeId {
    /// The event has no type: only `any` takes it.
    pub const NONE: TypeId = TypeId(0);
    /// A type that no pattern names: only `any` takes it.
    pub const OTHER: TypeId = TypeId(1);
    /// The first number for types that patterns name; they are numbered on from here.
    pub const FIRST_NAMED: u32 = 2;
}

/// One projected field of one event: 16 bytes; text stands elsewhere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Slot {
    /// Missing or null.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// An integer above `i64::MAX`.
    UInt(u64),
    /// A finite float.
    Float(f64),
    /// A string without escapes: a range of the row's text, without its quotes.
    Str {
        /// First byte.
        at: u32,
        /// Length in bytes.
        len: u32,
    },
    /// A string that had escapes: a range of the row's unescaped text.
    Unescaped {
        /// First byte.
        at: u32,
        /// Length in bytes.
        len: u32,
    },
    /// An object or array: a range of the row's text.
    Json {
        /// First byte.
        at: u32,
        /// Length in bytes.
        len: u32,
    },
}

/// What every event has, whatever its fields.
#[derive(Debug, Clone)]
pub struct Head {
    /// Event time.
    pub time: Timestamp,
    /// Where it stands in its source.
    pub position: Position,
    /// Its type.
    pub kind: TypeId,
    /// The original object in the block's text, without surrounding white space.
    pub raw: Range<u32>,
}

/// Decoded events of one stretch of one partition.
#[derive(Debug, Default)]
pub struct Block {
    /// The lines as they came (valid UTF-8).
    pub text: String,
    /// Strings that had escapes, without them.
    pub unescaped: String,
    /// One head an event, in offset order.
    pub heads: Vec<Head>,
    /// `width` slots an event.
    pub slots: Vec<Slot>,
    /// Slots per event: the number of fields of the schema.
    pub width: usize,
    /// `key_width` hashes an event, one for each key specification of the schema; 0 where the event lacks a key field.
    /// None where they are made when they are asked for.
    pub key_hashes: Vec<u64>,
    /// Hashes per event: the number of key specifications of the schema.
    pub key_width: usize,
    /// A bit for each event, in words of 64: whether it may concern some pattern. None where nobody has asked yet.
    pub concerns: Option<Vec<u64>>,
    /// A byte for each event, once it was prepared: what is known of the conditions of the only pattern that its type
    /// concerns.
    pub truths: Vec<u8>,
    /// With which set of patterns it was prepared, where sets change as events pass.
    pub epoch: u64,
}

impl Block {
    /// The event at `index`.
    #[inline]
    pub fn row(&self, index: usize) -> Row<'_> {
        Row {
            head: &self.heads[index],
            text: &self.text,
            unescaped: &self.unescaped,
            slots: &self.slots[index * self.width..(index + 1) * self.width],
        }
    }
}

/// A view of one event.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Time, position, type.
    pub head: &'a Head,
    /// The text that ranges of `Slot::Str`, `Slot::Json` and `Head::raw` point into.
    pub text: &'a str,
    /// The text that ranges of `Slot::Unescaped` point into.
    pub unescaped: &'a str,
    /// The projected fields.
    pub slots: &'a [Slot],
}

/// What an event says of itself, wherever it lies: in a block, or kept by the engine.
pub trait Fields<'a> {
    /// Event time.
    fn time(&self) -> Timestamp;

    /// Where it stands in its source.
    fn position(&self) -> Position;

    /// A projected field.
    fn slot(&self, slot: usize) -> Slot;

    /// The bytes of a text that a slot points at; none where it does not.
    fn bytes(&self, slot: Slot) -> &'a [u8];

    /// The value of a projected field.
    fn value(&self, slot: usize) -> Value<'a>;
}

impl<'a> Fields<'a> for Row<'a> {
    #[inline]
    fn time(&self) -> Timestamp {
        self.head.time
    }

    #[inline]
    fn position(&self) -> Position {
        self.head.position
    }

    #[inline]
    fn slot(&self, slot: usize) -> Slot {
        self.slots[slot]
    }

    #[inline]
    fn bytes(&self, slot: Slot) -> &'a [u8] {
        match slot {
            Slot::Str { at, len } | Slot::Json { at, len } => {
                &self.text.as_bytes()[at as usize..][..len as usize]
            }
            Slot::Unescaped { at, len } => &self.unescaped.as_bytes()[at as usize..][..len as usize],
            _ => &[],
        }
    }

    #[inline]
    fn value(&self, slot: usize) -> Value<'a> {
        self.value(slot)
    }
}

impl<'a> Row<'a> {
    /// The value of a projected field.
    #[inline]
    pub fn value(&self, slot: usize) -> Value<'a> {
        match self.slots[slot] {
            Slot::Null => Value::Null,
            Slot::Bool(b) => Value::Bool(b),
            Slot::Int(i) => Value::Int(i),
            Slot::UInt(u) => Value::UInt(u),
            Slot::Float(f) => Value::Float(f),
            Slot::Str { at, len } => Value::Str(Cow::Borrowed(part(self.text, at, len))),
            Slot::Unescaped { at, len } => Value::Str(Cow::Borrowed(part(self.unescaped, at, len))),
            Slot::Json { at, len } => Value::Json(Cow::Borrowed(part(self.text, at, len))),
        }
    }

    /// The original object, byte for byte.
    pub fn raw(&self) -> &'a str {
        &self.text[self.head.raw.start as usize..self.head.raw.end as usize]
    }
}

#[inline]
fn part(text: &str, at: u32, len: u32) -> &str {
    &text[at as usize..at as usize + len as usize]
}

/// Events in the merged order: what a shard takes in one step.
#[derive(Debug, Default)]
pub struct Batch {
    /// The blocks that `runs` point into.
    pub blocks: Vec<Arc<Block>>,
    /// (index into `blocks`, consecutive rows of it, at least one), in the order (time, position).
    pub runs: Vec<(u32, Range<u32>)>,
}

impl Batch {
    /// The time of the last event.
    pub fn last_time(&self) -> Option<Timestamp> {
        let (block, rows) = self.runs.last()?;
        Some(self.blocks[*block as usize].heads[rows.end as usize - 1].time)
    }

    /// The events: each a row of a block.
    pub fn events(&self) -> impl Iterator<Item = (&Block, usize)> {
        self.runs.iter().flat_map(|(block, rows)| {
            let block = &*self.blocks[*block as usize];
            (rows.start as usize..rows.end as usize).map(move |row| (block, row))
        })
    }
}

/// Per-stream settings that say how an event is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSettings {
    /// The field that holds the type, as a dotted path.
    pub type_field: String,
    /// The field that holds the event time, as a dotted path.
    pub time_field: String,
    /// How far behind its partition's highest time an event may come and still be taken.
    pub out_of_orderness: TimeSpan,
}

impl Default for StreamSettings {
    fn default() -> Self {
        StreamSettings {
            type_field: "type".into(),
            time_field: "ts".into(),
            out_of_orderness: TimeSpan(5_000),
        }
    }
}
