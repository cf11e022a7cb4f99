//! Several sequences of events, each in order, to one. A sequence gives all that comes before the others' next event at
//! once, so that events which are in order anyway are not looked at one by one.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::blocks::{Blocks, Span};
use super::stragglers::Entry;
use crate::event::Timestamp;

/// What leaves of a partition, as two sequences: its stragglers come after its events in order that have the same time.
#[derive(Debug, Default)]
pub(super) struct Source {
    pub(super) spans: Vec<Span>,
    pub(super) entries: Vec<Entry>,
}

/// Where a sequence goes on: its next time, then its place among the sequences.
type Front = (Timestamp, usize);

/// Puts the events of all sources in order; what has the same time, in the order of the sources.
pub(super) fn merge<'a>(sources: impl Iterator<Item = &'a Source>, blocks: &Blocks, out: &mut Vec<Span>) {
    let mut sequences: Vec<Sequence<'_>> = sources
        .flat_map(|Source { spans, entries }| {
            let sequence = |spans, entries| Sequence { spans, taken: 0, entries };
            [sequence(spans, &[]), sequence(&[], entries)]
        })
        .collect();
    let fronts = sequences.iter().enumerate();
    let mut fronts: BinaryHeap<Reverse<Front>> =
        fronts.filter_map(|(place, sequence)| Some(Reverse((sequence.front(blocks)?, place)))).collect();
    while let Some(Reverse((_, place))) = fronts.pop() {
        let limit = fronts.peek().map(|Reverse(front)| *front);
        let sequence = &mut sequences[place];
        sequence.take(place, limit, blocks, out);
        fronts.extend(sequence.front(blocks).map(|time| Reverse((time, place))));
    }
}

/// A sequence: spans, or entries.
struct Sequence<'a> {
    spans: &'a [Span],
    /// Rows of the first span that have been taken.
    taken: u32,
    entries: &'a [Entry],
}

impl Sequence<'_> {
    fn front(&self, blocks: &Blocks) -> Option<Timestamp> {
        match self.spans.first() {
            Some(span) => Some(blocks.time(span.block, span.rows.start + self.taken)),
            None => self.entries.first().map(|entry| entry.time),
        }
    }

    /// Takes what comes before `limit`, this sequence being at `place`.
    fn take(&mut self, place: usize, limit: Option<Front>, blocks: &Blocks, out: &mut Vec<Span>) {
        let up_to = match limit {
            None => Timestamp::MAX,
            Some((time, other)) if place < other => time,
            // This sequence's front comes before the limit, so there is a time before it.
            Some((time, _)) => Timestamp(time.0.saturating_sub(1)),
        };
        while let Some((span, rest)) = self.spans.split_first() {
            let left = Span { block: span.block, rows: span.rows.start + self.taken..span.rows.end };
            let count = blocks.count_up_to(&left, up_to);
            if count > 0 {
                out.push(Span { block: left.block, rows: left.rows.start..left.rows.start + count });
            }
            if count < left.rows.len() as u32 {
                self.taken += count;
                return;
            }
            (self.spans, self.taken) = (rest, 0);
        }
        let count = self.entries.partition_point(|entry| entry.time <= up_to);
        let (taken, rest) = self.entries.split_at(count);
        out.extend(taken.iter().map(|entry| Span { block: entry.block, rows: entry.row..entry.row + 1 }));
        self.entries = rest;
    }
}
