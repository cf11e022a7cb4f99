//! From lines of JSON or CSV to a block of events. One pass over the text takes what patterns need, and nothing is allocated
//! per event but room in the block.
//!
//! Whether a line is an event never depends on which fields are taken: all of it must be JSON, and its time valid.

mod csv;
mod dead;
mod instant;
mod scan;
mod tree;
mod walk;

pub use csv::{Header, RecordEnds};
pub use dead::{DeadLetter, Reason};

use self::csv::Converted;
use self::scan::Malformed;
use self::tree::{Names, Tree};
use self::walk::{Guesses, Line, Time, Walk};
use super::record::StreamSettings;
use super::{Block, EventId, FieldPath, Head, Position, Schema, Slot, TypeId};

/// The longest line that is read as an event, in bytes.
pub const LINE_BYTES_MAX: usize = 16 << 20;

/// What a line begins with that stands for one that was too long.
const TOO_LONG: &[u8] = b"\0too long\0";

/// How much is kept of such a line, in bytes.
const TOO_LONG_KEPT: usize = 64 << 10;

/// How events are written in a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A JSON object a line.
    JsonLines,
    /// A record an event, after a header.
    Csv,
}

/// Decodes lines for one schema.
#[derive(Debug, Clone)]
pub struct Decoder {
    tree: Tree,
    guesses: Guesses,
    types: Names,
    time_field: String,
    finds_ids: bool,
    width: usize,
    /// Events in the last block: room for as many is reserved in the next one.
    expected: usize,
}

/// What a stretch of lines held.
#[derive(Debug, Default)]
pub struct Decoded {
    /// The events.
    pub block: Block,
    /// Of each event the id, where the decoder looks for ids.
    pub ids: Vec<Option<EventId>>,
    /// The lines that are no events, in their order.
    pub dead: Vec<DeadLetter>,
    /// All lines, blank ones included.
    pub lines: u64,
    /// Lines of white space alone.
    pub blank: u64,
}

impl Decoded {
    /// Numbers the lines from another number on, after they were numbered from 0.
    pub fn number_from(&mut self, first: u64) {
        self.block.heads.iter_mut().for_each(|head| head.position.offset += first);
        self.dead.iter_mut().for_each(|dead| dead.offset += first);
    }
}

impl Decoder {
    /// A decoder of what a schema needs.
    pub fn new(schema: &Schema, settings: &StreamSettings) -> Decoder {
        let type_field = FieldPath::dotted(&settings.type_field);
        let time_field = FieldPath::dotted(&settings.time_field);
        let mut decoder = Decoder {
            tree: Tree::new(&type_field, &time_field),
            guesses: Guesses::default(),
            types: Names::default(),
            time_field: settings.time_field.clone(),
            finds_ids: false,
            width: 0,
            expected: 0,
        };
        decoder.grow(schema);
        decoder
    }

    /// Looks for ids of events too, in a field.
    pub fn with_ids(mut self, field: &FieldPath) -> Decoder {
        self.tree.want_id(field);
        self.finds_ids = true;
        self.guesses = Guesses::new(&self.tree);
        self
    }

    /// Decodes from now on for a schema that the present one has become by more fields and types. It costs what is new.
    pub fn grow(&mut self, schema: &Schema) {
        for (index, name) in schema.types.iter().enumerate().skip(self.types.len()) {
            self.types.get_or_insert(name, TypeId::FIRST_NAMED + index as u32);
        }
        for (slot, path) in schema.fields.iter().enumerate().skip(self.width) {
            self.tree.want(path, slot as u32);
        }
        // What was seen to be of no use may be wanted now.
        self.guesses = Guesses::new(&self.tree);
        self.width = schema.fields.len();
    }

    /// Decodes whole lines, less than 4 GiB in all. `first` is the position of the first one.
    pub fn decode(&mut self, lines: Vec<u8>, first: Position) -> Decoded {
        let (text, aside) = valid_text(lines);
        self.decode_text(text, aside, first)
    }

    /// Decodes whole records of CSV that follow a header, `first` is the position of the first one.
    pub fn decode_csv(&mut self, header: &Header, records: Vec<u8>, first: Position) -> Decoded {
        let mut converted = Converted::new(header, records);
        let (text, aside) = (std::mem::take(&mut converted.text), std::mem::take(&mut converted.aside));
        let mut found = self.decode_text(text, aside, first);
        for dead in &mut found.dead {
            dead.raw = converted.raw(dead.offset - first.offset).to_vec();
        }
        found
    }

