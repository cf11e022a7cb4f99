//! Keys: which events belong together. Two key values are the same where `==` is true of them, so 1 and 1.0 hash
//! alike; an event that lacks a key field, or has null, an object or an array there, has no key.

use std::hash::{BuildHasher, Hasher};

use super::value::same_bytes;
use super::{Fields, Slot};

/// Hashes keys. Seeded anew in each process, so that nobody can send keys that collide; no output depends on it.
#[derive(Debug, Clone)]
pub struct KeyHasher(ahash::RandomState);

impl Default for KeyHasher {
    fn default() -> Self {
        KeyHasher(ahash::RandomState::new())
    }
}

impl KeyHasher {
    /// The hash of a row's key, never 0; 0 where the row has no such key.
    pub fn hash<'a>(&self, row: &impl Fields<'a>, slots: &[usize]) -> u64 {
        let mut hasher = self.0.build_hasher();
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
