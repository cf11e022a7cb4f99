//! All partitions together: what may leave, in which order, and cut into batches.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use super::aside::Aside;
use super::partition::{Entry, Partition};
use crate::event::decode::DeadLetter;
use crate::event::{Batch, Block, TimeSpan, Timestamp};

/// Takes stretches of partitions and gives batches in the order of event time.
#[derive(Debug)]
pub struct Ingest {
    partitions: Vec<Partition>,
    /// Blocks with events that wait or are ready, numbered on from `first_block`.
    blocks: VecDeque<Held>,
    first_block: u64,
    /// Events that may leave, in order, and how many of them have left.
    ready: Vec<Entry>,
    left: usize,
    waiting: usize,
    waiting_max: usize,
    batches: u64,
}

/// A block as long as any of its events has to leave.
#[derive(Debug)]
struct Held {
    block: Option<Arc<Block>>,
    /// How many of its events have to leave.
    events: usize,
    /// The last batch that has it, and its index there.
    batch: u64,
    index: u32,
}

/// More events wait than are allowed: the bound is too long, or a partition lies far behind the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooManyWaiting {
    /// How many are allowed.
    pub max: usize,
}

impl fmt::Display for TooManyWaiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "more than {} events wait for others that may still come before them", self.max)
    }
}

impl std::error::Error for TooManyWaiting {}

impl Ingest {
    /// A merge of partitions, given as (rank of the stream, number). At most so many events may wait.
    pub fn new(partitions: &[(u32, u32)], bound: TimeSpan, waiting_max: usize) -> Ingest {
        let rank = |this: &(u32, u32)| partitions.iter().filter(|other| *other < this).count() as u32;
        let bound = TimeSpan(bound.0.max(0));
        Ingest {
            partitions: partitions.iter().map(|this| Partition::new(this.1, rank(this), bound)).collect(),
            blocks: VecDeque::new(),
            first_block: 0,
            ready: Vec::new(),
            left: 0,
            waiting: 0,
            waiting_max,
            batches: 0,
        }
    }

    /// Takes the next stretch of a partition, by its index: its events, and its lines that are none. Batches are to
    /// be taken out before the next stretch.
    pub fn push(
        &mut self,
        partition: usize,
        block: Block,
        dead: Vec<DeadLetter>,
    ) -> Result<(), TooManyWaiting> {
        if self.waiting > self.waiting_max {
            return Err(TooManyWaiting { max: self.waiting_max });
        }
        let block = Arc::new(block);
        let number = self.first_block + self.blocks.len() as u64;
        let partition = &mut self.partitions[partition];
        let asides = partition.asides.len();
        let events = partition.push(&block, number, dead);
        self.waiting += events + partition.asides.len() - asides;
        self.blocks.push_back(Held { block: (events > 0).then_some(block), events, batch: 0, index: 0 });
        self.forget_blocks();
        Ok(())
    }

    /// Nothing more comes from a partition.
    pub fn end(&mut self, partition: usize) {
        self.partitions[partition].ended = true;
    }

    /// The partition that the others wait for, which should be read next; none when all have ended.
    pub fn behind(&self) -> Option<usize> {
        let live = (0..self.partitions.len()).filter(|&index| !self.partitions[index].ended);
        live.min_by_key(|&index| (self.partitions[index].highest, self.partitions[index].number))
    }

    /// Up to this time all events are known; none as long as any may come.
    pub fn watermark(&self) -> Option<Timestamp> {
        match self.behind() {
            Some(_) => self.partitions.iter().filter(|p| !p.ended).map(Partition::watermark).min().flatten(),
            None => Some(Timestamp::MAX),
        }
    }

    /// The next events that may leave, at most `max`; none when nothing may.
    pub fn batch(&mut self, max: usize) -> Option<Batch> {
        if self.left == self.ready.len() {
            self.release();
        }
        let entries = &self.ready[self.left..(self.left + max.max(1)).min(self.ready.len())];
        if entries.is_empty() {
            return None;
        }
        self.left += entries.len();
        self.batches += 1;
        let mut batch = Batch { blocks: Vec::new(), events: Vec::with_capacity(entries.len()) };
        for entry in entries {
            let held = &mut self.blocks[(entry.block - self.first_block) as usize];
            if held.batch != self.batches {
                held.batch = self.batches;
                held.index = batch.blocks.len() as u32;
                batch.blocks.extend(held.block.clone());
            }
            batch.events.push((held.index, entry.row));
            held.events -= 1;
            if held.events == 0 {
                held.block = None;
            }
        }
        self.forget_blocks();
        Some(batch)
    }

    /// The late events and dead letters that may leave, in order.
    pub fn asides(&mut self) -> Vec<Aside> {
        // A partition's later ones come at or after (its highest time, its number).
        let frontier =
            self.behind().map(|index| (self.partitions[index].highest, self.partitions[index].number));
        let mut out = Vec::new();
        for partition in &mut self.partitions {
            let may = |aside: &Aside| frontier.is_none_or(|f| (aside.reached, aside.partition) <= f);
            let count = partition.asides.partition_point(may);
            out.extend(partition.asides.drain(..count));
        }
        self.waiting -= out.len();
        out.sort_by_key(Aside::order);
        out
    }

    /// Makes ready what the watermark has reached.
    fn release(&mut self) {
        self.ready.clear();
        self.left = 0;
        let Some(watermark) = self.watermark() else { return };
        let parts: usize = self.partitions.iter_mut().map(|p| p.release(watermark, &mut self.ready)).sum();
        if parts > 1 {
            // Sorted runs one behind the other: the sort finds them, and merges.
            self.ready.sort();
        }
        self.waiting -= self.ready.len();
    }

    fn forget_blocks(&mut self) {
        while self.blocks.front().is_some_and(|held| held.events == 0) {
            self.blocks.pop_front();
            self.first_block += 1;
        }
    }
}
