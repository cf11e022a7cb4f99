//! One shard of the engine: the patterns of a set over the keys that fall to it.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::matched::{Kind, MatchSink, MatchView, Order};
use super::runner::{Current, Found, Memo, Runner};
use super::set::PatternSet;
use super::store::{NONE, Store};
use super::table::Table;
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
    hasher: KeyHasher,
    shard: u64,
    shards: u64,
    runners: Vec<Runner>,
    /// By shape.
    tables: Vec<Table>,
    /// For each runner that has deadlines, the first of them.
    due: BinaryHeap<Reverse<(Timestamp, u32)>>,
    store: Store,
    predicates: Memo,
    sequence: u64,
    moment: u64,
    found: Vec<Found>,
    /// The patterns that the current event concerns.
    concerned: Vec<u32>,
    sorter: Sorter,
    counters: Counters,
    type_errors: Cell<u64>,
}

impl Engine {
    /// Shard number `shard` of `shards`. The hasher is the one that hashed the events' keys.
    pub fn new(set: Arc<PatternSet>, hasher: KeyHasher, shard: u32, shards: u32) -> Engine {
        let (shard, shards) = (u64::from(shard), u64::from(shards.max(1)));
        let mut engine = Engine {
            hasher,
            shard,
            shards,
            runners: Vec::new(),
            tables: Vec::new(),
            due: BinaryHeap::new(),
            store: Store::default(),
            predicates: Memo::default(),
            sequence: 0,
            moment: 0,
            found: Vec::new(),
            concerned: Vec::new(),
            sorter: Sorter::default(),
            counters: Counters::default(),
            type_errors: Cell::new(0),
            set: Arc::clone(&set),
        };
        engine.install(set);
        engine
    }

    /// Goes on with a set that the present one has become by [`PatternSet::with`]: the patterns that it has already go on
    /// as they were, the new ones begin with the next event. Events have to be decoded for this set, or for a later one,
    /// from then on; those that were decoded for a later set are good for an earlier one.
    pub fn install(&mut self, set: Arc<PatternSet>) {
        let new = (0..).zip(&set.patterns).skip(self.runners.len());
        self.runners.extend(new.map(|(number, pattern)| Runner::new(number, pattern)));
        self.tables.extend(set.shapes.iter().skip(self.tables.len()).map(|shape| Table::new(shape)));
        self.predicates.grow(set.predicates.len());
        self.counters.without_key.resize(set.patterns.len(), 0);
        self.set = set;
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
        (self.runners.iter().map(Runner::keys).sum(), self.store.nodes.len(), self.store.events.len())
    }

