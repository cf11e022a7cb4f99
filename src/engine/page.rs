//! How kept events lie in memory: each in one piece, of as few bytes as say it. Numbers and values take no byte that is
//! zero; time and position are told by how far they are from the page's first event; and a text leaves out the
//! beginning that it shares with that one's, which most often is all up to the first value that differs.
//!
//! ```text
//! sizes of the numbers, four bits each
//! numbers: time, sequence, stream, partition, offset, and the lengths of the object, of its beginning that is left out,
//!     and of the unescaped strings
//! for each field a byte: kind and size of its value
//! values
//! the object without its beginning, and the unescaped strings
//! ```

use std::borrow::Cow;

use crate::event::{Fields, Head, Position, Row, Slot, Timestamp, Value};

/// How many numbers there are.
const NUMBERS: usize = 8;
/// Bytes of the sizes of the numbers.
const SIZES: usize = 4;

const TIME: usize = 0;
const SEQUENCE: usize = 1;
const STREAM: usize = 2;
const PARTITION: usize = 3;
const OFFSET: usize = 4;
const OBJECT: usize = 5;
const SHARED: usize = 6;
const UNESCAPED: usize = 7;

/// Some kept events, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) bytes: Vec<u8>,
    /// The first event: time, sequence number, stream, partition, offset; and where its object lies.
    base: [u64; 5],
    object: (u32, u32),
    /// How many fields its events have.
    pub(super) width: usize,
    /// How many of its events are alive.
    pub(super) alive: u32,
}

impl Page {
    /// About the most that such an event takes; with unescaped strings it may be more.
    pub(super) fn bytes_of(row: &Row<'_>, width: usize) -> usize {
        SIZES + (NUMBERS + width) * size_of::<u64>() + width + row.raw().len()
    }

    /// Adds an event and says where it begins. Of fields that it does not have nothing is known.
    pub(super) fn add(&mut self, row: &Row<'_>, sequence: u64) -> u32 {
        let Head { time, position, raw, .. } = row.head;
        let object = row.raw().as_bytes();
        let fields = &row.slots[..self.width.min(row.slots.len())];
        let (mut from, mut unescaped) = (object.len(), 0);
        for slot in fields {
            match *slot {
                // What values point at is there as a whole.
                Slot::Str { at, .. } | Slot::Json { at, .. } => from = from.min((at - raw.start) as usize),
                Slot::Unescaped { len, .. } => unescaped += len as usize,
                _ => {}
            }
        }
        let begin = self.bytes.len();
        let Position { stream, partition, offset } = *position;
        let told = [time.0 as u64, sequence, u64::from(stream), u64::from(partition), offset];
        if begin == 0 {
            self.base = told;
            self.object = (0, 0);
        }
        let shared = alike(self.first_object(), &object[..from]);
        let lengths = [object.len(), shared, unescaped].map(|length| length as u64);
        let far = told.iter().zip(&self.base).map(|(number, base)| folded(number.wrapping_sub(*base) as i64));

        self.bytes.extend_from_slice(&[0; SIZES]);
        let mut sizes = 0;
        for (place, number) in far.chain(lengths).enumerate() {
            sizes |= u32::from(put(number, &mut self.bytes)) << (4 * place);
        }
        self.bytes[begin..begin + SIZES].copy_from_slice(&sizes.to_le_bytes());

        let kinds = self.bytes.len();
        self.bytes.resize(kinds + self.width, 0);
        let mut behind = object.len() - shared;
        for (place, slot) in fields.iter().enumerate() {
            let into = &mut self.bytes;
            let (kind, size) = match *slot {
                Slot::Null => (0, 0),
                Slot::Bool(value) => (1, put(u64::from(value), into)),
                Slot::Int(value) => (2, put(folded(value), into)),
                Slot::UInt(value) => (3, put(value, into)),
                // The lowest bits of most floats are zero.
                Slot::Float(value) => (4, put(value.to_bits().swap_bytes(), into)),
                Slot::Str { at, len } => (5, put_range((at - raw.start) as usize - shared, len, into)),
                Slot::Unescaped { len, .. } => {
                    let size = put_range(behind, len, into);
                    behind += len as usize;
                    (6, size)
                }
                Slot::Json { at, len } => (7, put_range((at - raw.start) as usize - shared, len, into)),
            };
            self.bytes[kinds + place] = kind << 4 | size;
        }

        let text = self.bytes.len();
        self.bytes.extend_from_slice(&object[shared..]);
        for slot in fields.iter().filter(|slot| matches!(slot, Slot::Unescaped { .. })) {
            self.bytes.extend_from_slice(row.bytes(*slot));
        }
        if begin == 0 {
            self.object = (text as u32, object.len() as u32);
        }
        begin as u32
    }

