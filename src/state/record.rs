//! An entry as bytes, and the hash that entries are sorted by.
//!
//! `pattern (8) | length of the key | key | 0, or 1 + length of the value | value`; numbers little-endian, lengths as
//! variable-length integers of 7 bits a byte.

use super::Entry;

/// Appends an entry.
pub(super) fn encode(entry: Entry<'_>, into: &mut Vec<u8>) {
    into.extend_from_slice(&entry.pattern.to_le_bytes());
    length(entry.key.len() as u64, into);
    into.extend_from_slice(entry.key);
    match entry.value {
        None => length(0, into),
        Some(value) => {
            length(value.len() as u64 + 1, into);
            into.extend_from_slice(value);
        }
    }
}

fn length(mut number: u64, into: &mut Vec<u8>) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

/// Takes the entry at the beginning of `bytes`; `None` if there is no whole one.
pub(super) fn decode<'a>(bytes: &mut &'a [u8]) -> Option<Entry<'a>> {
    let (pattern, rest) = bytes.split_first_chunk::<8>()?;
    *bytes = rest;
    let key_len = take_length(bytes)?;
    let key = take(bytes, key_len)?;
    let value = match take_length(bytes)? {
        0 => None,
        more => Some(take(bytes, more - 1)?),
    };
    Some(Entry { pattern: u64::from_le_bytes(*pattern), key, value })
}

fn take_length(bytes: &mut &[u8]) -> Option<usize> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return usize::try_from(number).ok();
        }
    }
    None
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

/// The hash of an entry's name. It is part of the format: it must be the same in every process and version. Equal hashes
/// of unequal names cost time and nothing else.
pub(super) fn hash(pattern: u64, key: &[u8]) -> u64 {
    const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
    const FACTOR: u64 = 0xD6E8_FEB8_6659_FD93;
    let fold = |state: u64, word: u64| {
        let product = u128::from(state ^ word).wrapping_mul(u128::from(FACTOR));
        product as u64 ^ (product >> 64) as u64
    };
    let (words, rest) = key.as_chunks::<8>();
    let state = words.iter().fold(fold(SEED, pattern), |state, word| fold(state, u64::from_le_bytes(*word)));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    // The length tells a key from the same key with zeros behind it.
    mix(fold(fold(state, u64::from_le_bytes(last)), key.len() as u64 ^ SEED))
}

/// Spreads every bit of a number over all bits of the result.
pub(super) fn mix(mut number: u64) -> u64 {
    number = (number ^ (number >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    number = (number ^ (number >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    number ^ (number >> 32)
}