    /// How many partial matches there are now, over all patterns and keys.
    pub fn partial_matches(&self) -> usize {
        self.runners.iter().map(Runner::partial_matches).sum()
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
        for route in set.routes.of(row.head.kind) {
            let hash = hashes[route.key];
            let is_keyed = !set.schema().keys[route.key].is_empty();
            if self.shards > 1 && is_keyed && hash != 0 && (hash >> 32) % self.shards != self.shard {
                continue;
            }
            if !route.streams[row.head.position.stream as usize] {
                continue;
            }
            if hash == 0 {
                for &number in &route.patterns {
                    self.counters.without_key[number as usize] += u64::from(self.shard == 0);
                }
                continue;
            }
            route.concerned(&row, &set.tokens, &mut self.concerned);
            for &number in &self.concerned {
                // Patterns without a key are dealt out whole.
                if !is_keyed && u64::from(number) % self.shards != self.shard {
                    continue;
                }
                let runner = &mut self.runners[number as usize];
                let before = runner.next_deadline();
                let shape = set.patterns[number as usize].shape as usize;
                let table = &mut self.tables[shape];
                runner.event(&event, hash, table, &mut self.predicates, &mut self.store, &mut self.found);
                if let (None, Some(at)) = (before, runner.next_deadline()) {
                    self.due.push(Reverse((at, number)));
                }
                if table.is_full() {
                    let alike = self.runners.iter_mut().zip(&set.patterns);
                    let alike = alike.filter(|(_, pattern)| pattern.shape as usize == shape);
                    table.rebuild(&set.shapes[shape], alike.flat_map(|(runner, _)| runner.states()));
                }
            }
        }
        let kept = event.kept.get();
        self.emit(row.head.time, Some(&row), sink);
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
                let table = &self.tables[self.set.patterns[number as usize].shape as usize];
                let (set, hasher) = (&self.set, &self.hasher);
                runner.deadlines(at, self.moment, set, hasher, table, &mut self.store, &mut self.found);
                if let Some(next) = runner.next_deadline() {
                    self.due.push(Reverse((next, number)));
                }
            }
            self.emit(at, None, sink);
        }
    }

    /// Gives what was found at one event or deadline to the sink, in order, each once.
    fn emit(&mut self, time: Timestamp, event: Option<&Row<'_>>, sink: &mut impl MatchSink) {
        if self.found.is_empty() {
            return;
        }
        self.sorter.sort(&self.found, &self.set.ranks, &self.store, event.is_none());
        for item in &self.sorter.items {
            let path = &self.sorter.paths[item.from..item.to];
            let pattern = &self.set.patterns[item.found.pattern as usize];
            let first = self.store.events[path[0].0].row().head.position;
            let order = Order {
                time,
                of_event: event.is_some(),
                position: event.map_or(first, |row| row.head.position),
                pattern: self.set.ranks[item.found.pattern as usize],
            };
            match item.found.kind {
                Kind::Match => self.counters.matches += 1,
                Kind::Timeout => self.counters.timeouts += 1,
            }
            let view = MatchView {
                pattern,
                kind: item.found.kind,
                path,
                end: time,
                store: &self.store,
                around: &self.set.around,
                key_slots: &self.set.schema().keys[pattern.key],
            };
            sink.take(order, &view);
        }
        for found in self.found.drain(..) {
            self.store.release(found.node);
        }
    }
}

/// Puts what was found at one event or deadline into the order of the output.
#[derive(Debug, Default)]
struct Sorter {
    items: Vec<Item>,
    /// The paths of all items, one behind the other.
    paths: Vec<(u32, u32)>,
    scratch: Vec<(u32, u32)>,
}

#[derive(Debug, Clone, Copy)]
struct Item {
    found: Found,
    from: usize,
    to: usize,
}

impl Sorter {
    fn sort(&mut self, found: &[Found], ranks: &[u32], store: &Store, at_deadline: bool) {
        self.items.clear();
        self.paths.clear();
        for &found in found {
            store.path(found.node, &mut self.scratch);
            let from = self.paths.len();
            self.paths.extend_from_slice(&self.scratch);
            self.items.push(Item { found, from, to: self.paths.len() });
        }
        if self.items.len() < 2 {
            return;
        }
        let paths = &self.paths;
        let position = |step: &(u32, u32)| store.events[step.0].row().head.position;
        let rank = |item: &Item| ranks[item.found.pattern as usize];
        self.items.sort_by(|a, b| {
            let (left, right) = (&paths[a.from..a.to], &paths[b.from..b.to]);
            let first = || position(&left[0]).cmp(&position(&right[0]));
            let at_first = if at_deadline { first() } else { std::cmp::Ordering::Equal };
            at_first
                .then_with(|| rank(a).cmp(&rank(b)))
                .then_with(|| a.found.kind.cmp(&b.found.kind))
                .then_with(|| left.iter().map(position).cmp(right.iter().map(position)))
                .then_with(|| left.iter().map(|s| s.1).cmp(right.iter().map(|s| s.1)))
        });
        self.items.dedup_by(|a, b| {
            (a.found.pattern, a.found.kind) == (b.found.pattern, b.found.kind)
                && paths[a.from..a.to] == paths[b.from..b.to]
        });
    }
}
