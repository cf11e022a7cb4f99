//! One shard of the engine: the patterns of a set over the keys that fall to it.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::changed::{Given, Giver};
use super::cold::{Cold, Warm};
use super::cost::{Clock, Cost, Costs};
use super::deadlines::{Deadline, Deadlines};
use super::gate::Asked;
use super::inspect::Inspect;
use super::life::Life;
use super::limits::{Keeper, Kept, put_blocked};
use super::matched::{Kind, MatchSink, MatchView, Order};
use super::matcher::{Closing, Matcher, Restoring};
use super::route::Route;
use super::runner::{Found, Scratch};
use super::saved::{Damaged, Loader, hash_of_name, put_name};
use super::sent::{Sent, put_sent, sent_of};
use super::set::{Compiled, PatternSet};
use super::sorter::Sorter;
use super::store::{NONE, Store};
use super::table::Table;
use super::truths::{Current, KeyHash};
use crate::event::key::{KeyHasher, has_key};
use crate::event::{Batch, Block, FieldPath, Row, Timestamp};

/// Events whose keys are looked at together before they are taken.
const WARMED: usize = 16;

/// From so many keys on, what they hold does not fit into the caches.
const MANY_KEYS: usize = 1 << 15;

/// From so many keys on, those of the next deadlines are looked at ahead: each is hashed once more for that.
const MANY_CLOSINGS: usize = 16 * MANY_KEYS;

/// From so many patterns on, what leads to them does not fit into the caches.
const MANY_PATTERNS: usize = 512;

/// What a shard has counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Matches found.
    pub matches: u64,
    /// Timeouts found.
    pub timeouts: u64,
    /// Matches and timeouts that did not leave because their key had had one.
    pub suppressed: u64,
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

/// What a key of a pattern holds.
#[derive(Debug, Clone, Copy)]
pub struct KeyState<'a> {
    /// The pattern's number; [`KeyState::SENT`] for what suppression knows of a key, whichever the pattern, and
    /// [`KeyState::BLOCKED`] for a key that takes no part any more.
    pub pattern: u32,
    /// What names the key: equal where keys are the same by `==`, empty for a pattern without key.
    pub key: &'a [u8],
    /// The encoded state; none: it holds nothing any more.
    pub state: Option<&'a [u8]>,
}

impl KeyState<'_> {
    /// What suppression knows has no number: it goes by names.
    pub const SENT: u32 = u32::MAX;
    /// What is known of keys that take no part any more in a pattern that exceeded a budget goes by names as well.
    pub const BLOCKED: u32 = u32::MAX - 1;
}

/// What is needed besides the keys to go on after a restart: the same in all shards.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Events taken: kept events are numbered by that.
    pub events: u64,
    /// The fields of kept events, as they are numbered.
    #[serde(default)]
    pub fields: Vec<FieldPath>,
    /// The streams, as they are numbered.
    #[serde(default)]
    pub streams: Vec<String>,
}

/// One shard.
#[derive(Debug)]
pub struct Engine {
    pub(super) set: Arc<PatternSet>,
    /// The events of a batch that pass: number in the batch, block, and row.
    passed: Vec<(u64, u32, u32)>,
    /// The patterns that the current event concerns.
    concerned: Vec<u32>,
    pub(super) hasher: KeyHasher,
    shard: u64,
    shards: u64,
    pub(super) runners: Vec<Matcher>,
    /// By shape.
    pub(super) tables: Vec<Table>,
    pub(super) deadlines: Deadlines,
    /// Of so many deadlines the keys were looked at.
    warmed_closings: usize,
    pub(super) store: Store,
    /// Of the keys that are restored.
    pub(super) loader: Loader,
    pub(super) cold: Cold,
    scratch: Scratch,
    pub(super) sequence: u64,
    moment: u64,
    pub(super) found: Vec<Found>,
    sorter: Sorter,
    counters: Counters,
    sent: Sent,
    pub(super) kept: Kept,
    /// Patterns of which an event completed more matches than their budget, and how many more.
    pub(super) left_out: Vec<(u32, u64)>,
    /// A buffer.
    key_name: Vec<u8>,
    /// By route: events without its key since the set was installed.
    without_key: Vec<u64>,
    type_errors: Cell<u64>,
    costs: Costs,
}

