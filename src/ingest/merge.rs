//! All partitions together: what may leave, in which order, and cut into batches.

use std::fmt;
use std::sync::Arc;

use super::blocks::{Blocks, Span};
use super::partition::{Partition, Resume};
use super::rejected::Rejected;
use super::seen::Remember;
use super::sources::{Source, merge};
use crate::event::decode::Decoded;
use crate::event::{Batch, Block, EventId, TimeSpan, Timestamp};

/// Takes stretches of partitions and gives batches in the order of event time.
#[derive(Debug)]
pub struct Ingest {
    partitions: Vec<Partition>,
    /// The partitions as ties between them are broken: by position.
    by_rank: Vec<usize>,
    blocks: Blocks,
    /// Events that may leave, in order, and how many spans of them have left.
    ready: Vec<Span>,
    left: usize,
    /// Room for what leaves of each partition.
    sources: Vec<Source>,
    /// Events and rejected lines that may not leave yet.
    waiting: usize,
    limit: usize,
    /// Up to here events have left, or may: it never goes back.
    frontier: Option<Timestamp>,
    /// The frontier does not go beyond it.
    cap: Timestamp,
    counters: Counters,
}

/// A partition of a stream, as ingest knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionSettings {
    /// The rank of its stream, as positions have it.
    pub stream: u32,
    /// Its number, as positions have it.
    pub number: u32,
    /// How far behind the partition's highest time an event may come.
    pub out_of_orderness: TimeSpan,
    /// How far ahead of the partition's highest time an event may come; further ahead, it is a dead letter.
    pub max_time_jump: Option<TimeSpan>,
    /// Whether its events leave without waiting for the bound when all partitions are idle.
    pub flushes: bool,
    /// How long the ids of events are remembered, so that none is taken twice.
    pub remember: Option<Remember>,
}

impl PartitionSettings {
    /// A partition with this bound, and without the rest.
    pub fn new(stream: u32, number: u32, out_of_orderness: TimeSpan) -> PartitionSettings {
        PartitionSettings {
            stream,
            number,
            out_of_orderness,
            max_time_jump: None,
            flushes: false,
            remember: None,
        }
    }
}

/// What ingest has counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Lines, blank ones included.
    pub lines: u64,
    /// Lines of white space alone.
    pub blank: u64,
    /// Events, late ones and duplicates included.
    pub events: u64,
    /// Events that had come before, by their ids.
    pub duplicates: u64,
    /// Late events.
    pub late: u64,
    /// Lines that are no events.
    pub dead_letters: u64,
}

/// More events wait for their watermark than may: the bound is too long, or a partition lies far behind the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BufferFull {
    /// How many may wait.
    pub limit: usize,
}

impl fmt::Display for BufferFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "more than {} events wait for others that may still come before them: lower ", self.limit)?;
        f.write_str("--out-of-orderness, or raise --max-buffered-events if there is memory for more")
    }
}

impl std::error::Error for BufferFull {}

impl Ingest {
    /// Over these partitions. At most so many events may wait.
    pub fn new(partitions: &[PartitionSettings], limit: usize) -> Ingest {
        let place = |p: &PartitionSettings| (p.stream, p.number);
        let mut by_rank: Vec<usize> = (0..partitions.len()).collect();
        by_rank.sort_by_key(|&index| place(&partitions[index]));
        Ingest {
            partitions: partitions.iter().map(Partition::new).collect(),
            by_rank,
            blocks: Blocks::default(),
            ready: Vec::new(),
            left: 0,
            sources: partitions.iter().map(|_| Source::default()).collect(),
            waiting: 0,
            limit,
            frontier: None,
            cap: Timestamp::MAX,
            counters: Counters::default(),
        }
    }

