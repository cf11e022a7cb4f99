//! Events that were kept lately lie where they were decoded: most are let go of soon, and packing those would be in
//! vain. The blocks that they are in are held for that, as long as they are few; what is left of a block when it goes is
//! packed into pages.

use std::sync::Arc;

use crate::event::record::Block;
use crate::event::{Fields, Head, Position, Row, Slot, Timestamp, Value};

/// So many blocks are held at most,
const BLOCKS: usize = 32;

/// and so many bytes in them.
const BYTES: usize = 4 << 20;

/// Where a kept event of a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    /// The block's seat.
    pub(super) seat: u16,
    /// Its number among those that were kept of the block.
    pub(super) entry: u16,
}

/// An event that was kept of a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    row: u32,
    /// Its number in the store, which is another event's by now where this one is gone.
    pub(super) event: u32,
    pub(super) sequence: u64,
}

/// A block that is held, and what was kept of it.
#[derive(Debug, Default)]
pub(super) struct Held {
    block: Arc<Block>,
    pub(super) entries: Vec<Entry>,
    bytes: usize,
}

/// The blocks that events were kept of lately.
#[derive(Debug)]
pub(super) struct Recent {
    seats: Vec<Held>,
    /// The seat of the block that came last, and how many are held, up to that one.
    last: usize,
    len: usize,
    bytes: usize,
    /// Fields that its events have.
    width: usize,
}

impl Default for Recent {
    fn default() -> Self {
        let seats = (0..BLOCKS).map(|_| Held::default()).collect();
        Recent { seats, last: 0, len: 0, bytes: 0, width: 0 }
    }
}

impl Recent {
    /// Sets how many fields events have, where none is held.
    pub(super) fn set_width(&mut self, width: usize) {
        self.width = width;
    }

    /// The seat of a block that is held.
    #[inline]
    pub(super) fn seat(&self, block: &Arc<Block>) -> Option<usize> {
        if Arc::ptr_eq(&self.seats[self.last].block, block) {
            return Some(self.last);
        }
        (1..self.len).map(|back| self.before(back)).find(|&at| Arc::ptr_eq(&self.seats[at].block, block))
    }

    /// The seat of the block that came so many blocks before the last one.
    fn before(&self, back: usize) -> usize {
        (self.last + BLOCKS - back) % BLOCKS
    }

    /// Whether a block can be held at all.
    pub(super) fn may_hold(block: &Block) -> bool {
        bytes_of(block) <= BYTES
    }

    /// Whether it can be held beside those that are.
    pub(super) fn has_room(&self, block: &Block) -> bool {
        self.len < BLOCKS && self.bytes + bytes_of(block) <= BYTES
    }

    /// Holds a block; its seat.
    pub(super) fn hold(&mut self, block: &Arc<Block>) -> usize {
        self.last = (self.last + 1) % BLOCKS;
        self.len += 1;
        let held = &mut self.seats[self.last];
        (held.block, held.bytes) = (Arc::clone(block), bytes_of(block));
        self.bytes += held.bytes;
        self.last
    }

    /// Takes out the oldest block: its seat, and what was kept of it.
    pub(super) fn oldest(&mut self) -> Option<(usize, Held)> {
        let back = self.len.checked_sub(1)?;
        let seat = self.before(back);
        self.len = back;
        let held = std::mem::take(&mut self.seats[seat]);
        self.bytes -= held.bytes;
        Some((seat, held))
    }

    /// Where an event of a block is from now on; none where too many of that block are kept.
    #[inline]
    pub(super) fn add(&mut self, seat: usize, row: u32, event: u32, sequence: u64) -> Option<At> {
        let entries = &mut self.seats[seat].entries;
        let at = At { seat: seat as u16, entry: u16::try_from(entries.len()).ok()? };
        entries.push(Entry { row, event, sequence });
        Some(at)
    }

    /// An event that was kept of a block.
    #[inline]
    pub(super) fn get(&self, at: At) -> RecentRow<'_> {
        self.seats[at.seat as usize].row(at.entry as usize, self.width)
    }

    /// When it is.
    #[inline]
    pub(super) fn time(&self, at: At) -> Timestamp {
        let held = &self.seats[at.seat as usize];
        held.block.heads[held.entries[at.entry as usize].row as usize].time
    }

    /// Its number in the merged order.
    #[inline]
    pub(super) fn sequence(&self, at: At) -> u64 {
        self.seats[at.seat as usize].entries[at.entry as usize].sequence
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }
}

impl Held {
    /// One of those that were kept of it, with so many fields.
    #[inline]
    pub(super) fn row(&self, entry: usize, width: usize) -> RecentRow<'_> {
        let Entry { row, sequence, .. } = self.entries[entry];
        let row = self.block.row(row as usize);
        RecentRow { row: Row { slots: &row.slots[..width.min(row.slots.len())], ..row }, sequence }
    }
}

/// About what a block takes.
fn bytes_of(block: &Block) -> usize {
    let events = block.heads.len() * size_of::<Head>() + block.slots.len() * size_of::<Slot>();
    block.text.len() + block.unescaped.len() + events
}

/// A view of a kept event in its block. Of fields that it does not have nothing is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecentRow<'a> {
    pub(super) row: Row<'a>,
    pub(super) sequence: u64,
}

impl<'a> Fields<'a> for RecentRow<'a> {
    #[inline]
    fn time(&self) -> Timestamp {
        self.row.head.time
    }

    #[inline]
    fn position(&self) -> Position {
        self.row.head.position
    }

    #[inline]
    fn slot(&self, slot: usize) -> Slot {
        self.row.slots.get(slot).copied().unwrap_or(Slot::Null)
    }

    #[inline]
    fn bytes(&self, slot: Slot) -> &'a [u8] {
        self.row.bytes(slot)
    }

    fn value(&self, slot: usize) -> Value<'a> {
        if slot < self.row.slots.len() { self.row.value(slot) } else { Value::Null }
    }
}
