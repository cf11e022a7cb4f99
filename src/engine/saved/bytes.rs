//! Numbers, texts and events as bytes, and read back; whatever stands there, reading gives a value or says what is wrong.

use super::Damaged;
use crate::engine::page::PackedRow;
use crate::event::{Fields, Slot};

pub(in crate::engine) fn put(number: usize, out: &mut Vec<u8>) {
    let mut left = number as u64;
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

fn put_signed(number: i64, out: &mut Vec<u8>) {
    put(zigzag(number) as usize, out);
}

/// A number whose size is that of a signed one.
pub(super) fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

pub(super) fn put_event(row: &PackedRow<'_>, out: &mut Vec<u8>) {
    let (position, text) = (row.position(), row.text());
    put(row.sequence() as usize, out);
    put_signed(row.time().0, out);
    put(position.stream as usize, out);
    put(position.partition as usize, out);
    put(position.offset as usize, out);
    put(row.object_len(), out);
    put(text.len(), out);
    out.extend_from_slice(&text);
    put(row.slots().len(), out);
    for slot in row.slots() {
        let mut range = |tag: u8, at: u32, len: u32| {
            out.push(tag);
            put(at as usize, out);
            put(len as usize, out);
        };
        match slot {
            Slot::Str { at, len } => range(5, at, len),
            Slot::Unescaped { at, len } => range(6, at, len),
            Slot::Json { at, len } => range(7, at, len),
            Slot::Null => out.push(0),
            Slot::Bool(value) => out.extend([1, u8::from(value)]),
            Slot::Int(value) => {
                out.push(2);
                put_signed(value, out);
            }
            Slot::UInt(value) => {
                out.push(3);
                put(value as usize, out);
            }
            Slot::Float(value) => {
                out.push(4);
                out.extend(value.to_le_bytes());
            }
        }
    }
}

/// Reads bytes from their beginning.
pub(in crate::engine) struct Reader<'a> {
    bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Reader<'a> {
    pub(in crate::engine) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    /// Whether everything was read.
    pub(in crate::engine) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub(in crate::engine) fn damaged(&self, expected: &'static str) -> Damaged {
        Damaged { at: self.at, expected }
    }

    /// What has not been read.
    pub(in crate::engine) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    pub(in crate::engine) fn byte(&mut self) -> Result<u8, Damaged> {
        let byte = *self.bytes.get(self.at).ok_or(self.damaged("more bytes"))?;
        self.at += 1;
        Ok(byte)
    }

    pub(in crate::engine) fn number(&mut self) -> Result<u64, Damaged> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(self.damaged("a number of at most 64 bits"))
    }

    /// A number of 32 bits.
    pub(in crate::engine) fn short(&mut self) -> Result<u32, Damaged> {
        let number = self.number()?;
        u32::try_from(number).or(Err(self.damaged("a number of at most 32 bits")))
    }

    pub(super) fn signed(&mut self) -> Result<i64, Damaged> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    /// How many things follow, each of a byte at least.
    pub(in crate::engine) fn count(&mut self) -> Result<usize, Damaged> {
        self.below(self.bytes.len() - self.at + 1)
    }

    pub(in crate::engine) fn below(&mut self, limit: usize) -> Result<usize, Damaged> {
        let number = self.number()?;
        if number < limit as u64 { Ok(number as usize) } else { Err(self.damaged("a smaller number")) }
    }

    pub(in crate::engine) fn of<'t, T>(&mut self, all: &'t [T]) -> Result<&'t T, Damaged> {
        let number = self.below(all.len())?;
        Ok(&all[number])
    }

    pub(in crate::engine) fn text(&mut self) -> Result<&'a str, Damaged> {
        let len = self.count()?;
        let bytes = self.bytes.get(self.at..self.at + len).ok_or(self.damaged("a text"))?;
        let text = std::str::from_utf8(bytes).or(Err(self.damaged("UTF-8")))?;
        self.at += len;
        Ok(text)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let bytes = *rest.first_chunk().ok_or(self.damaged("more bytes"))?;
        self.at += N;
        Ok(bytes)
    }

    pub(super) fn slot(&mut self, object: &str, unescaped: &str) -> Result<Slot, Damaged> {
        let tag = self.byte()?;
        Ok(match tag {
            0 => Slot::Null,
            1 => Slot::Bool(self.byte()? != 0),
            2 => Slot::Int(self.signed()?),
            3 => Slot::UInt(self.number()?),
            4 => Slot::Float(f64::from_le_bytes(self.array()?)),
            5 | 7 => {
                let (at, len) = self.range(object)?;
                if tag == 5 { Slot::Str { at, len } } else { Slot::Json { at, len } }
            }
            6 => {
                let (at, len) = self.range_behind(object, unescaped)?;
                Slot::Unescaped { at, len }
            }
            _ => return Err(self.damaged("the kind of a value")),
        })
    }

    fn range(&mut self, text: &str) -> Result<(u32, u32), Damaged> {
        let (at, len) = (self.number()?, self.number()?);
        let range = at as usize..(at as usize).saturating_add(len as usize);
        text.get(range).map(|_| (at as u32, len as u32)).ok_or(self.damaged("a part of the event's text"))
    }

    /// A range of the unescaped text, which is counted on from the object's.
    fn range_behind(&mut self, object: &str, unescaped: &str) -> Result<(u32, u32), Damaged> {
        let (at, len) = (self.number()?, self.number()?);
        let begin =
            (at as usize).checked_sub(object.len()).ok_or(self.damaged("a part behind the object"))?;
        let range = begin..begin.saturating_add(len as usize);
        unescaped
            .get(range)
            .map(|_| (begin as u32, len as u32))
            .ok_or(self.damaged("a part of the event's text"))
    }
}