impl Engine {
    /// Shard number `shard` of `shards`. The hasher is the one that hashed the events' keys.
    pub fn new(set: Arc<PatternSet>, hasher: KeyHasher, shard: u32, shards: u32) -> Engine {
        let (shard, shards) = (u64::from(shard), u64::from(shards.max(1)));
        let mut engine = Engine {
            passed: Vec::new(),
            concerned: Vec::new(),
            hasher,
            shard,
            shards,
            runners: Vec::new(),
            tables: Vec::new(),
            deadlines: Deadlines::default(),
            warmed_closings: 0,
            store: Store::default(),
            loader: Loader::default(),
            cold: Cold::default(),
            scratch: Scratch::default(),
            sequence: 0,
            moment: 0,
            found: Vec::new(),
            sorter: Sorter::default(),
            counters: Counters::default(),
            sent: Sent::default(),
            kept: Kept::default(),
            left_out: Vec::new(),
            key_name: Vec::new(),
            without_key: Vec::new(),
            type_errors: Cell::new(0),
            costs: Costs::default(),
            set: Arc::clone(&set),
        };
        engine.install(set);
        engine
    }

    /// Goes on with a set that the present one has become by [`PatternSet::with`] and others: the patterns that it has
    /// already go on as they were, the new ones begin with the next event, and what removed ones hold is dropped. Events
    /// have to be decoded for this set, or for a later one, from then on; those that were decoded for a later set are
    /// good for an earlier one.
    pub fn install(&mut self, set: Arc<PatternSet>) {
        self.counters.without_key = self.without_key();
        self.without_key.clear();
        self.without_key.resize(set.routes.count(), 0);
        self.counters.without_key.resize(set.patterns.len(), 0);
        self.tables.extend(set.shapes.iter().skip(self.tables.len()).map(|shape| Table::new(shape)));
        self.cold.resize(set.patterns.len());
        for number in self.runners.len() as u32..set.patterns.len() as u32 {
            let mut runner = Matcher::new(number, &set);
            if let Some(old) = set.patterns[number as usize].takes_over {
                std::mem::swap(&mut runner, &mut self.runners[old as usize]);
                runner.renumber(number);
                self.cold.take_over(number, old);
            }
            self.runners.push(runner);
        }
        let removed = |number: usize| set.patterns[number].life == Life::Removed;
        for (number, runner) in self.runners.iter_mut().enumerate().filter(|(number, _)| removed(*number)) {
            runner.clear(&mut self.store);
            self.cold.clear(number as u32);
        }
        self.costs.resize(set.patterns.len());
        self.sent.keep(|name| set.home(name).is_some());
        self.take_decisions(&set);
        self.scratch.truths.grow(set.predicates.len());
        self.store.set_fields(set.kept_fields);
        self.deadlines.grow(&set.windows);
        self.set = set;
    }

    /// Goes on with the set that [`PatternSet::compacted`] gives for the present one. All that is held is encoded and
    /// loaded again. Events have to be decoded for the new set from then on.
    pub fn renumber(&mut self, set: Arc<PatternSet>) -> Result<(), Damaged> {
        let (shard, shards) = (self.shard as u32, self.shards as u32);
        let next = Engine::new(set, self.hasher.clone(), shard, shards);
        let mut saved = self.unload_hot();
        let mut old = std::mem::replace(self, next);
        (self.sequence, self.moment, self.type_errors) = (old.sequence, old.moment, old.type_errors.clone());
        let without_key = old.without_key();
        self.counters = std::mem::take(&mut old.counters);
        self.sent = std::mem::take(&mut old.sent);
        self.kept = std::mem::take(&mut old.kept).renumbered(&self.set);
        let number = |of: &Arc<Compiled>| match of.life {
            Life::Removed => None,
            _ => self.set.number(&of.plan.name, of.version),
        };
        let numbers: Vec<Option<u32>> = old.set.patterns.iter().map(number).collect();
        self.counters.without_key = vec![0; self.set.patterns.len()];
        for (number, count) in numbers.iter().zip(without_key) {
            if let Some(number) = number {
                self.counters.without_key[*number as usize] += count;
            }
        }
        for (old_number, number) in (0..).zip(&numbers) {
            if let Some(number) = number {
                self.costs.set(*number, old.costs.of(old_number));
            }
        }
        for key in &mut saved {
            key.pattern = numbers.get(key.pattern as usize).copied().flatten().unwrap_or(u32::MAX);
        }
        let fields = &old.set.schema().fields;
        let were = self.set.schema().fields.iter();
        let were = were.map(|field| fields.iter().position(|other| other == field).unwrap_or(usize::MAX));
        let were: Vec<usize> = were.collect();
        let loader = || Loader::of_slots(were.clone());
        self.load_by(loader(), &saved).and(self.load_renumbered(old.cold, &numbers, loader))
    }

