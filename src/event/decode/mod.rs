//! From lines of JSON to a block of events. One pass over the text takes what patterns need, and nothing is allocated
//! per event but room in the block.
//!
//! Whether a line is an event never depends on which fields are taken: all of it must be JSON, and its time valid.

mod dead;
mod scan;
mod tree;

pub use dead::{DeadLetter, Reason};

use self::scan::{Malformed, Quoted, Scanner};
use self::tree::{Names, Node, NodeId, Tree};
use super::key::KeyHasher;
use super::record::StreamSettings;
use super::{Block, FieldPath, Head, Position, Row, Schema, Slot, Timestamp, TypeId};

/// The longest line that is read as an event, in bytes.
pub const LINE_BYTES_MAX: usize = 16 << 20;

/// Decodes lines for one schema.
#[derive(Debug, Clone)]
pub struct Decoder {
    tree: Tree,
    types: Names,
    keys: Vec<Vec<usize>>,
    hasher: KeyHasher,
    time_field: String,
    width: usize,
    /// Events in the last block: room for as many is reserved in the next one.
    expected: usize,
}

/// What a stretch of lines held.
#[derive(Debug, Default)]
pub struct Decoded {
    /// The events.
    pub block: Block,
    /// The lines that are no events, in their order.
    pub dead: Vec<DeadLetter>,
    /// All lines, blank ones included.
    pub lines: u64,
    /// Lines of white space alone.
    pub blank: u64,
}

impl Decoder {
    /// A decoder of what a schema needs.
    pub fn new(schema: &Schema, settings: &StreamSettings, hasher: KeyHasher) -> Decoder {
        let type_field = FieldPath::dotted(&settings.type_field);
        let time_field = FieldPath::dotted(&settings.time_field);
        let mut types = Names::default();
        for (index, name) in schema.types.iter().enumerate() {
            types.get_or_insert(name, TypeId::FIRST_NAMED + index as u32);
        }
        Decoder {
            tree: Tree::new(schema, &type_field, &time_field),
            types,
            keys: schema.keys.clone(),
            hasher,
            time_field: settings.time_field.clone(),
            width: schema.fields.len(),
            expected: 0,
        }
    }

    /// Decodes whole lines, less than 4 GiB in all. `first` is the position of the first one.
    pub fn decode(&mut self, lines: Vec<u8>, first: Position) -> Decoded {
        let (text, invalid) = valid_text(lines);
        let mut invalid = invalid.into_iter().peekable();
        let mut found = Decoded::default();
        let block = &mut found.block;
        block.heads.reserve(self.expected);
        block.slots.reserve(self.expected * self.width + 1);
        block.key_hashes.reserve(self.expected * self.keys.len());
        let mut walk = Walk {
            tree: &self.tree,
            types: &self.types,
            scan: Scanner::new(&text),
            slots: &mut block.slots,
            base: 0,
            width: self.width,
            unescaped: &mut block.unescaped,
            time: Time::Missing,
            kind: TypeId::NONE,
        };
        while walk.scan.at < text.len() {
            let position = Position { offset: first.offset + found.lines, ..first };
            found.lines += 1;
            let start = walk.scan.at;
            let reason = match walk.line() {
                Ok(Line::Blank) => match invalid.next_if(|(line, _)| *line == found.lines - 1) {
                    None => {
                        found.blank += 1;
                        continue;
                    }
                    Some((_, raw)) => {
                        let reason = why_invalid(&raw);
                        found.dead.push(DeadLetter {
                            after: block.heads.len(),
                            offset: position.offset,
                            reason,
                            raw,
                        });
                        continue;
                    }
                },
                Ok(Line::Event { from, to }) => match walk.time {
                    Time::At(time) => {
                        let head = Head { time, position, kind: walk.kind, raw: from as u32..to as u32 };
                        walk.slots.truncate(walk.base + self.width);
                        let slots = &walk.slots[walk.base..];
                        let row = Row { head: &head, text: &text, unescaped: walk.unescaped, slots };
                        block.key_hashes.extend(self.keys.iter().map(|key| self.hasher.hash(&row, key)));
                        block.heads.push(head);
                        continue;
                    }
                    Time::Missing => Reason::NoTime(self.time_field.clone()),
                    Time::Invalid => Reason::InvalidTime(self.time_field.clone()),
                },
                Err(Malformed) => {
                    let end =
                        memchr::memchr(b'\n', &text.as_bytes()[start..]).map_or(text.len(), |at| start + at);
                    walk.scan.at = (end + 1).min(text.len());
                    why_invalid(&text.as_bytes()[start..end])
                }
            };
            walk.slots.truncate(walk.base);
            let raw = &text.as_bytes()[start..walk.scan.at];
            let raw = raw.strip_suffix(b"\n").unwrap_or(raw).to_vec();
            found.dead.push(DeadLetter { after: block.heads.len(), offset: position.offset, reason, raw });
        }
        self.expected = block.heads.len();
        block.width = self.width;
        block.key_width = self.keys.len();
        block.text = text;
        found
    }
}

