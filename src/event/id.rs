//! Ids of events: what the field that tells events apart comes to, whatever its length.

use std::num::NonZeroU128;

use sha2::{Digest, Sha256};

use super::Slot;

/// An id, as a number that no other id has. Two ids are the same where `==` is true of them, so 1 and 1.0 are one. It is the
/// same in every process: checkpoints hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(NonZeroU128);

impl EventId {
    /// The id that a field is; `text` is what a slot of text points at. None where the field is missing, null, an object
    /// or an array.
    pub fn of(field: Slot, text: &[u8]) -> Option<EventId> {
        let mut hash = Sha256::new();
        let mut whole = |number: i128| hash.update([&[0], &number.to_le_bytes()[..]].concat());
        match field {
            Slot::Null | Slot::Json { .. } => return None,
            Slot::Int(number) => whole(number.into()),
            Slot::UInt(number) => whole(number.into()),
            // A whole float is the integer that it equals.
            Slot::Float(number) if number.trunc() == number && number.abs() < 1e30 => whole(number as i128),
            Slot::Float(number) => hash.update([&[1], &number.to_bits().to_le_bytes()[..]].concat()),
            Slot::Bool(is_true) => hash.update([2, u8::from(is_true)]),
            Slot::Str { .. } | Slot::Unescaped { .. } => {
                hash.update([3]);
                hash.update(text);
            }
        }
        let hash = hash.finalize();
        EventId::from_bytes(std::array::from_fn(|at| hash[at]))
    }

    /// As it is written down.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.get().to_le_bytes()
    }

    /// From what was written down; none where that is no id.
    pub fn from_bytes(bytes: [u8; 16]) -> Option<EventId> {
        NonZeroU128::new(u128::from_le_bytes(bytes)).map(EventId)
    }
}