    /// The event that begins at a byte.
    #[inline]
    pub(super) fn row(&self, at: u32) -> PackedRow<'_> {
        PackedRow { page: self, bytes: &self.bytes[at as usize..] }
    }

    /// The object of the first event, of which others leave out a beginning. It stays when that event has gone.
    fn first_object(&self) -> &[u8] {
        let (at, len) = self.object;
        &self.bytes[at as usize..][..len as usize]
    }
}

/// A view of a kept event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PackedRow<'a> {
    page: &'a Page,
    /// From its beginning on.
    bytes: &'a [u8],
}

impl<'a> PackedRow<'a> {
    #[inline]
    fn sizes(&self) -> u32 {
        get(self.bytes, 0, SIZES as u8) as u32
    }

    #[inline]
    fn number(&self, place: usize) -> u64 {
        let sizes = self.sizes();
        let before = sizes & ((1 << (4 * place)) - 1);
        get(self.bytes, SIZES + total(before), (sizes >> (4 * place)) as u8 & 15)
    }

    #[inline]
    fn told(&self, place: usize) -> u64 {
        self.page.base[place].wrapping_add(unfolded(self.number(place)) as u64)
    }

    /// Its number in the merged order.
    #[inline]
    pub(crate) fn sequence(&self) -> u64 {
        self.told(SEQUENCE)
    }

    /// How long its object is.
    pub(crate) fn object_len(&self) -> usize {
        self.number(OBJECT) as usize
    }

    /// Its object, byte for byte, in two parts.
    pub(crate) fn object(&self) -> [&'a [u8]; 2] {
        let shared = self.number(SHARED) as usize;
        let rest = &self.bytes[self.text_at()..][..self.object_len() - shared];
        [&self.page.first_object()[..shared], rest]
    }

    /// Its object, and behind it the unescaped strings of its fields.
    pub(crate) fn text(&self) -> Vec<u8> {
        let [beginning, rest] = self.object();
        let unescaped = &self.bytes[self.text_at() + rest.len()..][..self.number(UNESCAPED) as usize];
        [beginning, rest, unescaped].concat()
    }

    /// Its fields; they point into `text`.
    pub(crate) fn slots(&self) -> impl ExactSizeIterator<Item = Slot> {
        let shared = self.number(SHARED) as u32;
        (0..self.page.width).map(move |slot| match self.slot(slot) {
            Slot::Str { at, len } => Slot::Str { at: at + shared, len },
            Slot::Unescaped { at, len } => Slot::Unescaped { at: at + shared, len },
            Slot::Json { at, len } => Slot::Json { at: at + shared, len },
            other => other,
        })
    }

    /// How many bytes it takes.
    pub(super) fn len(&self) -> usize {
        let of_text = self.object_len() - self.number(SHARED) as usize + self.number(UNESCAPED) as usize;
        self.text_at() + of_text
    }

    /// Kind and size of each field's value, and where the first value is.
    #[inline]
    fn kinds(&self) -> (&'a [u8], usize) {
        let at = SIZES + total(self.sizes());
        (&self.bytes[at..at + self.page.width], at + self.page.width)
    }

    #[inline]
    fn text_at(&self) -> usize {
        let (kinds, values) = self.kinds();
        values + length(kinds)
    }
}

