//! One shard of the engine: the patterns of a set over the keys that fall to it.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::matched::{Kind, MatchSink, MatchView, Order};
use super::matcher::Matcher;
use super::route::Route;
use super::runner::{Current, Found, Memo};
use super::set::PatternSet;
use super::sorter::Sorter;
use super::store::{NONE, Store};
use crate::event::key::KeyHasher;
use crate::event::{Batch, Row, Timestamp};

/// What a shard has counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Matches found.
    pub matches: u64,
    /// Timeouts found.
    pub timeouts: u64,
    /// Comparisons and functions that met values of kinds that do not go together.
    pub type_errors: u64,
    /// By pattern: events that lacked its key. Counted by the first shard alone.
    pub without_key: Vec<u64>,
}

/// One shard.
#[derive(Debug)]
pub struct Engine {
    set: Arc<PatternSet>,
    /// By type: the patterns to run.
    routes: Vec<Vec<Route>>,
    hasher: KeyHasher,
    shard: u64,
    shards: u64,
    runners: Vec<Matcher>,
    /// For each runner that has deadlines, the first of them.
    due: BinaryHeap<Reverse<(Timestamp, u32)>>,
    store: Store,
    predicates: Memo,
    sequence: u64,
    moment: u64,
    found: Vec<Found>,
    sorter: Sorter,
    counters: Counters,
    type_errors: Cell<u64>,
}

impl Engine {
    /// Shard number `shard` of `shards`. The hasher is the one that hashed the events' keys.
    pub fn new(set: Arc<PatternSet>, hasher: KeyHasher, shard: u32, shards: u32) -> Engine {
        let runners = set.patterns.iter().enumerate().map(|(i, p)| Matcher::new(i as u32, p)).collect();
        let (shard, shards) = (u64::from(shard), u64::from(shards.max(1)));
        Engine {
            routes: set.routes(shard, shards),
            hasher,
            shard,
            shards,
            runners,
            due: BinaryHeap::new(),
            store: Store::default(),
            predicates: Memo::new(set.predicates.len()),
            sequence: 0,
            moment: 0,
            found: Vec::new(),
            sorter: Sorter::default(),
            counters: Counters { without_key: vec![0; set.patterns.len()], ..Counters::default() },
            type_errors: Cell::new(0),
            set,
        }
    }

    /// Takes events in their merged order. All deadlines up to the last one's time have passed afterwards.
    pub fn process(&mut self, batch: &Batch, sink: &mut impl MatchSink) {
        // Once a batch: all shards count references to it in one place.
        let set = Arc::clone(&self.set);
        for &(block, row) in &batch.events {
            let block = &batch.blocks[block as usize];
            let row = row as usize;
            let hashes = &block.key_hashes[row * block.key_width..(row + 1) * block.key_width];
            self.event(&set, block.row(row), hashes, sink);
        }
    }

    /// Takes the end of all inputs: time is without end, and every deadline passes.
    pub fn finish(&mut self, sink: &mut impl MatchSink) {
        self.advance(Timestamp::MAX, sink);
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        Counters { type_errors: self.type_errors.get(), ..self.counters.clone() }
    }

    /// What is held now: keys, partial matches' steps, and kept events.
    pub fn held(&self) -> (usize, usize, usize) {
        let steps = self.store.nodes.len() + self.runners.iter().map(Matcher::steps).sum::<usize>();
        (self.runners.iter().map(Matcher::keys).sum(), steps, self.store.events.len())
    }

    /// How many partial matches there are now, over all patterns and keys.
    pub fn partial_matches(&self) -> usize {
        self.runners.iter().map(Matcher::partial_matches).sum()
    }

    fn event(&mut self, set: &PatternSet, row: Row<'_>, hashes: &[u64], sink: &mut impl MatchSink) {
        self.advance(row.head.time, sink);
        self.moment += 1;
        let event = Current {
            set,
            row,
            sequence: self.sequence,
            kept: Cell::new(NONE),
            type_errors: &self.type_errors,
            moment: self.moment,
        };
        self.sequence += 1;
        for route in &self.routes[row.head.kind.0 as usize] {
            let hash = hashes[route.key];
            let is_keyed = !set.schema().keys[route.key].is_empty();
            if self.shards > 1 && is_keyed && hash != 0 && (hash >> 32) % self.shards != self.shard {
                continue;
            }
            let of_stream =
                |number: u32| set.patterns[number as usize].streams[row.head.position.stream as usize];
            if hash == 0 {
                for &number in route.patterns.iter().filter(|&&number| of_stream(number)) {
                    self.counters.without_key[number as usize] += u64::from(self.shard == 0);
                }
                continue;
            }
            route.concerned(&row, |number| {
                if !of_stream(number) {
                    return;
                }
                let runner = &mut self.runners[number as usize];
                let before = runner.next_deadline();
                runner.event(&event, hash, &mut self.predicates, &mut self.store, &mut self.found);
                if let (None, Some(at)) = (before, runner.next_deadline()) {
                    self.due.push(Reverse((at, number)));
                }
            });
        }
        let kept = event.kept.get();
        self.emit(row.head.time, Some((&row, kept)), sink);
        if kept != NONE {
            self.store.release_event(kept);
        }
    }

    /// Closes what deadlines up to `to` close, one time after the other.
    fn advance(&mut self, to: Timestamp, sink: &mut impl MatchSink) {
        while let Some(&Reverse((at, _))) = self.due.peek().filter(|due| due.0.0 <= to) {
            self.moment += 1;
            while let Some(&Reverse((_, number))) = self.due.peek().filter(|due| due.0.0 == at) {
                self.due.pop();
                let runner = &mut self.runners[number as usize];
                runner.deadlines(at, self.moment, &self.set, &self.hasher, &mut self.store, &mut self.found);
                if let Some(next) = runner.next_deadline() {
                    self.due.push(Reverse((next, number)));
                }
            }
            self.emit(at, None, sink);
        }
    }

    /// Gives what was found at one event or deadline to the sink, in order, each once.
    fn emit(&mut self, time: Timestamp, event: Option<(&Row<'_>, u32)>, sink: &mut impl MatchSink) {
        if self.found.is_empty() {
            return;
        }
        self.sorter.sort(&self.found, &self.store, event.is_none());
        for item in &self.sorter.items {
            let Found { pattern: number, kind, node } = item.found;
            let pattern = &self.set.patterns[number as usize];
            let count = match kind {
                Kind::Match => &mut self.counters.matches,
                Kind::Timeout => &mut self.counters.timeouts,
            };
            let mut give = |path: &[(u32, u32)]| {
                let position = match event {
                    Some((row, _)) => row.head.position,
                    None => self.store.position(path[0].0),
                };
                *count += 1;
                let view = MatchView {
                    pattern,
                    kind,
                    path,
                    end: time,
                    store: &self.store,
                    around: &self.set.around,
                    key_slots: &self.set.schema().keys[pattern.key],
                };
                sink.take(Order { time, of_event: event.is_some(), position, pattern: number }, &view);
            };
            match (event, node) {
                (Some((_, kept)), Found::SETS) => {
                    self.runners[number as usize].matches(kept, &self.store, give);
                }
                _ => give(&self.sorter.paths[item.from..item.to]),
            }
        }
        for found in self.found.drain(..) {
            self.store.release(found.node);
        }
    }
}
