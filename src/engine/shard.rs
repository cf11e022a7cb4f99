//! One shard of the engine: the patterns of a set over the keys that fall to it.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::gate::Gate;
use super::matched::{Kind, MatchSink, MatchView, Order};
use super::runner::{Found, Runner, Scratch};
use super::saved::{Damaged, Loader};
use super::set::PatternSet;
use super::store::{NONE, Store};
use super::table::{StateId, Table};
use super::truths::{Current, KeyHash};
use crate::event::key::{KeyHasher, has_key};
use crate::event::{Batch, Row, Timestamp, TypeId};

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

/// What one key of one pattern held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedKey {
    /// The pattern's number.
    pub pattern: u32,
    /// The encoded state.
    pub bytes: Vec<u8>,
}

/// One shard.
#[derive(Debug)]
pub struct Engine {
    set: Arc<PatternSet>,
    /// By type.
    gates: Vec<Gate>,
    /// The events of a batch that pass: number in the batch, block, and row.
    passed: Vec<(u64, u32, u32)>,
    /// The patterns that the current event concerns.
    concerned: Vec<u32>,
    hasher: KeyHasher,
    shard: u64,
    shards: u64,
    runners: Vec<Runner>,
    /// By shape.
    tables: Vec<Table>,
    /// For each runner that has deadlines, the first of them.
    due: BinaryHeap<Reverse<(Timestamp, u32)>>,
    store: Store,
    scratch: Scratch,
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
        let (shard, shards) = (u64::from(shard), u64::from(shards.max(1)));
        let mut engine = Engine {
            gates: Vec::new(),
            passed: Vec::new(),
            concerned: Vec::new(),
            hasher,
            shard,
            shards,
            runners: Vec::new(),
            tables: Vec::new(),
            due: BinaryHeap::new(),
            store: Store::default(),
            scratch: Scratch::default(),
            sequence: 0,
            moment: 0,
            found: Vec::new(),
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
        let new = self.runners.len() as u32..set.patterns.len() as u32;
        self.runners.extend(new.map(Runner::new));
        self.tables.extend(set.shapes.iter().skip(self.tables.len()).map(|shape| Table::new(shape)));
        self.scratch.truths.grow(set.predicates.len());
        self.store.set_fields(set.kept_fields);
        self.counters.without_key.resize(set.patterns.len(), 0);
        let kinds = TypeId::FIRST_NAMED as usize + set.schema().types.len();
        self.gates = (0..).map(TypeId).take(kinds).map(|kind| Gate::new(kind, &set)).collect();
        self.set = set;
    }

