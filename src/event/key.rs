//! Keys: which events belong together. Two key values are the same where `==` is true of them, so 1 and 1.0 hash
//! alike; an event that lacks a key field, or has null, an object or an array there, has no key.

use std::hash::{BuildHasher, Hasher};

use super::value::same_bytes;
use super::{Fields, Slot};

/// Hashes keys. Seeded anew in each process, so that nobody can send keys that collide; no output depends on it.
#[derive(Debug, Clone)]
pub struct KeyHasher {
    state: ahash::RandomState,
    /// For short texts.
    seeds: [u64; 2],
}

impl Default for KeyHasher {
    fn default() -> Self {
        let state = ahash::RandomState::new();
        KeyHasher { seeds: [state.hash_one(0_u64), state.hash_one(1_u64)], state }
    }
}

impl KeyHasher {
    /// The hash of a row's key, never 0; 0 where the row has no such key.
    #[inline]
    pub fn hash<'a>(&self, row: &impl Fields<'a>, slots: &[usize]) -> u64 {
        // What most keys are.
        if let &[only] = slots
            && let text @ (Slot::Str { .. } | Slot::Unescaped { .. }) = row.slot(only)
            && let Some(hash) = self.hash_short(row.bytes(text))
        {
            return hash.max(1);
        }
        self.hash_any(row, slots)
    }

    /// The hash of up to 16 bytes: two numbers that have all of them, and how many there are.
    #[inline]
    fn hash_short(&self, bytes: &[u8]) -> Option<u64> {
        let len = bytes.len();
        let (first, last) = match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            (Some(first), Some(last)) if len <= 16 => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
            (Some(_), _) => return None,
            _ => match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
                (Some(first), Some(last)) => {
                    (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into())
                }
                // Up to three: the first, the middle one, and the last.
                _ => match (bytes.first(), bytes.last()) {
                    (Some(first), Some(last)) => {
                        (u64::from(*first) | u64::from(bytes[len / 2]) << 8, (*last).into())
                    }
                    _ => (0, 0),
                },
            },
        };
        let mixed = folded(first ^ self.seeds[0], last ^ self.seeds[1]);
        Some(folded(mixed ^ len as u64, 0x9e37_79b9_7f4a_7c15))
    }

    fn hash_any<'a>(&self, row: &impl Fields<'a>, slots: &[usize]) -> u64 {
        let mut hasher = self.state.build_hasher();
        for &slot in slots {
            match row.slot(slot) {
                Slot::Null | Slot::Json { .. } => return 0,
                Slot::Bool(b) => hasher.write_u8(b as u8),
                Slot::Int(i) => hasher.write_i128(i128::from(i)),
                Slot::UInt(u) => hasher.write_i128(i128::from(u)),
                // A whole float hashes as the integer that it equals; others by their bits (-0.0 is whole).
                Slot::Float(f) if f.trunc() == f && f.abs() < 1e30 => hasher.write_i128(f as i128),
                Slot::Float(f) => hasher.write_u64(f.to_bits()),
                // The hasher takes the length of what is written into account.
                text @ (Slot::Str { .. } | Slot::Unescaped { .. }) => hasher.write(row.bytes(text)),
            }
        }
        hasher.finish().max(1)
    }
}

/// Both halves of a product in one number.
#[inline]
fn folded(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// Whether a row with these fields has such a key.
#[inline]
pub fn has_key(fields: &[Slot], slots: &[usize]) -> bool {
    slots.iter().all(|&slot| !matches!(fields[slot], Slot::Null | Slot::Json { .. }))
}

/// Whether two events have the same key: `==` is true of each of its fields.
#[inline]
pub fn same_key<'a, 'b>(a: &impl Fields<'a>, b: &impl Fields<'b>, slots: &[usize]) -> bool {
    slots.iter().all(|&slot| match (a.slot(slot), b.slot(slot)) {
        (Slot::Int(x), Slot::Int(y)) => x == y,
        (x @ Slot::Str { .. }, y @ Slot::Str { .. }) => same_bytes(a.bytes(x), b.bytes(y)),
        _ => a.value(slot).compare(&b.value(slot)) == Some(std::cmp::Ordering::Equal),
    })
}