    /// Takes events in their merged order. All deadlines up to the last one's time have passed afterwards.
    pub fn process(&mut self, batch: &Batch, sink: &mut impl MatchSink) {
        // Once a batch: all shards count references to it in one place.
        let set = Arc::clone(&self.set);
        let number = match self.warms() {
            true => self.process_warmed(&set, batch, sink),
            false => self.process_each(&set, batch, sink),
        };
        self.sequence += number;
        if let Some((index, rows)) = batch.runs.last() {
            self.advance(batch.blocks[*index as usize].heads[rows.end as usize - 1].time, sink);
        }
        self.keep_to_budget();
    }

    /// Takes the events of a batch one by one; how many there were.
    fn process_each(&mut self, set: &PatternSet, batch: &Batch, sink: &mut impl MatchSink) -> u64 {
        let mut next = self.sequence;
        for (index, rows) in &batch.runs {
            let block = &batch.blocks[*index as usize];
            for_each_concern(block, rows, |row| {
                let sequence = next + u64::from(row - rows.start);
                self.event(set, (block, row), sequence, hashes_of(block, row), sink);
            });
            next += u64::from(rows.end - rows.start);
        }
        next - self.sequence
    }

    /// The same where some are looked at together before they are taken.
    fn process_warmed(&mut self, set: &PatternSet, batch: &Batch, sink: &mut impl MatchSink) -> u64 {
        let mut passed = std::mem::take(&mut self.passed);
        passed.clear();
        let mut number = 0_u64;
        for (index, rows) in &batch.runs {
            let block = &*batch.blocks[*index as usize];
            for_each_concern(block, rows, |row| {
                passed.push((number + u64::from(row - rows.start), *index, row))
            });
            number += u64::from(rows.end - rows.start);
        }
        for some in passed.chunks(WARMED) {
            let event = |&(_, index, row): &(u64, u32, u32)| {
                let block = &*batch.blocks[index as usize];
                (block.row(row as usize), hashes_of(block, row))
            };
            let warmed = self.warm(set, some.iter().map(event));
            for (place, passed @ &(number, index, row)) in some.iter().enumerate() {
                let hashes = warmed.get(place).map_or(event(passed).1, std::slice::from_ref);
                let block = &batch.blocks[index as usize];
                self.event(set, (block, row), self.sequence + number, hashes, sink);
            }
        }
        self.passed = passed;
        number
    }

    /// Takes that all events up to a time have come: every deadline up to then passes.
    pub fn reach(&mut self, time: Timestamp, sink: &mut impl MatchSink) {
        self.advance(time, sink);
        self.keep_to_budget();
    }

    /// Takes the end of all inputs: time is without end, and every deadline passes.
    pub fn finish(&mut self, sink: &mut impl MatchSink) {
        self.advance(Timestamp::MAX, sink);
    }

    /// Does something with a clock at hand, that tells how long patterns take.
    pub fn timed<T>(&mut self, clock: Clock, with: impl FnOnce(&mut Engine) -> T) -> T {
        self.costs.time(Some(clock));
        let begun = clock();
        let done = with(self);
        self.costs.took(clock().saturating_sub(begun));
        self.costs.time(None);
        done
    }

    /// How many nanoseconds were timed, whatever they were for.
    pub fn timed_nanos(&self) -> u64 {
        self.costs.total()
    }

    /// What a pattern has cost in this shard.
    pub fn cost_of(&self, pattern: u32) -> Cost {
        self.costs.of(pattern)
    }

