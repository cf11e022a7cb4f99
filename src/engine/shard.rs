//! One shard of the engine: the patterns of a set over the keys that fall to it.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::gate::Gate;
use super::matched::{Kind, MatchSink, MatchView, Order};
use super::matcher::Matcher;
use super::route::Route;
use super::runner::{Found, Scratch};
use super::saved::{Damaged, Loader};
use super::set::PatternSet;
use super::sorter::Sorter;
use super::store::{NONE, Store};
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
    /// By type: the patterns to run.
    routes: Vec<Vec<Route>>,
    gates: Vec<Gate>,
    /// The events of a batch that pass: number in the batch, block, and row.
    concerned: Vec<(u64, u32, u32)>,
    hasher: KeyHasher,
    shard: u64,
    shards: u64,
    runners: Vec<Matcher>,
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
        let runners = set.patterns.iter().enumerate().map(|(i, p)| Matcher::new(i as u32, p)).collect();
        let (shard, shards) = (u64::from(shard), u64::from(shards.max(1)));
        let routes = set.routes(shard, shards);
        let kinds = (0..).map(TypeId).zip(&routes);
        Engine {
            gates: kinds.map(|(kind, routes)| Gate::new(kind, routes, &set)).collect(),
            routes,
            concerned: Vec::new(),
            hasher,
            shard,
            shards,
            runners,
            due: BinaryHeap::new(),
            store: Store::new(set.kept_fields),
            scratch: Scratch::new(&set),
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
        let mut concerned = std::mem::take(&mut self.concerned);
        concerned.clear();
        let mut number = 0_u64;
        for (index, rows) in &batch.runs {
            let block = &*batch.blocks[*index as usize];
            for row in rows.start..rows.end {
                let slots = &block.slots[row as usize * block.width..][..block.width];
                let gate = &self.gates[block.heads[row as usize].kind.0 as usize];
                if gate.passes(slots, &block.text, &set.predicates) {
                    concerned.push((number, *index, row));
                }
                number += 1;
            }
        }
        for &(number, index, row) in &concerned {
            let block = &*batch.blocks[index as usize];
            let row = row as usize;
            let hashes = &block.key_hashes[row * block.key_width..][..block.key_width];
            self.event(&set, block.row(row), self.sequence + number, hashes, sink);
        }
        self.concerned = concerned;
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
        let steps = self.store.nodes.len() + self.runners.iter().map(Matcher::steps).sum::<usize>();
        (self.runners.iter().map(Matcher::keys).sum(), steps, self.store.events())
    }

    /// How many partial matches there are now, over all patterns and keys.
    pub fn partial_matches(&self) -> usize {
        self.runners.iter().map(|runner| runner.partial_matches(&self.store)).sum()
    }

    /// Encodes the state of every key, one by one, and drops it; but not of patterns held as sets, which stay as they are
    /// (`PatternSet::with_runs` has none). What is not kept by key stays: how far time has come,
    /// and what was counted.
    pub fn unload(&mut self) -> Vec<SavedKey> {
        let mut saved = Vec::new();
        for (pattern, runner) in (0..).zip(&mut self.runners) {
            let keys = runner.unload(&mut self.store).into_iter();
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
                Some(runner) => runner.load(bytes, &mut loader, &self.set, &self.hasher, &mut self.store),
                None => Err(Damaged { at: 0, expected: "a pattern that is there" }),
            };
            result = result.and(loaded);
        }
        loader.finish(&mut self.store);
        let of = |(number, runner): (u32, &Matcher)| Some(Reverse((runner.next_deadline()?, number)));
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
        for route in &self.routes[row.head.kind.0 as usize] {
            let slots = &set.schema().keys[route.key];
            if !has_key(row.slots, slots) {
                for &number in &route.patterns {
                    let counts = self.shard == 0 && set.patterns[number as usize].reads(&row);
                    self.counters.without_key[number as usize] += u64::from(counts);
                }
                continue;
            }
            let key = KeyHash::new(&self.hasher, slots, hashes.get(route.key).copied().unwrap_or(0));
            if self.shards > 1 && !slots.is_empty() && (key.get(&row) >> 32) % self.shards != self.shard {
                continue;
            }
            route.concerned(&row, |number| {
                let runner = &mut self.runners[number as usize];
                let opens = runner.event(&event, &key, &mut self.scratch, &mut self.store, &mut self.found);
                if let Some(at) = opens {
                    self.due.push(Reverse((at, number)));
                }
            });
        }
        let kept = event.kept.get();
        if !self.found.is_empty() {
            self.emit(row.head.time, Some((&row, kept)), sink);
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
                runner.deadlines(
                    at,
                    self.moment,
                    &self.set,
                    &self.hasher,
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
    fn emit(&mut self, time: Timestamp, event: Option<(&Row<'_>, u32)>, sink: &mut impl MatchSink) {
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
