//! One shard of the engine: the patterns of a set over the keys that fall to it.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::changed::{Given, Giver};
use super::deadlines::{Deadline, Deadlines};
use super::life::Life;
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
    /// The pattern's number; [`KeyState::SENT`] for what suppression knows of a key, whichever the pattern.
    pub pattern: u32,
    /// What names the key: equal where keys are the same by `==`, empty for a pattern without key.
    pub key: &'a [u8],
    /// The encoded state; none: it holds nothing any more.
    pub state: Option<&'a [u8]>,
}

impl KeyState<'_> {
    /// What suppression knows has no number: it goes by names.
    pub const SENT: u32 = u32::MAX;
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
    set: Arc<PatternSet>,
    /// The events of a batch that pass: number in the batch, block, and row.
    passed: Vec<(u64, u32, u32)>,
    /// The patterns that the current event concerns.
    concerned: Vec<u32>,
    hasher: KeyHasher,
    shard: u64,
    shards: u64,
    runners: Vec<Matcher>,
    /// By shape.
    tables: Vec<Table>,
    deadlines: Deadlines,
    /// Of so many deadlines the keys were looked at.
    warmed_closings: usize,
    store: Store,
    /// Of the keys that are restored.
    loader: Loader,
    scratch: Scratch,
    sequence: u64,
    moment: u64,
    found: Vec<Found>,
    sorter: Sorter,
    counters: Counters,
    sent: Sent,
    /// A buffer.
    key_name: Vec<u8>,
    /// By route: events without its key since the set was installed.
    without_key: Vec<u64>,
    type_errors: Cell<u64>,
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
            scratch: Scratch::default(),
            sequence: 0,
            moment: 0,
            found: Vec::new(),
            sorter: Sorter::default(),
            counters: Counters::default(),
            sent: Sent::default(),
            key_name: Vec::new(),
            without_key: Vec::new(),
            type_errors: Cell::new(0),
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
        for number in self.runners.len() as u32..set.patterns.len() as u32 {
            let mut runner = Matcher::new(number, &set);
            if let Some(old) = set.patterns[number as usize].takes_over {
                std::mem::swap(&mut runner, &mut self.runners[old as usize]);
                runner.renumber(number);
            }
            self.runners.push(runner);
        }
        let removed = |number: usize| set.patterns[number].life == Life::Removed;
        let gone = self.runners.iter_mut().enumerate().filter(|(number, _)| removed(*number));
        gone.for_each(|(_, runner)| runner.clear(&mut self.store));
        self.sent.keep(|name| set.home(name).is_some());
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
        let mut saved = self.unload();
        let mut old = std::mem::replace(self, next);
        (self.sequence, self.moment, self.type_errors) = (old.sequence, old.moment, old.type_errors.clone());
        let without_key = old.without_key();
        self.counters = std::mem::take(&mut old.counters);
        self.sent = std::mem::take(&mut old.sent);
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
        for key in &mut saved {
            key.pattern = numbers.get(key.pattern as usize).copied().flatten().unwrap_or(u32::MAX);
        }
        let fields = &old.set.schema().fields;
        let were = self.set.schema().fields.iter();
        let were = were.map(|field| fields.iter().position(|other| other == field).unwrap_or(usize::MAX));
        self.load_by(Loader::of_slots(were.collect()), &saved)
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
            for_each_concern(block, rows, |row| {
                passed.push((number + u64::from(row - rows.start), *index, row))
            });
            number += u64::from(rows.end - rows.start);
        }
        for some in passed.chunks(WARMED) {
            let event = |&(_, index, row): &(u64, u32, u32)| {
                let (block, row) = (&*batch.blocks[index as usize], row as usize);
                (block.row(row), block.key_hashes.get(row * block.key_width..).unwrap_or_default())
            };
            let warmed = self.warm(&set, some.iter().map(event));
            for (place, passed) in some.iter().enumerate() {
                let (row, hashes) = event(passed);
                let hashes = warmed.get(place).map_or(hashes, std::slice::from_ref);
                self.event(&set, row, self.sequence + passed.0, hashes, sink);
            }
        }
        self.passed = passed;
        self.sequence += number;
        if let Some((index, rows)) = batch.runs.last() {
            self.advance(batch.blocks[*index as usize].heads[rows.end as usize - 1].time, sink);
        }
    }

    /// Takes that all events up to a time have come: every deadline up to then passes.
    pub fn reach(&mut self, time: Timestamp, sink: &mut impl MatchSink) {
        self.advance(time, sink);
    }

    /// Takes the end of all inputs: time is without end, and every deadline passes.
    pub fn finish(&mut self, sink: &mut impl MatchSink) {
        self.advance(Timestamp::MAX, sink);
    }

    /// When the next deadline passes at which something may be found; none where nothing waits for time.
    pub fn due(&mut self) -> Option<Timestamp> {
        self.deadlines.next(Timestamp::MAX, &self.store)
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
        self.runners.get(pattern as usize).map_or(0, Matcher::keys)
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
        self.load_by(Loader::default(), keys)
    }

    fn load_by(&mut self, mut loader: Loader, keys: &[SavedKey]) -> Result<(), Damaged> {
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
        let mut name = Vec::new();
        for (pattern, runner) in (0..).zip(&mut self.runners) {
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
    }

    /// Takes a key that an engine of the same patterns gave, in whatever number of shards. False: it is another shard's.
    /// Comes after [`Engine::resume`], and [`Engine::restored`] after the last one.
    pub fn restore(&mut self, key: KeyState<'_>) -> Result<bool, Damaged> {
        let KeyState { pattern, key: name, state } = key;
        if pattern == KeyState::SENT {
            return self.restore_sent(name, state);
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
        Ok(true)
    }

    /// The same for what suppression knows. What is known of patterns that are gone is everybody's, and left out.
    fn restore_sent(&mut self, key: &[u8], state: Option<&[u8]>) -> Result<bool, Damaged> {
        let (pattern, name) = sent_of(key)?;
        let Some(home) = self.set.home(pattern) else { return Ok(true) };
        // How many fields the key has is the version's matter, but names are of one number of fields only.
        let hash = |fields| hash_of_name(name, fields, &self.hasher).ok();
        let shard = match (1..=name.len()).find_map(hash) {
            Some(hash) => hash >> 32,
            None => u64::from(home),
        };
        let (Some(state), true) = (state, shard % self.shards == self.shard) else {
            return Ok(shard % self.shards == self.shard);
        };
        let until = state.try_into().map_err(|_| Damaged { at: 0, expected: "a time of 8 bytes" })?;
        self.sent.restore(pattern, name, Timestamp(i64::from_le_bytes(until)))?;
        Ok(true)
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
            [only] if only.keys() >= MANY_KEYS => {
                let hashes: SmallVec<_> = events.map(hash).collect();
                self.store.warm(hashes.iter().filter_map(|&hash| only.first_of(hash)).collect());
                hashes
            }
            many if many.len() >= MANY_PATTERNS => {
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
            _ => SmallVec::new(),
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
        let event = Current { set, row: &row, sequence, kept, type_errors: &self.type_errors, moment };
        for route in set.routes.of(row.head.kind) {
            if !route.reads(row.head.position.stream) {
                continue;
            }
            let slots = &set.schema().keys[route.key];
            if !has_key(row.slots, slots) {
                self.without_key[route.number as usize] += u64::from(self.shard == 0);
                continue;
            }
            let key = KeyHash::new(&self.hasher, slots, hashes.get(route.key).copied().unwrap_or(0));
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
                let runner = &mut self.runners[number as usize];
                let shape = pattern.shape as usize;
                let table = &mut self.tables[shape];
                let (scratch, store) = (&mut self.scratch, &mut self.store);
                if runner.event(&event, &key, table, scratch, store, &mut self.found) {
                    let window = set.patterns[number as usize].window;
                    self.deadlines.push(window, number, event.kept.get(), row.head.time, sequence);
                }
                if table.is_full() {
                    let alike = self.runners.iter_mut().zip(&set.patterns);
                    let alike = alike.filter(|(_, pattern)| pattern.shape as usize == shape);
                    Matcher::rebuild(table, &set.shapes[shape], alike.map(|(runner, _)| runner), store);
                }
            }
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
        if self.deadlines.may_be_due(to) {
            self.pass_deadlines(to, sink);
        }
    }

    fn pass_deadlines(&mut self, to: Timestamp, sink: &mut impl MatchSink) {
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
                self.runners[number as usize].close(&closing, begun, table, scratch, store, &mut self.found);
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
