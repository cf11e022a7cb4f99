//! The events of one partition that wait for the watermark, in the order of their times. Events that come in order are
//! appended; the others are gathered, and sorted in when events leave.

use std::collections::VecDeque;

use crate::event::{Position, Timestamp};

/// An event that waits: its place in the order, and where it lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    pub(super) time: Timestamp,
    pub(super) position: Position,
    pub(super) block: u64,
    pub(super) row: u32,
}

/// A buffer of one partition. Within it, equal times are in the order of offsets because events come in it.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    sorted: VecDeque<Waiting>,
    /// Events that came after a later one, in the order in which they came.
    disordered: Vec<Waiting>,
}

impl Buffer {
    #[inline]
    pub(super) fn push(&mut self, event: Waiting) {
        if self.sorted.back().is_none_or(|last| last.time <= event.time) {
            self.sorted.push_back(event);
        } else {
            self.disordered.push(event);
        }
    }

    /// Moves the events up to the watermark to `into`, in their order.
    pub(super) fn release(&mut self, watermark: Timestamp, into: &mut Vec<Waiting>) {
        if let Some(first) = self.disordered.iter().map(|w| w.time).min() {
            // What is sorted up to the earliest of them stays; the rest is a sorted run to merge with.
            let from = self.sorted.partition_point(|w| w.time <= first);
            self.disordered.extend(self.sorted.drain(from..));
            self.disordered.sort_by_key(|w| (w.time, w.position));
            self.sorted.extend(self.disordered.drain(..));
        }
        let count = self.sorted.partition_point(|w| w.time <= watermark);
        into.extend(self.sorted.drain(..count));
    }
}