    /// The patterns that it runs.
    pub(super) fn set(&self) -> &PatternSet {
        &self.set
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn hasher(&self) -> &KeyHasher {
        &self.hasher
    }

    /// The states of a pattern.
    pub(super) fn table(&self, pattern: u32) -> &Table {
        &self.tables[self.set.patterns[pattern as usize].shape as usize]
    }

    /// The keys of a pattern, to be looked at.
    pub(super) fn inspected(&self, pattern: u32) -> &dyn Inspect {
        self.runners[pattern as usize].inspected()
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        let without_key = self.without_key();
        let suppressed = self.sent.suppressed();
        Counters { type_errors: self.type_errors.get(), without_key, suppressed, ..self.counters }
    }

    fn without_key(&self) -> Vec<u64> {
        let mut counts = self.counters.without_key.clone();
        for route in self.set.routes.all() {
            let count = self.without_key.get(route.number as usize).copied().unwrap_or(0);
            for &pattern in route.patterns.iter().filter(|_| count > 0) {
                counts[pattern as usize] += count;
            }
        }
        counts
    }

    /// In how many keys a pattern holds something.
    pub fn keys_of(&self, pattern: u32) -> usize {
        self.runners.get(pattern as usize).map_or(0, Matcher::keys) + self.cold.keys(pattern)
    }

    /// What is held now: keys; and in memory partial matches' steps, and kept events.
    pub fn held(&self) -> (usize, usize, usize) {
        let steps = self.store.nodes.len() + self.runners.iter().map(Matcher::steps).sum::<usize>();
        let keys = self.runners.iter().map(Matcher::keys).sum::<usize>() + self.cold_keys();
        (keys, steps, self.store.events())
    }

    /// How many partial matches there are in memory now, over all patterns and keys.
    pub fn partial_matches(&self) -> usize {
        self.runners.iter().map(|runner| runner.partial_matches(&self.store)).sum()
    }

    /// Encodes the state of every key, one by one, and drops it. What is not kept by key stays: how far time has come,
    /// and what was counted.
    pub fn unload(&mut self) -> Vec<SavedKey> {
        self.load_all();
        self.unload_hot()
    }

    fn unload_hot(&mut self) -> Vec<SavedKey> {
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
        self.load_by(Loader::default(), keys)
    }

    pub(super) fn load_by(&mut self, mut loader: Loader, keys: &[SavedKey]) -> Result<(), Damaged> {
        let mut result = Ok(());
        for SavedKey { pattern, bytes } in keys {
            let loaded = match self.runners.get_mut(*pattern as usize) {
                Some(runner) => {
                    let table = &mut self.tables[self.set.patterns[*pattern as usize].shape as usize];
                    let hasher = &self.hasher;
                    let restoring = Restoring { set: &self.set, hasher, table, given: None };
                    runner.load(bytes, &mut loader, restoring, &mut self.deadlines, &mut self.store)
                }
                None => Err(Damaged { at: 0, expected: "a pattern that is there" }),
            };
            result = result.and(loaded);
        }
        loader.finish(&mut self.store);
        result
    }

    /// Gives the keys that changed since the last call, each once: with what they hold now, or that they hold nothing any
    /// more. With `all`, and at the first call, all that hold something, as if nobody had been given any.
    ///
    /// After [`Engine::install`] what changed is enough: a version that takes over gives all its keys as its own, and of a
    /// pattern that was removed nothing is told, as all of it is gone. After [`Engine::renumber`], and after
    /// [`Engine::unload`], all are needed.
    pub fn changes(&mut self, all: bool, mut take: impl FnMut(KeyState<'_>)) {
        if self.cold.is_lost() {
            return;
        }
        let mut name = Vec::new();
        for (pattern, runner) in (0..).zip(&mut self.runners) {
            if self.cold.has(pattern)
                && !self.cold.give(pattern, runner.changes_mut(), all, &mut |key, state| {
                    take(KeyState { pattern, key, state: Some(state) });
                })
            {
                return;
            }
            let compiled = &self.set.patterns[pattern as usize];
            let mut giver = Giver {
                slots: &self.set.schema().keys[compiled.key],
                table: &self.tables[compiled.shape as usize],
                store: &self.store,
                take: &mut |key, state| take(KeyState { pattern, key, state }),
                name,
            };
            runner.give(all, &mut giver);
            name = giver.name;
        }
        self.sent.give(all, |pattern, key, until| {
            let state = until.map(|until| until.0.to_le_bytes());
            let state = state.as_ref().map(|bytes| bytes.as_slice());
            take(KeyState { pattern: KeyState::SENT, key: &put_sent(pattern, key), state });
        });
        self.kept.blocked.give(all, |pattern, version, key, hit| {
            // It is plain data: it can be written.
            let state = hit.map(|hit| serde_json::to_vec(hit).unwrap_or_default());
            let key = &put_blocked(pattern, version, key);
            take(KeyState { pattern: KeyState::BLOCKED, key, state: state.as_deref() });
        });
    }

    /// Takes a key that an engine of the same patterns gave, in whatever number of shards. False: it is another shard's.
    /// Comes after [`Engine::resume`], and [`Engine::restored`] after the last one.
    pub fn restore(&mut self, key: KeyState<'_>) -> Result<bool, Damaged> {
        let KeyState { pattern, key: name, state } = key;
        if pattern == KeyState::SENT {
            return self.restore_sent(name, state);
        }
        if pattern == KeyState::BLOCKED {
            return self.restore_blocked(name, state);
        }
        let compiled = self.set.patterns.get(pattern as usize).filter(|known| known.life != Life::Removed);
        let compiled = compiled.ok_or(Damaged { at: 0, expected: "a pattern that is there" })?;
        let slots = &self.set.schema().keys[compiled.key];
        let hash = hash_of_name(name, slots.len(), &self.hasher)?;
        let shard = if slots.is_empty() { u64::from(compiled.home) } else { hash >> 32 } % self.shards;
        let Some(state) = state.filter(|_| shard == self.shard) else { return Ok(shard == self.shard) };
        let table = &mut self.tables[compiled.shape as usize];
        let given = Some(Given { name, again: self.loader.translates() });
        let restoring = Restoring { set: &self.set, hasher: &self.hasher, table, given };
        let runner = &mut self.runners[pattern as usize];
        runner.load(state, &mut self.loader, restoring, &mut self.deadlines, &mut self.store)?;
        self.note_restored();
        Ok(true)
    }

    /// The same for what suppression knows. What is known of patterns that are gone is everybody's, and left out.
    fn restore_sent(&mut self, key: &[u8], state: Option<&[u8]>) -> Result<bool, Damaged> {
        let (pattern, name) = sent_of(key)?;
        let Some(home) = self.set.home(pattern) else { return Ok(true) };
        let is_own = self.owns(name, home);
        let (Some(state), true) = (state, is_own) else { return Ok(is_own) };
        let until = state.try_into().map_err(|_| Damaged { at: 0, expected: "a time of 8 bytes" })?;
        self.sent.restore(pattern, name, Timestamp(i64::from_le_bytes(until)))?;
        Ok(true)
    }

    /// Whether a key that is called so is this shard's.
    pub(super) fn owns(&self, name: &[u8], home: u32) -> bool {
        // How many fields the key has is the version's matter, but names are of one number of fields only.
        let hash = |fields| hash_of_name(name, fields, &self.hasher).ok();
        let shard = match (1..=name.len()).find_map(hash) {
            Some(hash) => hash >> 32,
            None => u64::from(home),
        };
        shard % self.shards == self.shard
    }

    /// All keys are there. They count as given, but where they are encoded otherwise by now.
    pub fn restored(&mut self) {
        let loader = std::mem::take(&mut self.loader);
        self.moment = self.moment.max(loader.moment);
        loader.finish(&mut self.store);
        self.runners.iter_mut().for_each(Matcher::turn_on);
    }

    /// What is needed besides the keys to go on after a restart.
    pub fn progress(&self) -> Progress {
        let fields = self.set.schema().fields[..self.set.kept_fields].to_vec();
        Progress { events: self.sequence, fields, streams: self.set.around.streams.clone() }
    }

    /// Goes on from there: keys of that time can be restored.
    pub fn resume(&mut self, progress: &Progress) {
        self.sequence = progress.events;
        self.loader = Loader::of_progress(progress, &self.set);
    }

    /// Whether there is so much to look at that `warm` pays.
    fn warms(&self) -> bool {
        match &*self.runners {
            [only] => only.keys() >= MANY_KEYS,
            many => many.len() >= MANY_PATTERNS,
        }
    }

    /// Looks at what the keys of some events hold, step by step for all of them: where there are so many keys that each
    /// step misses the caches, the misses of several events are waited for together. The keys' hashes, if it did.
    fn warm<'a>(
        &self,
        set: &PatternSet,
        events: impl Iterator<Item = (Row<'a>, &'a [u64])>,
    ) -> SmallVec<[u64; WARMED]> {
        // With one key specification an event has one hash.
        let [slots] = set.schema().keys.as_slice() else { return SmallVec::new() };
        let hash = |(row, known): (Row<'_>, &[u64])| {
            KeyHash::new(&self.hasher, slots, known.first().copied().unwrap_or(0)).get(&row)
        };
        match &*self.runners {
            [only] => {
                let hashes: SmallVec<_> = events.map(hash).collect();
                self.store.warm(hashes.iter().filter_map(|&hash| only.first_of(hash)).collect());
                hashes
            }
            many => {
                let events: SmallVec<[_; WARMED]> = events.collect();
                let routes: SmallVec<[Option<&Route>; WARMED]> =
                    events.iter().map(|(row, _)| set.routes.of(row.head.kind).next()).collect();
                let numbers: SmallVec<[Option<u32>; WARMED]> =
                    routes.iter().map(|route| route.and_then(Route::first_of_few)).collect();
                let known = numbers.iter().flatten();
                let patterns: SmallVec<[&Compiled; WARMED]> =
                    known.map(|&number| &*set.patterns[number as usize]).collect();
                std::hint::black_box(patterns.iter().map(|pattern| pattern.touch()).sum::<usize>());
                let hashes: SmallVec<[u64; WARMED]> = events.into_iter().map(hash).collect();
                let key = |(number, hash): (&Option<u32>, &u64)| {
                    number.and_then(|number| many[number as usize].first_of(*hash))
                };
                self.store.warm(numbers.iter().zip(&hashes).filter_map(key).collect());
                hashes
            }
        }
    }

    /// The same for the keys of the next deadlines, among which some are in vain.
    fn warm_closings(&self, set: &PatternSet) {
        let hash = |next: Deadline| {
            let slots = &set.schema().keys[set.patterns[next.pattern as usize].key];
            (next.pattern, self.hasher.hash(&self.store.row(next.event), slots))
        };
        let next = self.deadlines.upcoming().take(4 * WARMED);
        let next = next.map(|next| Deadline { pattern: set.heirs[next.pattern as usize], ..next });
        let many = next.filter(|next| self.runners[next.pattern as usize].keys() >= MANY_CLOSINGS);
        let alive = many.filter(|next| next.begins(&self.store).is_some()).take(WARMED);
        let hashes: SmallVec<[(u32, u64); WARMED]> = alive.map(hash).collect();
        let key = |&(number, hash): &(u32, u64)| self.runners[number as usize].first_of(hash);
        self.store.warm(hashes.iter().filter_map(key).collect());
    }

    /// Looks whether an event changes nothing, as most do: the only pattern that it concerns begins no partial match with
    /// it, and its key holds none. None then, else the hash of its key, 0 where it is not known.
    #[inline]
    fn look(&self, set: &PatternSet, row: &Row<'_>, conditions: u64, hashes: &[u64]) -> Option<u64> {
        let route = set.routes.at(row.head.kind, 0)?;
        let &[number] = route.patterns.as_slice() else { return Some(0) };
        let pattern = &set.patterns[number as usize];
        if !self.tables[pattern.shape as usize].begins_nothing(conditions, pattern.iterative) {
            return Some(0);
        }
        let known = hashes.get(route.key).copied().filter(|&hash| hash != 0);
        let hash = known.unwrap_or_else(|| self.hasher.hash(row, &set.schema().keys[route.key]));
        // An event without a key is counted.
        let may_hold = self.runners[number as usize].may_hold(hash) || self.cold.has(number);
        (hash == 0 || may_hold).then_some(hash)
    }

    #[inline]
    fn event(
        &mut self,
        set: &PatternSet,
        block: (&Arc<Block>, u32),
        sequence: u64,
        hashes: &[u64],
        sink: &mut impl MatchSink,
    ) {
        let row = block.0.row(block.1 as usize);
        self.advance(row.head.time, sink);
        if self.cold.is_lost() {
            return;
        }
        self.moment += 1;
        let asked = Asked::of(block.0, block.1);
        let mut known = 0;
        if let Some(conditions) = asked.conditions() {
            match self.look(set, &row, conditions, hashes) {
                Some(hash) => known = hash,
                None => return,
            }
        }
        let (kept, moment) = (Cell::new(NONE), self.moment);
        let type_errors = &self.type_errors;
        let event = Current { set, row: &row, block, asked, sequence, kept, type_errors, moment };
        let mut place = 0;
        while let Some(route) = set.routes.at(row.head.kind, place) {
            place += 1;
            if !route.reads(row.head.position.stream) {
                continue;
            }
            let slots = &set.schema().keys[route.key];
            if !has_key(row.slots, slots) {
                self.without_key[route.number as usize] += u64::from(self.shard == 0);
                continue;
            }
            let hash = hashes.get(route.key).copied().unwrap_or_else(|| std::mem::take(&mut known));
            let key = KeyHash::new(&self.hasher, slots, hash);
            if self.shards > 1 && !slots.is_empty() && (key.get(&row) >> 32) % self.shards != self.shard {
                continue;
            }
            let concerned = match route.always() {
                Some(all) => all,
                None => {
                    route.concerned(&row, &set.tokens, &mut self.concerned);
                    &self.concerned
                }
            };
            for &number in concerned {
                let pattern = &set.patterns[number as usize];
                // Patterns without a key are dealt out whole.
                if slots.is_empty() && u64::from(pattern.home) % self.shards != self.shard {
                    continue;
                }
                if !self.kept.blocked.is_empty() && self.is_blocked(pattern, &row, slots) {
                    continue;
                }
                if self.cold.has(number) {
                    let mut into = Warm {
                        set,
                        hasher: &self.hasher,
                        tables: &mut self.tables,
                        runners: &mut self.runners,
                        deadlines: &mut self.deadlines,
                        store: &mut self.store,
                    };
                    if !self.cold.load_for(&event, &key, number, &mut self.scratch.truths, &mut into) {
                        return;
                    }
                }
                let runner = &mut self.runners[number as usize];
                let shape = pattern.shape as usize;
                let table = &mut self.tables[shape];
                let (scratch, store) = (&mut self.scratch, &mut self.store);
                self.costs.event(number);
                let opens = runner.event(&event, &key, table, scratch, store, &mut self.found);
                self.costs.end(number);
                if opens {
                    let window = set.patterns[number as usize].window;
                    self.deadlines.push(window, number, event.kept.get(), row.head.time, sequence);
                }
                if table.is_full() {
                    let alike = self.runners.iter_mut().zip(&set.patterns);
                    let alike = alike.filter(|(_, pattern)| pattern.shape as usize == shape);
                    Matcher::rebuild(table, &set.shapes[shape], alike.map(|(runner, _)| runner), store);
                }
                if let Some(budget) = pattern.budget.as_deref() {
                    let (runner, found) = (&mut self.runners[number as usize], &mut self.found);
                    let (kept, store) = (&mut self.kept, &mut self.store);
                    let is_over = u64::from(runner.held_by_key()) > budget.partial_matches_per_key;
                    if is_over || budget.counts_events() {
                        Keeper { runner, kept, store, found }.keep(number, budget, &event, &key, is_over);
                    }
                }
            }
        }
        let kept = event.kept.get();
        if !self.found.is_empty() {
            self.emit(row.head.time, Some((&row, kept)), sink);
            if !self.left_out.is_empty() {
                self.too_many_matches(set, &row);
            }
        }
        if kept != NONE {
            self.store.release_event(kept);
        }
    }

    /// Closes what deadlines up to `to` close, one time after the other.
    #[inline]
    fn advance(&mut self, to: Timestamp, sink: &mut impl MatchSink) {
        if self.cold.is_due(to) {
            self.pass_loading(to, sink);
        } else if self.deadlines.may_be_due(to) {
            self.pass_deadlines(to, sink);
        }
    }

    pub(super) fn pass_deadlines(&mut self, to: Timestamp, sink: &mut impl MatchSink) {
        if self.cold.is_lost() {
            return;
        }
        let set = Arc::clone(&self.set);
        while let Some(at) = self.deadlines.next(to, &self.store) {
            self.moment += 1;
            let closing = Closing { at, moment: self.moment, set: &set, hasher: &self.hasher };
            while let Some((number, begun)) = self.deadlines.pop(at, &self.store) {
                let number = set.heirs[number as usize];
                let pattern = &set.patterns[number as usize];
                if pattern.life == Life::Removed {
                    continue;
                }
                if self.warmed_closings == 0 {
                    self.warm_closings(&set);
                    self.warmed_closings = WARMED;
                }
                self.warmed_closings -= 1;
                let table = &self.tables[pattern.shape as usize];
                let (scratch, store) = (&mut self.scratch, &mut self.store);
                self.costs.begin();
                self.runners[number as usize].close(&closing, begun, table, scratch, store, &mut self.found);
                self.costs.end(number);
            }
            for number in self.scratch.closed.drain(..) {
                self.runners[number as usize].release(&mut self.store);
            }
            if !self.found.is_empty() {
                self.emit(at, None, sink);
            }
        }
    }

    /// Gives what was found at one event or deadline to the sink, in order, each once.
    fn emit(&mut self, time: Timestamp, event: Option<(&Row<'_>, u32)>, sink: &mut impl MatchSink) {
        self.sorter.sort(&self.found, &self.set.ranks, &self.store, event.is_none());
        let mut completed = (u32::MAX, 0);
        for item in &self.sorter.items {
            let Found { pattern: number, kind, node } = item.found;
            let pattern = &self.set.patterns[number as usize];
            let most = pattern.budget.as_deref().map_or(u64::MAX, |budget| budget.matches_per_event);
            let count = match kind {
                Kind::Match => &mut self.counters.matches,
                Kind::Timeout => &mut self.counters.timeouts,
            };
            let before = *count;
            self.costs.begin();
            let mut give = |path: &[(u32, u32)]| {
                let position = match event {
                    Some((row, _)) => row.head.position,
                    None => self.store.position(path[0].0),
                };
                if let Some(within) = pattern.suppress {
                    self.key_name.clear();
                    let row = self.store.row(path[0].0);
                    put_name(&row, &self.set.schema().keys[pattern.key], &mut self.key_name);
                    if !self.sent.passes(&pattern.plan.name, &self.key_name, time, time.plus(within)) {
                        return;
                    }
                }
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
                let pattern = self.set.ranks[number as usize];
                sink.take(Order { time, of_event: event.is_some(), position, pattern }, &view);
            };
            match (event, node) {
                (Some((_, kept)), Found::SETS) => {
                    let left_out = self.runners[number as usize].matches(kept, &self.store, most, give);
                    self.left_out.extend((left_out > 0).then_some((number, left_out)));
                }
                (Some(_), _) if kind == Kind::Match && !passes(&mut completed, number, most) => {
                    match self.left_out.last_mut().filter(|(last, _)| *last == number) {
                        Some((_, count)) => *count += 1,
                        None => self.left_out.push((number, 1)),
                    }
                }
                _ => give(&self.sorter.paths[item.from..item.to]),
            }
            self.costs.end(number);
            self.costs.found(number, kind, *count - before);
        }
        for found in self.found.drain(..) {
            self.store.release(found.node);
        }
    }
}

/// Whether one match more of a pattern may leave; those of a pattern come one after the other.
fn passes(completed: &mut (u32, u64), number: u32, most: u64) -> bool {
    if completed.0 != number {
        *completed = (number, 0);
    }
    completed.1 += 1;
    completed.1 <= most
}

/// The hashes of an event's keys, where they are known.
#[inline]
fn hashes_of(block: &Block, row: u32) -> &[u64] {
    block.key_hashes.get(row as usize * block.key_width..).unwrap_or_default()
}

/// Calls `with` for those of a block's rows that may concern some pattern.
#[inline]
fn for_each_concern(block: &Block, rows: &Range<u32>, mut with: impl FnMut(u32)) {
    let Some(concerns) = &block.concerns else {
        return rows.clone().for_each(with);
    };
    let mut row = rows.start;
    while row < rows.end {
        let left = concerns[row as usize / 64] >> (row % 64);
        if left == 0 {
            row = (row / 64 + 1) * 64;
            continue;
        }
        row += left.trailing_zeros();
        if row < rows.end {
            with(row);
        }
        row += 1;
    }
}
