//! One partition: how far its time has come, and what of it waits.

use std::collections::VecDeque;
use std::sync::Arc;

use super::merge::PartitionSettings;
use super::rejected::{Rejected, RejectedKind};
use crate::event::decode::DeadLetter;
use crate::event::{Block, TimeSpan, Timestamp};

/// An event that waits. The order of the fields is the order in which events leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) time: Timestamp,
    /// The rank of its partition by position.
    pub(super) rank: u32,
    /// The number of its block; a partition's blocks are numbered in the order of their offsets.
    pub(super) block: u64,
    pub(super) row: u32,
}

/// A partition of the input.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) number: u32,
    pub(super) rank: u32,
    bound: TimeSpan,
    /// The highest event time so far.
    pub(super) highest: Option<Timestamp>,
    pub(super) ended: bool,
    /// What waits, as sorted runs, each at least twice as long as the next: an event is merged a logarithmic number of
    /// times, and if all come in order there is one run, which only grows.
    runs: Vec<Run>,
    /// Late events and dead letters; their order is the order in which they came.
    pub(super) rejected: VecDeque<Rejected>,
}

/// Events in order, the first `gone` of which have left.
#[derive(Debug, Default)]
struct Run {
    entries: Vec<Entry>,
    gone: usize,
}

impl Run {
    fn waiting(&self) -> &[Entry] {
        &self.entries[self.gone..]
    }

    fn merge(&mut self, other: &Run) {
        self.entries.drain(..std::mem::take(&mut self.gone));
        self.entries.extend_from_slice(other.waiting());
        // Two runs in a row: the sort finds them, and merges.
        self.entries.sort();
    }
}

impl Partition {
    pub(super) fn new(settings: &PartitionSettings, rank: u32) -> Partition {
        let bound = TimeSpan(settings.out_of_orderness.0.max(0));
        let (number, runs, rejected) = (settings.number, Vec::new(), VecDeque::new());
        Partition { number, rank, bound, highest: None, ended: false, runs, rejected }
    }

    /// No event at or below it will be taken any more; none as long as any may come.
    pub(super) fn watermark(&self) -> Option<Timestamp> {
        self.highest?.0.checked_sub(self.bound.0)?.checked_sub(1).map(Timestamp)
    }

    /// Takes the next stretch of lines. How many of its events are not late.
    pub(super) fn push(&mut self, block: &Arc<Block>, number: u64, dead: Vec<DeadLetter>) -> usize {
        let mut entries = Vec::with_capacity(block.heads.len());
        let mut sorted = true;
        let mut dead = dead.into_iter().peekable();
        for (row, head) in block.heads.iter().enumerate() {
            while let Some(letter) = dead.next_if(|letter| letter.after <= row) {
                self.reject(letter.offset, RejectedKind::Dead(letter));
            }
            let time = head.time;
            match self.highest {
                Some(highest) if time < highest => {
                    // At or below the watermark, without its overflow.
                    if highest.0.abs_diff(time.0) > self.bound.0.unsigned_abs() {
                        let watermark = self.watermark().unwrap_or(Timestamp::MIN);
                        let kind =
                            RejectedKind::Late { block: Arc::clone(block), row: row as u32, watermark };
                        self.reject(head.position.offset, kind);
                        continue;
                    }
                    sorted = false;
                }
                _ => self.highest = Some(time),
            }
            entries.push(Entry { time, rank: self.rank, block: number, row: row as u32 });
        }
        for letter in dead {
            self.reject(letter.offset, RejectedKind::Dead(letter));
        }
        let count = entries.len();
        self.wait(entries, sorted);
        count
    }

    fn reject(&mut self, offset: u64, kind: RejectedKind) {
        self.rejected.push_back(Rejected { reached: self.highest, partition: self.number, offset, kind });
    }

    /// Adds to what waits. `sorted`: none is below one that came before, be it in this stretch or an earlier one.
    fn wait(&mut self, mut entries: Vec<Entry>, sorted: bool) {
        self.runs.retain(|run| !run.waiting().is_empty());
        match self.runs.last_mut() {
            Some(run) if sorted => run.entries.append(&mut entries),
            _ => {
                if !sorted {
                    entries.sort();
                }
                self.runs.push(Run { entries, gone: 0 });
            }
        }
        for at in (1..self.runs.len()).rev() {
            if self.runs[at - 1].waiting().len() < 2 * self.runs[at].waiting().len() {
                let run = self.runs.remove(at);
                self.runs[at - 1].merge(&run);
            }
        }
    }

    /// Appends what waits up to a time, run by run; how many runs had any.
    pub(super) fn release(&mut self, up_to: Timestamp, out: &mut Vec<Entry>) -> usize {
        let mut parts = 0;
        for run in &mut self.runs {
            let count = run.waiting().partition_point(|entry| entry.time <= up_to);
            out.extend_from_slice(&run.waiting()[..count]);
            run.gone += count;
            parts += usize::from(count > 0);
            // What has left makes room as soon as it is the larger part, so that each event is moved once at most.
            if run.gone > run.entries.len() / 2 {
                run.entries.drain(..run.gone);
                run.gone = 0;
            }
        }
        parts
    }
}
