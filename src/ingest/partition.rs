//! One partition: how far its time has come, and what of it waits.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::blocks::{BlockNumber, Blocks, Span};
use super::merge::PartitionSettings;
use super::rejected::{Rejected, RejectedKind};
use super::stragglers::{Entry, Stragglers};
use crate::event::decode::DeadLetter;
use crate::event::{Block, TimeSpan, Timestamp};

/// A partition of the input.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) number: u32,
    bound: TimeSpan,
    /// The highest event time so far.
    pub(super) highest: Option<Timestamp>,
    pub(super) ended: bool,
    /// What waits of the events that came in order, none below any before it.
    in_order: VecDeque<Span>,
    /// What waits of the others. Each came after a later event, so after all events in order of its own time.
    stragglers: Stragglers,
    /// Late events and dead letters; their order is the order in which they came.
    pub(super) rejected: VecDeque<Rejected>,
}

impl Partition {
    pub(super) fn new(settings: &PartitionSettings) -> Partition {
        Partition {
            number: settings.number,
            bound: TimeSpan(settings.out_of_orderness.0.max(0)),
            highest: None,
            ended: false,
            in_order: VecDeque::new(),
            stragglers: Stragglers::default(),
            rejected: VecDeque::new(),
        }
    }

    /// No event at or below it will be taken any more; none as long as any may come.
    pub(super) fn watermark(&self) -> Option<Timestamp> {
        self.highest?.0.checked_sub(self.bound.0)?.checked_sub(1).map(Timestamp)
    }

    /// Takes the next stretch of lines. How many of its events are not late.
    pub(super) fn push(&mut self, block: &Arc<Block>, number: BlockNumber, dead: Vec<DeadLetter>) -> usize {
        let all = block.heads.len();
        let (mut taken, mut from, mut stragglers) = (0, 0, Vec::new());
        for letter in dead {
            let to = letter.after.clamp(from, all);
            taken += self.events(block, number, from..to, &mut stragglers);
            from = to;
            self.reject(letter.offset, RejectedKind::Dead(letter));
        }
        taken += self.events(block, number, from..all, &mut stragglers);
        taken += stragglers.len();
        self.stragglers.push(stragglers);
        taken
    }

    /// Takes rows of a block. How many of their events are in order.
    fn events(
        &mut self,
        block: &Arc<Block>,
        number: BlockNumber,
        rows: Range<usize>,
        stragglers: &mut Vec<Entry>,
    ) -> usize {
        let Range { start: mut row, end } = rows;
        let mut in_order = 0;
        while row < end {
            let from = row;
            let mut highest = self.highest.unwrap_or(Timestamp::MIN);
            while row < end && block.heads[row].time >= highest {
                highest = block.heads[row].time;
                row += 1;
            }
            if row > from {
                self.highest = Some(highest);
                self.in_order.push_back(Span { block: number, rows: from as u32..row as u32 });
                in_order += row - from;
            }
            stragglers.reserve(end - row);
            while row < end && block.heads[row].time < highest {
                let head = &block.heads[row];
                // At or below the watermark, without its overflow.
                if highest.0.abs_diff(head.time.0) > self.bound.0.unsigned_abs() {
                    let watermark = self.watermark().unwrap_or(Timestamp::MIN);
                    let kind = RejectedKind::Late { block: Arc::clone(block), row: row as u32, watermark };
                    self.reject(head.position.offset, kind);
                } else {
                    stragglers.push(Entry { time: head.time, block: number, row: row as u32 });
                }
                row += 1;
            }
        }
        in_order
    }

    fn reject(&mut self, offset: u64, kind: RejectedKind) {
        self.rejected.push_back(Rejected { reached: self.highest, partition: self.number, offset, kind });
    }

    /// Moves what waits up to a time to `spans` and `entries`, each in order. How many events that are.
    pub(super) fn release(
        &mut self,
        up_to: Timestamp,
        blocks: &Blocks,
        spans: &mut Vec<Span>,
        entries: &mut Vec<Entry>,
    ) -> usize {
        spans.clear();
        while let Some(span) = self.in_order.front_mut() {
            let count = blocks.count_up_to(span, up_to);
            if count < span.rows.len() as u32 {
                let split = span.rows.start + count;
                if count > 0 {
                    spans.push(Span { block: span.block, rows: span.rows.start..split });
                    span.rows.start = split;
                }
                break;
            }
            spans.extend(self.in_order.pop_front());
        }
        self.stragglers.release(up_to, entries);
        entries.len() + spans.iter().map(|span| span.rows.len()).sum::<usize>()
    }
}