    /// Takes the next stretch of a partition, by its index. Batches are to be taken out before the next stretch.
    pub fn push(&mut self, partition: usize, decoded: Decoded) -> Result<(), BufferFull> {
        if self.waiting > self.limit {
            return Err(BufferFull { limit: self.limit });
        }
        let Decoded { block, ids, dead, lines, blank } = decoded;
        let (all, dead_letters) = (block.heads.len(), dead.len());
        let block = Arc::new(block);
        let partition = &mut self.partitions[partition];
        let (before, duplicates) = (partition.rejected.len(), partition.duplicates);
        let (events, late) = partition.push(&block, &ids, self.blocks.next_number(), lines, dead);
        self.waiting += events + partition.rejected.len() - before;
        self.counters.duplicates += partition.duplicates - duplicates;
        self.counters.lines += lines;
        self.counters.blank += blank;
        self.counters.events += all as u64;
        self.counters.late += late as u64;
        self.counters.dead_letters += dead_letters as u64;
        self.blocks.hold(block, events);
        Ok(())
    }

    /// Goes on where an earlier run stood: up to `frontier` its events had left. What lies between a partition's
    /// [`Resume::from`] and its [`Resume::next`] is to be pushed again, whether it had left or not.
    pub fn resume(&mut self, partitions: &[Resume], frontier: Option<Timestamp>) {
        self.frontier = frontier;
        for (partition, at) in self.partitions.iter_mut().zip(partitions) {
            partition.resume(at, frontier);
        }
    }

    /// Where to go on after a restart, by partition. Nothing may be ready: batches have been taken out.
    pub fn resume_points(&mut self) -> Vec<Resume> {
        let blocks = &self.blocks;
        self.partitions.iter_mut().map(|partition| partition.resume_point(blocks)).collect()
    }

    /// From a partition's next line on, other settings hold. Its place stays.
    pub fn redeclare(&mut self, partition: usize, settings: &PartitionSettings) {
        self.partitions[partition].redeclare(settings);
    }

    /// From an offset of a partition on, events at or below `floor` are late; decision number `since`, more than any
    /// before it, says so.
    pub fn mark(&mut self, partition: usize, offset: u64, floor: Timestamp, since: u64) {
        self.partitions[partition].mark(offset, floor, since);
    }

    /// Whether the others wait for a partition. An idle one gives no line before it is marked.
    pub fn set_idle(&mut self, partition: usize, idle: bool) {
        self.partitions[partition].idle = idle;
    }

    /// Lets nothing leave beyond a time.
    pub fn set_cap(&mut self, cap: Timestamp) {
        self.cap = cap;
    }

    /// Up to here all events have left, or may.
    pub fn frontier(&self) -> Option<Timestamp> {
        self.frontier
    }

    /// A partition's own watermark.
    pub fn watermark_of(&self, partition: usize) -> Option<Timestamp> {
        self.partitions[partition].watermark()
    }

    /// The partition that the others wait for, its watermark being the lowest; none where none counts.
    pub fn holder(&self) -> Option<usize> {
        let counts = |&index: &usize| !self.partitions[index].ended && !self.partitions[index].idle;
        (0..self.partitions.len()).filter(counts).min_by_key(|&index| self.partitions[index].watermark())
    }

    /// How many events of a partition came late.
    pub fn late_of(&self, partition: usize) -> u64 {
        self.partitions[partition].late
    }

    /// The out-of-orderness bound that would have kept such a share of a partition's events, rounded up by an eighth at
    /// most; none where none came.
    pub fn bound_for(&self, partition: usize, share: f64) -> Option<TimeSpan> {
        let partition = &self.partitions[partition];
        partition.lateness.bound_for(share, partition.events)
    }

    /// How many events of a partition had come before.
    pub fn duplicates_of(&self, partition: usize) -> u64 {
        self.partitions[partition].duplicates
    }

    /// From now on, somebody asks what becomes of the ids that are remembered.
    pub fn track_ids(&mut self) {
        self.partitions.iter_mut().for_each(|partition| partition.seen.track());
    }

    /// Gives what has changed of a partition's remembered ids since the last call, up to the line `from`, where a start goes
    /// on: ids with the times of their events, and without where they are forgotten. With `all`, all that were remembered
    /// there.
    pub fn give_ids(
        &mut self,
        partition: usize,
        from: u64,
        all: bool,
        take: impl FnMut(EventId, Option<Timestamp>),
    ) {
        self.partitions[partition].seen.give(from, all, take);
    }

