//! One shard of the engine: the patterns of a set over the keys that fall to it.

mod state;
mod told;
mod warm;

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use super::cold::{Cold, Warm};
use super::cost::Costs;
use super::deadlines::Deadlines;
use super::gate::Asked;
use super::life::Life;
use super::limits::{Keeper, Kept};
use super::matched::{Kind, MatchSink, MatchView, Order};
use super::matcher::{Closing, Matcher};
use super::runner::{Found, Scratch};
use super::saved::{Loader, put_name};
use super::sent::Sent;
use super::set::PatternSet;
use super::sorter::Sorter;
use super::store::{NONE, Store};
use super::table::Table;
use super::truths::{Current, KeyHash};
use crate::event::key::{KeyHasher, has_key};
use crate::event::{Batch, Block, Row, Timestamp};
pub use state::{KeyState, Progress, SavedKey};
use warm::WARMED;

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

/// One shard.
#[derive(Debug)]
pub struct Engine {
    pub(super) set: Arc<PatternSet>,
    /// The events of a batch that pass: number in the batch, block, and row.
    passed: Vec<(u64, u32, u32)>,
    /// The patterns that the current event concerns.
    concerned: Vec<u32>,
    pub(super) hasher: KeyHasher,
    pub(super) shard: u64,
    pub(super) shards: u64,
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

    /// Takes that all events up to a time have come: every deadline up to then passes.
    pub fn reach(&mut self, time: Timestamp, sink: &mut impl MatchSink) {
        self.advance(time, sink);
        self.keep_to_budget();
    }

    /// Takes the end of all inputs: time is without end, and every deadline passes.
    pub fn finish(&mut self, sink: &mut impl MatchSink) {
        self.advance(Timestamp::MAX, sink);
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
        let may_hold = self.runners[number as usize].may_hold(hash) || self.cold.has_key(number, hash as u32);
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