impl<'a> Fields<'a> for PackedRow<'a> {
    #[inline]
    fn time(&self) -> Timestamp {
        Timestamp(self.told(TIME) as i64)
    }

    fn position(&self) -> Position {
        Position {
            stream: self.told(STREAM) as u32,
            partition: self.told(PARTITION) as u32,
            offset: self.told(OFFSET),
        }
    }

    /// Its ranges are those of the text that is held.
    #[inline]
    fn slot(&self, slot: usize) -> Slot {
        let (kinds, values) = self.kinds();
        let Some(kind) = kinds.get(slot) else { return Slot::Null };
        let size = kind & 15;
        let value = get(self.bytes, values + length(&kinds[..slot]), size);
        let half = u32::from(size) * 4;
        let (at, len) = ((value & !(u64::MAX << half)) as u32, (value >> half) as u32);
        match kind >> 4 {
            1 => Slot::Bool(value != 0),
            2 => Slot::Int(unfolded(value)),
            3 => Slot::UInt(value),
            4 => Slot::Float(f64::from_bits(value.swap_bytes())),
            5 => Slot::Str { at, len },
            6 => Slot::Unescaped { at, len },
            7 => Slot::Json { at, len },
            _ => Slot::Null,
        }
    }

    #[inline]
    fn bytes(&self, slot: Slot) -> &'a [u8] {
        match slot {
            Slot::Str { at, len } | Slot::Unescaped { at, len } | Slot::Json { at, len } => {
                &self.bytes[self.text_at() + at as usize..][..len as usize]
            }
            _ => &[],
        }
    }

    fn value(&self, slot: usize) -> Value<'a> {
        // What was text when it was kept is text.
        let text = |slot| Cow::Borrowed(std::str::from_utf8(self.bytes(slot)).unwrap_or_default());
        match self.slot(slot) {
            Slot::Null => Value::Null,
            Slot::Bool(b) => Value::Bool(b),
            Slot::Int(i) => Value::Int(i),
            Slot::UInt(u) => Value::UInt(u),
            Slot::Float(f) => Value::Float(f),
            slot @ (Slot::Str { .. } | Slot::Unescaped { .. }) => Value::Str(text(slot)),
            slot @ Slot::Json { .. } => Value::Json(text(slot)),
        }
    }
}

/// Appends the bytes of a number up to the last that is not zero; how many.
#[inline]
fn put(number: u64, into: &mut Vec<u8>) -> u8 {
    let size = (u64::BITS - number.leading_zeros()).div_ceil(8);
    let len = into.len();
    into.extend_from_slice(&number.to_le_bytes());
    into.truncate(len + size as usize);
    size as u8
}

/// Appends two numbers of one size; how many bytes together.
#[inline]
fn put_range(at: usize, len: u32, into: &mut Vec<u8>) -> u8 {
    let (at, len) = (at as u64, u64::from(len));
    let each = (u64::BITS - (at | len).leading_zeros()).div_ceil(8);
    let end = into.len() + 2 * each as usize;
    into.extend_from_slice(&(at | len << (8 * each)).to_le_bytes());
    into.truncate(end);
    2 * each as u8
}

/// A number of so many bytes.
#[inline]
fn get(bytes: &[u8], at: usize, size: u8) -> u64 {
    match bytes[at..].first_chunk::<8>() {
        Some(all) => u64::from_le_bytes(*all) & u64::MAX.checked_shr(64 - 8 * u32::from(size)).unwrap_or(0),
        None => {
            bytes[at..][..size as usize].iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
        }
    }
}