    /// Remembers an id that an earlier run gave, where the partition goes on.
    pub fn remember(&mut self, partition: usize, id: EventId, time: Timestamp) {
        self.partitions[partition].seen.put(id, time);
    }

    /// Events and rejected lines that wait.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// The time that has to be reached for the first of what waits to leave; none where nothing waits.
    pub fn due(&self) -> Option<Timestamp> {
        self.partitions.iter().filter_map(|partition| partition.due(&self.blocks)).min()
    }

    /// Nothing more comes from a partition. It also counts as idle, which can be undone where a later run goes on with it.
    pub fn end(&mut self, partition: usize) {
        self.partitions[partition].ended = true;
        self.partitions[partition].idle = true;
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The partition that the others wait for, which should be read next; none when all have ended.
    pub fn wants(&self) -> Option<usize> {
        let live = (0..self.partitions.len()).filter(|&index| !self.partitions[index].ended);
        live.min_by_key(|&index| (self.partitions[index].highest, self.partitions[index].number))
    }

    /// Up to this time all events are known; none as long as any may come.
    pub fn watermark(&self) -> Option<Timestamp> {
        let open = || self.partitions.iter().filter(|partition| !partition.ended);
        let counting = open().filter(|partition| !partition.idle).map(Partition::watermark).min();
        let known = match counting {
            Some(lowest) => lowest,
            None if open().next().is_none() => Some(Timestamp::MAX),
            None => open().map(Partition::in_silence).max().flatten(),
        };
        known.map(|known| known.min(self.cap)).max(self.frontier)
    }

    /// The next events that may leave, at most `max`; none when nothing may.
    pub fn batch(&mut self, max: usize) -> Option<Batch> {
        self.batch_renewed(max, |_| None)
    }

    /// The same; `renew` is asked of each block as it leaves, and may give another one of the same events in its place.
    pub fn batch_renewed(
        &mut self,
        max: usize,
        mut renew: impl FnMut(&Arc<Block>) -> Option<Block>,
    ) -> Option<Batch> {
        if self.left == self.ready.len() {
            self.release();
        }
        let ready = self.ready.get_mut(self.left..).unwrap_or_default();
        if ready.is_empty() {
            return None;
        }
        let (batch, left) = self.blocks.batch(ready, max.max(1), &mut renew);
        self.left += left;
        Some(batch)
    }

    /// The late events and dead letters that may leave, in order: whatever comes later stands behind them.
    pub fn rejected(&mut self) -> Vec<Rejected> {
        let Some(watermark) = self.watermark() else { return Vec::new() };
        // The first partition that may still give a line at the watermark: what stands behind it there has to wait.
        let may_give = |partition: &&Partition| !partition.idle && partition.watermark() <= Some(watermark);
        let place = |partition: &Partition| (partition.since, partition.number, partition.stream);
        let first = self.partitions.iter().filter(may_give).map(place).min();
        let mut out = Vec::new();
        for partition in &mut self.partitions {
            let may = |one: &Rejected| {
                let behind = first.is_some_and(|first| (one.since, one.partition, one.stream) > first);
                one.reached < Some(watermark) || one.reached == Some(watermark) && !behind
            };
            let count = partition.rejected.partition_point(may);
            out.extend(partition.rejected.drain(..count));
        }
        self.waiting -= out.len();
        out.sort_by_key(Rejected::order);
        out
    }

    /// Makes ready what the watermark has reached.
    fn release(&mut self) {
        self.ready.clear();
        self.left = 0;
        let Some(watermark) = self.watermark() else { return };
        self.frontier = Some(watermark);
        for (partition, Source { spans, entries }) in self.partitions.iter_mut().zip(&mut self.sources) {
            self.waiting -= partition.release(watermark, &self.blocks, spans, entries);
        }
        merge(self.by_rank.iter().map(|&index| &self.sources[index]), &self.blocks, &mut self.ready);
    }
}
