//! The blocks whose events wait or are about to leave, each held for as long as any of its events has to leave.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use crate::event::{Batch, Block, Head, Timestamp};

/// The number of a block. Numbers go on and wrap around: only the blocks that are held have to differ.
pub(super) type BlockNumber = u32;

/// Consecutive rows of one block, none below the one before in time.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) block: BlockNumber,
    pub(super) rows: Range<u32>,
}

/// Blocks in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    held: VecDeque<Held>,
    /// The number of the first one.
    first: BlockNumber,
    /// Batches given out so far.
    batches: u64,
}

/// A block that is held.
#[derive(Debug)]
struct Held {
    /// None once all its events have left.
    block: Option<Arc<Block>>,
    /// How many of its events have to leave.
    events: usize,
    /// The last batch that has it, and its index there.
    batch: u64,
    index: u32,
}

impl Blocks {
    /// The number of the block that is held next.
    pub(super) fn next_number(&self) -> BlockNumber {
        self.first.wrapping_add(self.held.len() as u32)
    }

    /// Holds a block of which so many events have to leave.
    pub(super) fn hold(&mut self, block: Arc<Block>, events: usize) {
        self.held.push_back(Held { block: (events > 0).then_some(block), events, batch: 0, index: 0 });
        self.forget();
    }

    /// When the event at a row of a block is.
    #[inline]
    pub(super) fn time(&self, block: BlockNumber, row: u32) -> Timestamp {
        self.heads(block)[row as usize].time
    }

    /// How many of a span's events are not after `up_to`.
    pub(super) fn count_up_to(&self, span: &Span, up_to: Timestamp) -> u32 {
        let heads = &self.heads(span.block)[span.rows.start as usize..span.rows.end as usize];
        // Mostly few of them, where events of several partitions alternate, or all.
        let mut reach = 1;
        while reach < heads.len() && heads[reach].time <= up_to {
            reach *= 2;
        }
        let known = reach / 2;
        let open = &heads[known..reach.min(heads.len())];
        (known + open.partition_point(|head| head.time <= up_to)) as u32
    }

    /// Whether events of a block have to leave.
    pub(super) fn waits(&self, block: BlockNumber) -> bool {
        self.held.get(self.place(block)).is_some_and(|held| held.events > 0)
    }

    /// The first events of some spans, at most `max`, as a batch; they leave with it. How many spans have left as a whole.
    /// `renew` is asked of each block that leaves, and may give another one of the same events in its place.
    pub(super) fn batch(
        &mut self,
        spans: &mut [Span],
        max: usize,
        renew: &mut impl FnMut(&Arc<Block>) -> Option<Block>,
    ) -> (Batch, usize) {
        self.batches += 1;
        let mut batch = Batch { blocks: Vec::new(), runs: Vec::with_capacity(max.min(spans.len())) };
        let (mut room, mut whole) = (max, 0);
        for span in spans {
            let (from, count) = (span.rows.start, span.rows.len().min(room));
            if count == 0 {
                break;
            }
            room -= count;
            span.rows.start += count as u32;
            whole += usize::from(span.rows.is_empty());
            let place = self.place(span.block);
            let held = &mut self.held[place];
            if held.batch != self.batches {
                held.batch = self.batches;
                held.index = batch.blocks.len() as u32;
                if let Some(renewed) = held.block.as_ref().and_then(&mut *renew) {
                    held.block = Some(Arc::new(renewed));
                }
                batch.blocks.extend(held.block.clone());
            }
            held.events -= count;
            if held.events == 0 {
                held.block = None;
            }
            batch.runs.push((held.index, from..span.rows.start));
        }
        self.forget();
        (batch, whole)
    }

    fn heads(&self, block: BlockNumber) -> &[Head] {
        self.held[self.place(block)].block.as_ref().map_or(&[], |block| &block.heads)
    }

    fn place(&self, block: BlockNumber) -> usize {
        block.wrapping_sub(self.first) as usize
    }

    /// Lets go of the blocks whose events have all left, as far as none before them is held.
    fn forget(&mut self) {
        while self.held.front().is_some_and(|held| held.events == 0) {
            self.held.pop_front();
            self.first = self.first.wrapping_add(1);
        }
    }
}