/// The lines as text. Where one is not valid UTF-8, an empty line stands in its place, and it is given on its own, with
/// its number.
fn valid_text(lines: Vec<u8>) -> (String, Vec<(u64, Vec<u8>)>) {
    let lines = match String::from_utf8(lines) {
        Ok(text) => return (text, Vec::new()),
        Err(error) => error.into_bytes(),
    };
    let mut text = String::with_capacity(lines.len());
    let mut invalid = Vec::new();
    for (number, line) in lines.split_inclusive(|&byte| byte == b'\n').enumerate() {
        match std::str::from_utf8(line) {
            Ok(line) => text.push_str(line),
            Err(_) => {
                invalid.push((number as u64, line.strip_suffix(b"\n").unwrap_or(line).to_vec()));
                text.push('\n');
            }
        }
    }
    (text, invalid)
}

/// What the JSON parser says about a line that is no event, white space around it left out.
#[cold]
fn why_invalid(line: &[u8]) -> Reason {
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

/// What a line holds.
enum Line {
    Blank,
    /// An object, from one byte to another.
    Event {
        from: usize,
        to: usize,
    },
}

/// What is known of an event's time.
#[derive(Debug, Clone, Copy)]
enum Time {
    Missing,
    Invalid,
    At(Timestamp),
}

/// The walk over the lines of a block: the place in the text, and where what it finds goes.
struct Walk<'a, 't> {
    tree: &'a Tree,
    types: &'a Names,
    scan: Scanner<'t>,
    slots: &'a mut Vec<Slot>,
    /// The first slot of this line.
    base: usize,
    /// Slots of an event. One more, which does not stay, is for what has no slot: a time or type that no pattern reads.
    width: usize,
    unescaped: &'a mut String,
    time: Time,
    kind: TypeId,
}

impl Walk<'_, '_> {
    /// Takes one line and its line break. Slots are there afterwards, even of a malformed line.
    #[inline]
    fn line(&mut self) -> Result<Line, Malformed> {
        self.base = self.slots.len();
        let line = match self.scan.past_space() {
            b'{' => {
                self.slots.resize(self.base + self.width + 1, Slot::Null);
                self.time = Time::Missing;
                self.kind = TypeId::NONE;
                let from = self.scan.at;
                self.object(0)?;
                Line::Event { from, to: self.scan.at }
            }
            _ => Line::Blank,
        };
        match self.scan.past_space() {
            b'\n' => self.scan.at += 1,
            _ if self.scan.at == self.scan.text.len() => {}
            _ => return Err(Malformed),
        }
        Ok(line)
    }

    fn object(&mut self, node: NodeId) -> Result<(), Malformed> {
        let tree = self.tree;
        let members = &tree.node(node).members;
        self.scan.at += 1;
        let mut more = self.scan.begins(b'}');
        while more {
            let name = self.scan.name()?;
            let wanted = match name {
                Quoted { escaped: false, from, to } => members.get(&self.scan.text[from..to]),
                escaped => members.get(&self.unescaped(escaped)),
            };
            match wanted {
                Some(node) => self.value(node)?,
                None => self.scan.skip()?,
            }
            more = self.scan.goes_on(b'}')?;
        }
        Ok(())
    }

    fn array(&mut self, node: NodeId) -> Result<(), Malformed> {
        let tree = self.tree;
        let node = tree.node(node);
        let reach = node.from_end.last().map_or(0, |(number, _)| *number);
        let mut wanted = node.elements.iter().peekable();
        let mut last = std::collections::VecDeque::new();
        self.scan.at += 1;
        let mut more = self.scan.begins(b']');
        let mut index = 0;
        while more {
            if reach > 0 {
                if last.len() as u64 == reach {
                    last.pop_front();
                }
                last.push_back(self.scan.at);
            }
            match wanted.next_if(|(number, _)| *number == index) {
                Some((_, node)) => self.value(*node)?,
                None => self.scan.skip()?,
            }
            index += 1;
            more = self.scan.goes_on(b']')?;
        }
        // Only now is it known which elements are the last ones.
        let end = self.scan.at;
        for &(number, node) in &node.from_end {
            if let Some(index) = last.len().checked_sub(number as usize) {
                self.scan.at = last[index];
                self.value(node)?;
            }
        }
        self.scan.at = end;
        Ok(())
    }

    /// Takes a wanted value, and the wanted parts of it.
    fn value(&mut self, id: NodeId) -> Result<(), Malformed> {
        let tree = self.tree;
        let node = tree.node(id);
        for &below in &node.below {
            self.forget(tree.node(below));
        }
        // Values are written where they stay: moving a `Slot` about is what would cost most here.
        let place = self.base + node.slot.map_or(self.width, |slot| slot as usize);
        let from = self.scan.at;
        match self.scan.peek() {
            b'"' => {
                self.scan.at += 1;
                let string = self.scan.string()?;
                self.slots[place] =
                    Slot::Str { at: string.from as u32, len: (string.to - string.from) as u32 };
                if string.escaped {
                    let at = self.unescaped.len();
                    self.scan.unescape(string, self.unescaped);
                    self.slots[place] =
                        Slot::Unescaped { at: at as u32, len: (self.unescaped.len() - at) as u32 };
                }
            }
            bracket @ (b'{' | b'[') => {
                match bracket {
                    b'{' if !node.members.is_empty() => self.object(id)?,
                    b'[' if !(node.elements.is_empty() && node.from_end.is_empty()) => self.array(id)?,
                    _ => self.scan.skip()?,
                }
                self.slots[place] = Slot::Json { at: from as u32, len: (self.scan.at - from) as u32 };
            }
            b'-' | b'0'..=b'9' => self.scan.number(&mut self.slots[place])?,
            _ => self.slots[place] = self.scan.word()?,
        }
        if node.is_time {
            self.time = self.time_of(&self.slots[place]);
        }
        if node.is_type {
            self.kind = self.type_of(&self.slots[place]);
        }
        if matches!(self.slots[place], Slot::Float(float) if float.is_infinite()) {
            self.slots[place] = Slot::Null;
        }
        Ok(())
    }

    /// What a wanted part was before a member that came again.
    fn forget(&mut self, node: &Node) {
        if let Some(slot) = node.slot {
            self.slots[self.base + slot as usize] = Slot::Null;
        }
        if node.is_time {
            self.time = Time::Missing;
        }
        if node.is_type {
            self.kind = TypeId::NONE;
        }
    }

    fn type_of(&self, value: &Slot) -> TypeId {
        match self.text_of(value) {
            Some(name) => self.types.get(name).map_or(TypeId::OTHER, TypeId),
            None => TypeId::NONE,
        }
    }

    fn time_of(&self, value: &Slot) -> Time {
        let whole = match *value {
            Slot::Null => return Time::Missing,
            Slot::Int(ms) => Some(ms),
            // From -2^63 up to, but not including, 2^63: what a whole float converts to exactly.
            Slot::Float(ms) if ms.trunc() == ms && (-(2f64.powi(63))..2f64.powi(63)).contains(&ms) => {
                Some(ms as i64)
            }
            _ => self
                .text_of(value)
                .and_then(|text| chrono::DateTime::parse_from_rfc3339(text).ok())
                .map(|time| time.timestamp_millis()),
        };
        whole.map_or(Time::Invalid, |ms| Time::At(Timestamp(ms)))
    }

    fn text_of(&self, value: &Slot) -> Option<&str> {
        match *value {
            Slot::Str { at, len } => Some(&self.scan.text[at as usize..][..len as usize]),
            Slot::Unescaped { at, len } => Some(&self.unescaped[at as usize..][..len as usize]),
            _ => None,
        }
    }

    #[cold]
    fn unescaped(&self, name: Quoted) -> String {
        let mut out = String::new();
        self.scan.unescape(name, &mut out);
        out
    }
}

#[cfg(test)]
mod tests;
