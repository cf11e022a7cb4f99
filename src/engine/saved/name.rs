//! What a key is called outside: bytes that are equal exactly where keys are the same, `==` being true of each field.
//! So 1 and 1.0 have one name, and "1" another. One field after the other, each a byte for its kind and its value.

use smallvec::SmallVec;

use super::bytes::{Reader, put};
use super::{Damaged, zigzag};
use crate::event::key::KeyHasher;
use crate::event::{Fields, Head, Position, Row, Slot, Timestamp, TypeId};

const FALSE: u8 = 0;
const TRUE: u8 = 1;
/// A zigzag LEB128 number, whichever way the event had it.
const WHOLE: u8 = 2;
/// 16 bytes, little-endian: no `i64` holds it.
const LARGE: u8 = 3;
/// The bits of a float that is not whole.
const FLOAT: u8 = 4;
/// A length and UTF-8.
const TEXT: u8 = 5;

/// Adds the name of a row's key.
pub(in crate::engine) fn put_name<'a>(row: &impl Fields<'a>, slots: &[usize], out: &mut Vec<u8>) {
    for &slot in slots {
        match row.slot(slot) {
            // Rows with these have no key.
            Slot::Null | Slot::Json { .. } => {}
            Slot::Bool(value) => out.push(if value { TRUE } else { FALSE }),
            Slot::Int(value) => put_whole(value.into(), out),
            Slot::UInt(value) => put_whole(value.into(), out),
            Slot::Float(value) if value.trunc() == value && value.abs() < 1e30 => {
                put_whole(value as i128, out);
            }
            Slot::Float(value) => {
                out.push(FLOAT);
                out.extend(value.to_le_bytes());
            }
            text @ (Slot::Str { .. } | Slot::Unescaped { .. }) => {
                let text = row.bytes(text);
                out.push(TEXT);
                put(text.len(), out);
                out.extend_from_slice(text);
            }
        }
    }
}

fn put_whole(value: i128, out: &mut Vec<u8>) {
    match i64::try_from(value) {
        Ok(value) => {
            out.push(WHOLE);
            put(zigzag(value) as usize, out);
        }
        Err(_) => {
            out.push(LARGE);
            out.extend(value.to_le_bytes());
        }
    }
}

/// The hash of the key of so many fields that has a name: that of the rows that have the key.
pub(in crate::engine) fn hash_of_name(
    name: &[u8],
    fields: usize,
    hasher: &KeyHasher,
) -> Result<u64, Damaged> {
    let mut read = Reader::new(name);
    let mut text = String::new();
    let mut slots: SmallVec<[Slot; 4]> = SmallVec::new();
    for _ in 0..fields {
        slots.push(match read.byte()? {
            kind @ (FALSE | TRUE) => Slot::Bool(kind == TRUE),
            WHOLE => Slot::Int(read.signed()?),
            LARGE => {
                let value = i128::from_le_bytes(read.array()?);
                u64::try_from(value).map_or(Slot::Float(value as f64), Slot::UInt)
            }
            FLOAT => Slot::Float(f64::from_le_bytes(read.array()?)),
            TEXT => {
                let (at, part) = (text.len() as u32, read.text()?);
                text.push_str(part);
                Slot::Str { at, len: part.len() as u32 }
            }
            _ => return Err(read.damaged("a key")),
        });
    }
    if !read.is_at_end() {
        return Err(read.damaged("the end of a key"));
    }
    let position = Position { stream: 0, partition: 0, offset: 0 };
    let head = Head { time: Timestamp::MIN, position, kind: TypeId::NONE, raw: 0..0 };
    let row = Row { head: &head, text: &text, unescaped: "", slots: &slots };
    let all: SmallVec<[usize; 4]> = (0..fields).collect();
    Ok(hasher.hash(&row, &all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_equal_where_keys_are_and_say_the_hash() {
        let text = r#"1 a ab abc"#;
        let str = |at: u32, len: u32| Slot::Str { at, len };
        let all = [
            Slot::Bool(false),
            Slot::Bool(true),
            Slot::Int(0),
            Slot::Int(1),
            Slot::Int(-1),
            Slot::Int(i64::MAX),
            Slot::Int(i64::MIN),
            Slot::Float(i64::MIN as f64),
            Slot::Int(1 << 53),
            Slot::Int((1 << 53) + 1),
            Slot::Float(9_007_199_254_740_992.0),
            Slot::UInt(1 << 63),
            Slot::UInt(u64::MAX),
            Slot::Float(9_223_372_036_854_775_808.0),
            Slot::Float(1e25),
            Slot::Float(-1e25),
            Slot::Float(1e300),
            Slot::Float(-0.0),
            Slot::Float(1.0),
            Slot::Float(1.5),
            Slot::Float(-1.5),
            str(0, 0),
            str(0, 1),
            str(2, 1),
            str(4, 1),
            str(4, 2),
            str(7, 2),
            str(7, 3),
            Slot::Unescaped { at: 7, len: 2 },
        ];
        let hasher = KeyHasher::default();
        let position = Position { stream: 0, partition: 0, offset: 0 };
        let head = Head { time: Timestamp(0), position, kind: TypeId::NONE, raw: 0..0 };
        // Every pair of values is a key of two fields.
        let rows: Vec<[Slot; 2]> = all.iter().flat_map(|&a| all.iter().map(move |&b| [a, b])).collect();
        let name = |slots: &[Slot; 2]| {
            let row = Row { head: &head, text, unescaped: text, slots };
            let mut name = Vec::new();
            put_name(&row, &[0, 1], &mut name);
            assert_eq!(hash_of_name(&name, 2, &hasher), Ok(hasher.hash(&row, &[0, 1])), "{slots:?}");
            assert!(hash_of_name(&name, 1, &hasher).is_err() && hash_of_name(&name, 3, &hasher).is_err());
            assert!(hash_of_name(&name[..name.len() - 1], 2, &hasher).is_err(), "{slots:?}");
            name
        };
        let names: Vec<Vec<u8>> = rows.iter().map(name).collect();
        let mut equal = 0;
        for (a, first) in rows.iter().zip(&names) {
            for (b, second) in rows.iter().zip(&names) {
                let row = |slots| Row { head: &head, text, unescaped: text, slots };
                let same = crate::event::key::same_key(&row(a), &row(b), &[0, 1]);
                assert_eq!(first == second, same, "{a:?} {b:?}");
                equal += usize::from(same);
            }
        }
        assert!(equal > rows.len(), "some are equal to others");
    }
}
