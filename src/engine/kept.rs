//! A view of a kept event, wherever it lies: packed in a page, or in the block that it came in.

use super::page::PackedRow;
use super::recent::RecentRow;
use crate::event::{Fields, Position, Slot, Timestamp, Value};

/// A view of a kept event.
#[derive(Debug, Clone, Copy)]
pub(crate) enum KeptRow<'a> {
    /// In its block.
    Recent(RecentRow<'a>),
    /// In a page.
    Packed(PackedRow<'a>),
}

impl<'a> KeptRow<'a> {
    /// How many bytes its object has.
    pub(crate) fn object_len(&self) -> usize {
        self.object().iter().map(|part| part.len()).sum()
    }

    /// Its object, byte for byte, in two parts.
    pub(crate) fn object(&self) -> [&'a [u8]; 2] {
        match self {
            KeptRow::Recent(row) => [row.row.raw().as_bytes(), &[]],
            KeptRow::Packed(row) => row.object(),
        }
    }
}

impl<'a> Fields<'a> for KeptRow<'a> {
    #[inline]
    fn time(&self) -> Timestamp {
        match self {
            KeptRow::Recent(row) => row.time(),
            KeptRow::Packed(row) => row.time(),
        }
    }

    #[inline]
    fn position(&self) -> Position {
        match self {
            KeptRow::Recent(row) => row.position(),
            KeptRow::Packed(row) => row.position(),
        }
    }

    #[inline]
    fn slot(&self, slot: usize) -> Slot {
        match self {
            KeptRow::Recent(row) => row.slot(slot),
            KeptRow::Packed(row) => row.slot(slot),
        }
    }

    #[inline]
    fn bytes(&self, slot: Slot) -> &'a [u8] {
        match self {
            KeptRow::Recent(row) => row.bytes(slot),
            KeptRow::Packed(row) => row.bytes(slot),
        }
    }

    fn value(&self, slot: usize) -> Value<'a> {
        match self {
            KeptRow::Recent(row) => row.value(slot),
            KeptRow::Packed(row) => row.value(slot),
        }
    }
}
