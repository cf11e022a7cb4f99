//! Unpacked chunks that were read lately, up to a number of bytes.

use super::checkpoint::Block;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which checkpoint and chunk.
type Place = (u64, u32);

/// The blocks, and when each was used last.
pub(super) struct Cache {
    blocks: BTreeMap<Place, (u64, Arc<Block>)>,
    by_use: BTreeMap<u64, Place>,
    uses: u64,
    bytes: usize,
    bytes_max: usize,
}

impl Cache {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { blocks: BTreeMap::new(), by_use: BTreeMap::new(), uses: 0, bytes: 0, bytes_max }
    }

    pub(super) fn get(&mut self, place: Place) -> Option<Arc<Block>> {
        let (used, block) = self.blocks.get_mut(&place)?;
        self.by_use.remove(used);
        self.uses += 1;
        *used = self.uses;
        self.by_use.insert(self.uses, place);
        Some(block.clone())
    }

    pub(super) fn put(&mut self, place: Place, block: Arc<Block>) {
        if block.bytes.len() > self.bytes_max / 4 || self.blocks.contains_key(&place) {
            return;
        }
        self.bytes += block.bytes.len();
        self.uses += 1;
        self.by_use.insert(self.uses, place);
        self.blocks.insert(place, (self.uses, block));
        while self.bytes > self.bytes_max
            && let Some((_, place)) = self.by_use.pop_first()
        {
            self.bytes -= self.blocks.remove(&place).map_or(0, |(_, block)| block.bytes.len());
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.bytes_max);
    }
}