    /// Takes events in their merged order. All deadlines up to the last one's time have passed afterwards.
    pub fn process(&mut self, batch: &Batch, sink: &mut impl MatchSink) {
        // Once a batch: all shards count references to it in one place.
        let set = Arc::clone(&self.set);
        let mut passed = std::mem::take(&mut self.passed);
        passed.clear();
        let mut number = 0_u64;
        for (index, rows) in &batch.runs {
            let block = &*batch.blocks[*index as usize];
            for row in rows.start..rows.end {
                let slots = &block.slots[row as usize * block.width..][..block.width];
                // A type that only a later set names is like one that none names.
                let kind = block.heads[row as usize].kind.0 as usize;
                let gate = self.gates.get(kind).unwrap_or(&self.gates[TypeId::OTHER.0 as usize]);
                if gate.passes(slots, &block.text, &set.predicates) {
                    passed.push((number, *index, row));
                }
                number += 1;
            }
        }
        for &(number, index, row) in &passed {
            let block = &*batch.blocks[index as usize];
            let row = row as usize;
            let hashes = &block.key_hashes[row * block.key_width..][..block.key_width];
            self.event(&set, block.row(row), self.sequence + number, hashes, sink);
        }
        self.passed = passed;
        self.sequence += number;
        if let Some((index, rows)) = batch.runs.last() {
            self.advance(batch.blocks[*index as usize].heads[rows.end as usize - 1].time, sink);
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
        (self.runners.iter().map(Runner::keys).sum(), self.store.nodes.len(), self.store.events())
    }

    /// How many partial matches there are now, over all patterns and keys.
    pub fn partial_matches(&self) -> usize {
        self.runners.iter().map(|runner| runner.partial_matches(&self.store)).sum()
    }

    /// Encodes the state of every key, one by one, and drops it. What is not kept by key stays: how far time has come,
    /// and what was counted.
    pub fn unload(&mut self) -> Vec<SavedKey> {
        let mut saved = Vec::new();
        for (pattern, runner) in (0..).zip(&mut self.runners) {
            let table = &self.tables[self.set.patterns[pattern as usize].shape as usize];
            let keys = runner.unload(table, &mut self.store).into_iter();
            saved.extend(keys.map(|bytes| SavedKey { pattern, bytes }));
        }
        saved
    }

    /// Goes on with keys that were encoded by an engine of the same patterns. What is damaged is refused by itself; the
    /// other keys are loaded all the same.
    pub fn load(&mut self, keys: &[SavedKey]) -> Result<(), Damaged> {
        let mut loader = Loader::default();
        let mut result = Ok(());
        for SavedKey { pattern, bytes } in keys {
            let loaded = match self.runners.get_mut(*pattern as usize) {
                Some(runner) => {
                    let table = &mut self.tables[self.set.patterns[*pattern as usize].shape as usize];
                    runner.load(bytes, &mut loader, &self.set, &self.hasher, table, &mut self.store)
                }
                None => Err(Damaged { at: 0, expected: "a pattern that is there" }),
            };
            result = result.and(loaded);
        }
        loader.finish(&mut self.store);
        let of = |(number, runner): (u32, &Runner)| Some(Reverse((runner.next_deadline()?, number)));
        self.due = (0..).zip(&self.runners).filter_map(of).collect();
        result
    }

    #[inline]
    fn event(
        &mut self,
        set: &PatternSet,
        row: Row<'_>,
        sequence: u64,
        hashes: &[u64],
        sink: &mut impl MatchSink,
    ) {
        self.advance(row.head.time, sink);
        self.moment += 1;
        let (kept, moment) = (Cell::new(NONE), self.moment);
        let event = Current { set, row, sequence, kept, type_errors: &self.type_errors, moment };
        for route in set.routes.of(row.head.kind) {
            if !route.reads(row.head.position.stream) {
                continue;
            }
            let slots = &set.schema().keys[route.key];
            if !has_key(row.slots, slots) {
                for &number in &route.patterns {
                    self.counters.without_key[number as usize] += u64::from(self.shard == 0);
                }
                continue;
            }
            let key = KeyHash::new(&self.hasher, slots, hashes.get(route.key).copied().unwrap_or(0));
            if self.shards > 1 && !slots.is_empty() && (key.get(&row) >> 32) % self.shards != self.shard {
                continue;
            }
            route.concerned(&row, &set.tokens, &mut self.concerned);
            for &number in &self.concerned {
                // Patterns without a key are dealt out whole.
                if slots.is_empty() && u64::from(number) % self.shards != self.shard {
                    continue;
                }
                let runner = &mut self.runners[number as usize];
                let shape = set.patterns[number as usize].shape as usize;
                let table = &mut self.tables[shape];
                let (scratch, store) = (&mut self.scratch, &mut self.store);
                if let Some(at) = runner.event(&event, &key, table, scratch, store, &mut self.found) {
                    self.due.push(Reverse((at, number)));
                }
                if table.is_full() {
                    rebuild(shape, table, &self.runners, store, set);
                }
            }
        }
        let kept = event.kept.get();
        if !self.found.is_empty() {
            self.emit(row.head.time, Some(&row), sink);
        }
        if kept != NONE {
            self.store.release_event(kept);
        }
    }

    /// Closes what deadlines up to `to` close, one time after the other.
    #[inline]
    fn advance(&mut self, to: Timestamp, sink: &mut impl MatchSink) {
        if self.due.peek().is_some_and(|due| due.0.0 <= to) {
            self.pass_deadlines(to, sink);
        }
    }

    fn pass_deadlines(&mut self, to: Timestamp, sink: &mut impl MatchSink) {
        while let Some(&Reverse((at, _))) = self.due.peek().filter(|due| due.0.0 <= to) {
            self.moment += 1;
            while let Some(&Reverse((_, number))) = self.due.peek().filter(|due| due.0.0 == at) {
                self.due.pop();
                let runner = &mut self.runners[number as usize];
                let table = &self.tables[self.set.patterns[number as usize].shape as usize];
                runner.deadlines(
                    at,
                    self.moment,
                    &self.set,
                    &self.hasher,
                    table,
                    &mut self.scratch,
                    &mut self.store,
                    &mut self.found,
                );
                if let Some(next) = runner.next_deadline() {
                    self.due.push(Reverse((next, number)));
                }
            }
            if !self.found.is_empty() {
                self.emit(at, None, sink);
            }
        }
    }

    /// Gives what was found at one event or deadline to the sink, in order, each once.
    fn emit(&mut self, time: Timestamp, event: Option<&Row<'_>>, sink: &mut impl MatchSink) {
        self.sorter.sort(&self.found, &self.set.ranks, &self.store, event.is_none());
        for item in &self.sorter.items {
            let path = &self.sorter.paths[item.from..item.to];
            let pattern = &self.set.patterns[item.found.pattern as usize];
            let first = self.store.position(path[0].0);
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

/// Makes a shape's table anew, with only the states that partial matches are in.
#[cold]
fn rebuild(shape: usize, table: &mut Table, runners: &[Runner], store: &mut Store, set: &PatternSet) {
    let alike = runners.iter().zip(&set.patterns).filter(|(_, pattern)| pattern.shape as usize == shape);
    let groups: Vec<u32> = alike.flat_map(|(runner, _)| runner.groups(store)).collect();
    let mut states: Vec<StateId> = groups.iter().map(|&at| store.groups[at].state).collect();
    table.rebuild(&set.shapes[shape], states.iter_mut());
    for (at, state) in groups.into_iter().zip(states) {
        store.groups[at].state = state;
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
        let position = |step: &(u32, u32)| store.position(step.0);
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