    fn decode_text(&mut self, text: String, aside: Vec<Aside>, first: Position) -> Decoded {
        let mut aside = aside.into_iter().peekable();
        let mut found = Decoded::default();
        let block = &mut found.block;
        block.heads.reserve(self.expected);
        block.slots.reserve(self.expected * self.width);
        let mut walk = Walk {
            tree: &self.tree,
            types: &self.types,
            guesses: &mut self.guesses,
            bytes: text.as_bytes(),
            open: Vec::new(),
            slots: &mut block.slots,
            base: 0,
            width: self.width,
            spare: Slot::Null,
            unescaped: &mut block.unescaped,
            time: Time::Missing,
            kind: TypeId::NONE,
            id: Slot::Null,
        };
        let mut at = 0;
        while at < text.len() {
            let position = Position { offset: first.offset + found.lines, ..first };
            found.lines += 1;
            let start = at;
            let line = walk.line(at).map(|(line, end)| {
                at = end;
                line
            });
            let reason = match line {
                Ok(Line::Blank) => match aside.next_if(|aside| aside.number == found.lines - 1) {
                    None => {
                        found.blank += 1;
                        continue;
                    }
                    Some(Aside { reason, raw, .. }) => {
                        let (after, offset) = (block.heads.len(), position.offset);
                        found.dead.push(DeadLetter { after, offset, reason, raw });
                        continue;
                    }
                },
                Ok(Line::Event { from, to }) => match walk.time {
                    Time::At(time) => {
                        let head = Head { time, position, kind: walk.kind, raw: from as u32..to as u32 };
                        block.heads.push(head);
                        if self.finds_ids {
                            found.ids.push(walk.event_id());
                        }
                        continue;
                    }
                    Time::Missing => Reason::NoTime(self.time_field.clone()),
                    Time::Invalid => Reason::InvalidTime(self.time_field.clone()),
                },
                Err(Malformed) => {
                    let end =
                        memchr::memchr(b'\n', &text.as_bytes()[start..]).map_or(text.len(), |at| start + at);
                    at = (end + 1).min(text.len());
                    let (reason, raw) = why_invalid(&text.as_bytes()[start..end]);
                    walk.slots.truncate(walk.base);
                    let (after, raw) = (block.heads.len(), raw.to_vec());
                    found.dead.push(DeadLetter { after, offset: position.offset, reason, raw });
                    continue;
                }
            };
            walk.slots.truncate(walk.base);
            let raw = &text.as_bytes()[start..at];
            let raw = raw.strip_suffix(b"\n").unwrap_or(raw).to_vec();
            found.dead.push(DeadLetter { after: block.heads.len(), offset: position.offset, reason, raw });
        }
        self.expected = block.heads.len();
        block.width = self.width;
        block.text = text;
        found
    }
}

/// A line that is known not to be an event before it is decoded: an empty one stands in its place.
#[derive(Debug)]
struct Aside {
    /// Its number among the lines that are decoded with it.
    number: u64,
    reason: Reason,
    raw: Vec<u8>,
}

/// The lines as text. Those that are not valid UTF-8 are set aside.
fn valid_text(lines: Vec<u8>) -> (String, Vec<Aside>) {
    let lines = match String::from_utf8(lines) {
        Ok(text) => return (text, Vec::new()),
        Err(error) => error.into_bytes(),
    };
    let mut text = String::with_capacity(lines.len());
    let mut aside = Vec::new();
    for (number, line) in lines.split_inclusive(|&byte| byte == b'\n').enumerate() {
        match std::str::from_utf8(line) {
            Ok(line) => text.push_str(line),
            Err(_) => {
                let (reason, raw) = why_invalid(line.strip_suffix(b"\n").unwrap_or(line));
                aside.push(Aside { number: number as u64, reason, raw: raw.to_vec() });
                text.push('\n');
            }
        }
    }
    (text, aside)
}

/// What stands for a line that was too long when it came, with its line break: its beginning, behind a mark that says so to
/// whoever decodes it. No JSON begins with the mark.
pub fn too_long_line(line: &[u8], limit: usize) -> Vec<u8> {
    let kept = &line[..line.len().min(TOO_LONG_KEPT)];
    [TOO_LONG, limit.to_string().as_bytes(), b"\0", kept, b"\n"].concat()
}

/// The limit and the beginning of a line that was too long, if it stands for one.
fn marked_too_long(line: &[u8]) -> Option<(usize, &[u8])> {
    let rest = line.strip_prefix(TOO_LONG)?;
    let end = memchr::memchr(0, rest)?;
    let limit = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    Some((limit, &rest[end + 1..]))
}

/// Why a line is no event, and what is kept of it.
#[cold]
fn why_invalid(raw: &[u8]) -> (Reason, &[u8]) {
    match marked_too_long(raw) {
        Some((limit, beginning)) => (Reason::TooLong(limit), beginning),
        None => (why_no_object(raw), raw),
    }
}

/// What the JSON parser says about a line that is no event, white space around it left out.
fn why_no_object(line: &[u8]) -> Reason {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
    let from = line.iter().take_while(|byte| is_space(byte)).count();
    let line = &line[from..];
    let line = &line[..line.len() - line.iter().rev().take_while(|byte| is_space(byte)).count()];
    let checked = match std::str::from_utf8(line) {
        Ok(text) => {
            serde_json::from_str::<serde::de::IgnoredAny>(text).map(drop).map_err(|error| error.to_string())
        }
        Err(error) => Err(error.to_string()),
    };
    match checked {
        Ok(()) => Reason::NotAnObject,
        Err(why) => Reason::InvalidJson(why),
    }
}

#[cfg(test)]
mod tests;
