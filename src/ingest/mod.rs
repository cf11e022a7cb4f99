//! From partitions that each come in their own disorder to one order: judges lateness, holds events back until their
//! watermark has passed, and merges. Pure: what comes out is a function of what the partitions hold, not of how their
//! blocks interleave or where they are cut.
//!
//! Lateness is judged per partition as it is read, against the partition's own watermark. Events wait in their
//! partition's buffer and leave, in the order (time, position), up to the lowest watermark of all partitions that have
//! not ended. Late events and dead letters leave in the order (highest time of their partition so far, position).

mod partition;
mod reorder;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use partition::Partition;
pub use partition::{Rejected, RejectedKind};
use reorder::Waiting;

use crate::event::decode::Decoded;
use crate::event::{Batch, Block, TimeSpan, Timestamp};

/// A partition of a stream, as ingest knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionSettings {
    /// Its number, as positions have it.
    pub number: u32,
    /// How far behind the partition's highest time an event may come.
    pub out_of_orderness: TimeSpan,
}

/// What ingest has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Lines, blank ones included.
    pub lines: u64,
    /// Lines of white space alone.
    pub blank: u64,
    /// Events, late ones included.
    pub events: u64,
    /// Late events.
    pub late: u64,
    /// Lines that are no events.
    pub dead_letters: u64,
}

/// More events wait for their watermark than may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferFull {
    /// How many may wait.
    pub limit: usize,
}

impl fmt::Display for BufferFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "more than {} events wait for the watermark to pass them: lower --out-of-orderness, give the inputs' partitions in the order of their times, or raise --max-buffered-events",
            self.limit
        )
    }
}

impl std::error::Error for BufferFull {}

/// Orders the events of some partitions.
#[derive(Debug)]
pub struct Ingest {
    partitions: Vec<Partition>,
    /// Blocks that events still wait in, with how many do; the first one's number is `first_block`.
    blocks: VecDeque<(Option<Arc<Block>>, usize)>,
    first_block: u64,
    /// Released events that no batch has taken yet, in their order.
    ready: VecDeque<Waiting>,
    buffered: usize,
    limit: usize,
    counters: Counters,
}

impl Ingest {
    /// Over these partitions, with at most `limit` events waiting.
    pub fn new(partitions: &[PartitionSettings], limit: usize) -> Ingest {
        Ingest {
            partitions: partitions.iter().map(|&settings| Partition::new(settings)).collect(),
            blocks: VecDeque::new(),
            first_block: 0,
            ready: VecDeque::new(),
            buffered: 0,
            limit,
            counters: Counters::default(),
        }
    }

    /// The partition to read next, so that the fewest events wait: the one that holds the watermark. None: all ended.
    pub fn wants(&self) -> Option<usize> {
        let open = self.partitions.iter().enumerate().filter(|(_, p)| !p.has_ended());
        open.min_by_key(|(index, p)| (p.high(), *index)).map(|(index, _)| index)
    }

    /// Takes the next stretch of a partition.
    pub fn push(&mut self, partition: usize, decoded: Decoded) -> Result<(), BufferFull> {
        let Decoded { block, dead, lines, blank } = decoded;
        self.counters.lines += lines;
        self.counters.blank += blank;
        self.counters.events += block.heads.len() as u64;
        self.counters.dead_letters += dead.len() as u64;
        let number = self.first_block + self.blocks.len() as u64;
        let (waiting, late) = self.partitions[partition].take(&block, dead, number);
        self.counters.late += late;
        self.buffered += waiting;
        let block = (waiting > 0).then(|| Arc::new(block));
        self.blocks.push_back((block, waiting));
        self.release();
        if self.buffered - self.ready.len() > self.limit {
            Err(BufferFull { limit: self.limit })
        } else {
            Ok(())
        }
    }

    /// Says that a partition has no more.
    pub fn end(&mut self, partition: usize) {
        self.partitions[partition].end();
        self.release();
    }

    /// How far time has come: the lowest watermark of the partitions that have not ended; none before all have spoken.
    pub fn watermark(&self) -> Option<Timestamp> {
        self.partitions.iter().map(Partition::watermark).min().unwrap_or(Some(Timestamp::MAX))
    }

    /// Takes up to `max` events in the merged order; none when none is ready. Fewer than `max` come only when no more are.
    pub fn batch(&mut self, max: usize) -> Option<Batch> {
        if self.ready.is_empty() {
            return None;
        }
        let mut batch = Batch::default();
        let mut numbers: Vec<u64> = Vec::new();
        let mut last = 0;
        for waiting in self.ready.drain(..max.min(self.ready.len())) {
            if numbers.get(last) != Some(&waiting.block) {
                last = numbers.iter().rposition(|&n| n == waiting.block).unwrap_or_else(|| {
                    let (block, _) = &self.blocks[(waiting.block - self.first_block) as usize];
                    batch.blocks.extend(block.clone());
                    numbers.push(waiting.block);
                    numbers.len() - 1
                });
            }
            batch.events.push((last as u32, waiting.row));
        }
        for &(block, _) in &batch.events {
            self.blocks[(numbers[block as usize] - self.first_block) as usize].1 -= 1;
        }
        for number in numbers {
            let (block, waiting) = &mut self.blocks[(number - self.first_block) as usize];
            if *waiting == 0 {
                *block = None;
            }
        }
        while self.blocks.front().is_some_and(|(_, waiting)| *waiting == 0) {
            self.blocks.pop_front();
            self.first_block += 1;
        }
        self.buffered -= batch.events.len();
        Some(batch)
    }

    /// How many events are ready to be taken.
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Takes the late events and dead letters whose turn has come, in their order.
    pub fn rejected(&mut self) -> Vec<Rejected> {
        // What a partition still rejects stands behind its highest time so far.
        let safe = self.partitions.iter().filter(|p| !p.has_ended()).map(Partition::high).min();
        let mut turn: Vec<Rejected> = Vec::new();
        for partition in &mut self.partitions {
            partition.rejected_below(safe, &mut turn);
        }
        turn.sort_by_key(Rejected::order);
        turn
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Moves the events that the watermark has passed to `ready`, in their order.
    fn release(&mut self) {
        let Some(watermark) = self.watermark() else { return };
        let mut turn: Vec<Waiting> = Vec::new();
        let mut sources = 0;
        for partition in &mut self.partitions {
            let before = turn.len();
            partition.buffer.release(watermark, &mut turn);
            sources += usize::from(turn.len() > before);
        }
        if sources > 1 {
            // Sorted runs one behind the other: the sort finds and merges them.
            turn.sort_by_key(|w| (w.time, w.position));
        }
        self.ready.extend(turn);
    }
}