/// Integers near zero as small numbers.
fn folded(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn unfolded(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// The sum of sizes of four bits each.
#[inline]
fn total(sizes: u32) -> usize {
    let pairs = (sizes & 0x0f0f_0f0f) + (sizes >> 4 & 0x0f0f_0f0f);
    (pairs.wrapping_mul(0x0101_0101) >> 24) as usize
}

/// The sum of the values' sizes.
#[inline]
fn length(kinds: &[u8]) -> usize {
    kinds.iter().map(|kind| usize::from(kind & 15)).sum()
}

/// How many bytes at the beginning are the same.
fn alike(a: &[u8], b: &[u8]) -> usize {
    let words = a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0);
    let mut same = 0;
    for (a, b) in words {
        let differs = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if differs != 0 {
            return same + differs.trailing_zeros() as usize / 8;
        }
        same += 8;
    }
    same + a[same..].iter().zip(&b[same..]).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::TypeId;

    /// Numbers that take any number of bytes, both ends of each length.
    fn numbers() -> impl Iterator<Item = u64> {
        (0..64).flat_map(|bit| [(1 << bit) - 1, 1 << bit, u64::MAX - (1 << bit)])
    }

    #[test]
    fn an_event_says_what_it_said_before_it_was_kept() {
        let mut page = Page { width: 9, ..Page::default() };
        let mut added = Vec::new();
        for (i, number) in numbers().enumerate() {
            // The text of a block: something else, then the object; the first value stands at ever other places.
            let key = "k".repeat(i % 11);
            let object = format!("{{\"type\":\"ä\",\"n\":{number},\"s\":\"{key}\",\"o\":[{i}]}}");
            let (before, unescaped) = ("x".repeat(i % 300), format!("12ü{i}-{key}"));
            let text = format!("{before}{object}\n");
            let find = |part: &str| (before.len() + object.find(part).unwrap()) as u32;
            let quoted = find("\"s\":") + 5;
            let slots = [
                Slot::Null,
                Slot::Bool(i % 2 == 0),
                Slot::Int(number as i64),
                Slot::UInt(number),
                Slot::Float(f64::from_bits(number >> 2)),
                Slot::Str { at: quoted, len: key.len() as u32 },
                Slot::Unescaped { at: 2, len: 2 },
                Slot::Json { at: find("["), len: format!("[{i}]").len() as u32 },
                Slot::Unescaped { at: 4, len: unescaped.len() as u32 - 4 },
                // Nobody asks for this one.
                Slot::Int(7),
            ];
            let raw = before.len() as u32..(before.len() + object.len()) as u32;
            let position =
                Position { stream: number as u32, partition: (number >> 7) as u32, offset: number };
            let head = Head { time: Timestamp(number as i64), position, kind: TypeId::NONE, raw };
            // Some were kept when fewer fields were needed.
            let slots = slots[..if i % 5 == 4 { 8 } else { 10 }].to_vec();
            let at =
                page.add(&Row { head: &head, text: &text, unescaped: &unescaped, slots: &slots }, !number);
            added.push((at, head, text, unescaped, slots));
        }
        let mut shared = 0;
        for (i, (at, head, text, unescaped, slots)) in added.iter().enumerate() {
            let (row, kept) = (Row { head, text, unescaped, slots }, page.row(*at));
            let next = added.get(i + 1).map_or(page.bytes.len(), |next| next.0 as usize);
            assert_eq!(kept.len(), next - *at as usize);
            assert_eq!((kept.time(), kept.position()), (head.time, head.position));
            assert_eq!(kept.sequence(), !(head.time.0 as u64));
            assert_eq!(kept.object().concat(), row.raw().as_bytes());
            assert_eq!(kept.slots().len(), 9);
            shared += kept.object()[0].len();
            let whole = String::from_utf8(kept.text()).unwrap();
            assert!(whole.starts_with(row.raw()));
            for slot in 0..9 {
                let expected = if slot < slots.len() { row.value(slot) } else { Value::Null };
                assert_eq!(kept.value(slot), expected, "field {slot} of event {i}");
                let ranged = kept.slots().nth(slot).unwrap();
                if let Slot::Str { at, len } | Slot::Unescaped { at, len } | Slot::Json { at, len } = ranged {
                    let part = &whole.as_bytes()[at as usize..][..len as usize];
                    assert_eq!(part, row.bytes(slots[slot]), "field {slot} of event {i}");
                }
            }
        }
        assert!(shared > added.len() * 10, "beginnings that are alike are held once");
    }

    #[test]
    fn what_is_alike_at_the_beginning() {
        let text = b"abcdefghijklmnopqrstuvwxyz";
        for len in 0..text.len() {
            assert_eq!(alike(text, &text[..len]), len);
            let mut other = text.to_vec();
            other[len] = b'-';
            assert_eq!(alike(text, &other), len);
        }
    }
}
