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
    pub(super) rank: u32,
    pub(super) spans: Vec<Span>,
    pub(super) entries: Vec<Entry>,
}

/// Where a sequence goes on: by time, then by the rank of its partition, then stragglers last.
type Front = (Timestamp, u32, bool);

/// Puts the events of all sources in order.
pub(super) fn merge(sources: &[Source], blocks: &Blocks, out: &mut Vec<Span>) {
    let mut sequences: Vec<Sequence<'_>> = sources
        .iter()
        .flat_map(|source| {
            let Source { rank, spans, entries } = source;
            [Sequence::new(*rank, spans, &[]), Sequence::new(*rank, &[], entries)]
        })
        .collect();
    let fronts = sequences.iter().enumerate();
    let mut fronts: BinaryHeap<Reverse<(Front, usize)>> =
        fronts.filter_map(|(index, sequence)| Some(Reverse((sequence.front(blocks)?, index)))).collect();
    while let Some(Reverse((_, index))) = fronts.pop() {
        let limit = fronts.peek().map(|Reverse((front, _))| *front);
        let sequence = &mut sequences[index];
        sequence.take(limit, blocks, out);
        fronts.extend(sequence.front(blocks).map(|front| Reverse((front, index))));
    }
}

/// A sequence: spans, or entries.
struct Sequence<'a> {
    rank: u32,
    spans: &'a [Span],
    /// Rows of the first span that have been taken.
    taken: u32,
    entries: &'a [Entry],
}

impl<'a> Sequence<'a> {
    fn new(rank: u32, spans: &'a [Span], entries: &'a [Entry]) -> Sequence<'a> {
        Sequence { rank, spans, taken: 0, entries }
    }

    fn front(&self, blocks: &Blocks) -> Option<Front> {
        match (self.spans.first(), self.entries.first()) {
            (Some(span), _) => {
                Some((blocks.time(span.block, span.rows.start + self.taken), self.rank, false))
            }
            (None, Some(entry)) => Some((entry.time, self.rank, true)),
            (None, None) => None,
        }
    }

    /// Takes what comes before `limit`.
    fn take(&mut self, limit: Option<Front>, blocks: &Blocks, out: &mut Vec<Span>) {
        // Whether what has the limit's time comes before it.
        let wins = limit
            .is_some_and(|(_, rank, straggler)| (self.rank, !self.entries.is_empty()) < (rank, straggler));
        let up_to = match limit {
            None => Timestamp::MAX,
            Some((time, ..)) if wins => time,
            // The front comes before the limit, so there is a time before it.
            Some((time, ..)) => Timestamp(time.0.saturating_sub(1)),
        };
        while let Some((span, rest)) = self.spans.split_first() {
            let left = Span { block: span.block, rows: span.rows.start + self.taken..span.rows.end };
            let count = blocks.count_up_to(&left, up_to);
            if count > 0 {
                push(out, Span { block: left.block, rows: left.rows.start..left.rows.start + count });
            }
            if count < left.rows.len() as u32 {
                self.taken += count;
                return;
            }
            (self.spans, self.taken) = (rest, 0);
        }
        while let Some((entry, rest)) = self.entries.split_first().filter(|(entry, _)| entry.time <= up_to) {
            push(out, Span { block: entry.block, rows: entry.row..entry.row + 1 });
            self.entries = rest;
        }
    }
}

/// Appends a span, to the one before where it goes on from there.
fn push(out: &mut Vec<Span>, span: Span) {
    match out.last_mut() {
        Some(last) if last.block == span.block && last.rows.end == span.rows.start => {
            last.rows.end = span.rows.end
        }
        _ => out.push(span),
    }
}
