//! One partition: its highest event time, which makes its watermark, what waits, and what was rejected.

use std::collections::VecDeque;

use super::PartitionSettings;
use super::reorder::{Buffer, Waiting};
use crate::event::decode::DeadLetter;
use crate::event::{Block, Timestamp};

/// A line that no pattern sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The highest event time of its partition before it.
    pub high: Option<Timestamp>,
    /// The partition's number.
    pub partition: u32,
    /// What it is.
    pub kind: RejectedKind,
}

/// What is rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RejectedKind {
    /// A late event.
    Late {
        /// Its offset.
        offset: u64,
        /// The partition's watermark when it came.
        watermark: Timestamp,
        /// The event as it came.
        event: String,
    },
    /// A line that is no event.
    Dead(DeadLetter),
}

impl Rejected {
    /// Its place among all that is rejected.
    pub fn order(&self) -> (Option<Timestamp>, u32, u64) {
        let offset = match &self.kind {
            RejectedKind::Late { offset, .. } => *offset,
            RejectedKind::Dead(letter) => letter.offset,
        };
        (self.high, self.partition, offset)
    }

    /// Appends it as one JSON object, without a line break.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        match &self.kind {
            RejectedKind::Dead(letter) => letter.write_json(self.partition, out),
            RejectedKind::Late { offset, watermark, event } => {
                let head = format!(
                    "{{\"reason\":\"late\",\"partition\":{},\"offset\":{offset},\"watermark\":{},\"event\":",
                    self.partition, watermark.0
                );
                out.extend_from_slice(head.as_bytes());
                // A line break can only stand between two tokens.
                out.extend(event.bytes().map(|b| if matches!(b, b'\r' | b'\n') { b' ' } else { b }));
                out.push(b'}');
            }
        }
    }
}

#[derive(Debug)]
pub(super) struct Partition {
    settings: PartitionSettings,
    high: Option<Timestamp>,
    ended: bool,
    pub(super) buffer: Buffer,
    rejected: VecDeque<Rejected>,
}

impl Partition {
    pub(super) fn new(settings: PartitionSettings) -> Partition {
        Partition { settings, high: None, ended: false, buffer: Buffer::default(), rejected: VecDeque::new() }
    }

    /// Judges the events of a block and keeps those in time; tells how many wait and how many are late.
    pub(super) fn take(&mut self, block: &Block, dead: Vec<DeadLetter>, number: u64) -> (usize, u64) {
        let mut dead = dead.into_iter().peekable();
        let (mut waiting, mut late) = (0, 0);
        for (row, head) in block.heads.iter().enumerate() {
            while let Some(letter) = dead.next_if(|d| d.after <= row) {
                self.reject(RejectedKind::Dead(letter));
            }
            if let Some(watermark) = self.own_watermark().filter(|&w| head.time <= w) {
                let offset = head.position.offset;
                self.reject(RejectedKind::Late { offset, watermark, event: block.row(row).raw().to_owned() });
                late += 1;
                continue;
            }
            self.high = self.high.max(Some(head.time));
            self.buffer.push(Waiting {
                time: head.time,
                position: head.position,
                block: number,
                row: row as u32,
            });
            waiting += 1;
        }
        for letter in dead {
            self.reject(RejectedKind::Dead(letter));
        }
        (waiting, late)
    }

    fn reject(&mut self, kind: RejectedKind) {
        self.rejected.push_back(Rejected { high: self.high, partition: self.settings.number, kind });
    }

    /// Moves to `into` what was rejected while the partition's highest time was below `safe`; all where there is none.
    pub(super) fn rejected_below(&mut self, safe: Option<Option<Timestamp>>, into: &mut Vec<Rejected>) {
        let count = match safe {
            Some(safe) => self.rejected.partition_point(|r| r.high < safe),
            None => self.rejected.len(),
        };
        into.extend(self.rejected.drain(..count));
    }

    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    pub(super) fn high(&self) -> Option<Timestamp> {
        self.high
    }

    /// The watermark that the merge sees: without end once the partition has ended.
    pub(super) fn watermark(&self) -> Option<Timestamp> {
        if self.ended { Some(Timestamp::MAX) } else { self.own_watermark() }
    }

    /// Highest time less bound less 1 ms; none where that is before all time.
    fn own_watermark(&self) -> Option<Timestamp> {
        self.high?.0.checked_sub(self.settings.out_of_orderness.0)?.checked_sub(1).map(Timestamp)
    }
}
