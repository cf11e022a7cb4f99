//! One pattern at work in one shard: moves the partial matches of a key by an event, and closes them at deadlines.

use std::cell::Cell;
use std::collections::VecDeque;

use hashbrown::HashTable;
use hashbrown::hash_table::{Entry, OccupiedEntry};

use super::condition::Predicates;
use super::key_state::{KeyState, Run, Waiting};
use super::matched::Kind;
use super::path::{Iterative, Unary};
use super::set::{AtomId, Compiled, PatternSet};
use super::skip;
use super::store::{NONE, Store};
use super::table::{Bits, DEAD, NOTHING, START, StateId, Table, Take};
use crate::event::key::{KeyHasher, same_key};
use crate::event::{Row, Timestamp};
use crate::pattern::eval;
use crate::pattern::plan::Skip;

/// A match or timeout that was found, holding a reference to its path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) pattern: u32,
    pub(crate) kind: Kind,
    /// The last step of its path; `SETS` for all that the pattern's sets hold complete.
    pub(crate) node: u32,
}

impl Found {
    pub(crate) const SETS: u32 = NONE;
}

/// What is known of the event being taken, for all patterns.
pub(crate) struct Current<'a> {
    pub(crate) set: &'a PatternSet,
    pub(crate) row: Row<'a>,
    /// Its number in the merged order.
    pub(crate) sequence: u64,
    /// Its number in the store, once some path has it.
    pub(crate) kept: Cell<u32>,
    pub(crate) type_errors: &'a Cell<u64>,
    /// Counts events and deadlines.
    pub(crate) moment: u64,
}

impl<'a> Current<'a> {
    fn unary(&self) -> Unary<'a> {
        Unary { row: self.row, around: &self.set.around, type_errors: self.type_errors }
    }

    /// Its number in the store.
    pub(crate) fn keep(&self, store: &mut Store) -> u32 {
        if self.kept.get() == NONE {
            self.kept.set(store.keep(&self.row, self.sequence));
        }
        self.kept.get()
    }

    fn extend(&self, store: &mut Store, before: u32, stage: usize) -> u32 {
        let event = self.keep(store);
        store.extend(before, event, stage)
    }
}

/// What predicates were for the current event, asked at most once each.
#[derive(Debug, Default)]
pub(crate) struct Memo {
    /// The sequence number of the event that the answer is for, and the answer in the lowest bits.
    answers: Vec<u64>,
}

impl Memo {
    pub(crate) fn new(len: usize) -> Memo {
        Memo { answers: vec![0; len] }
    }

    #[inline]
    fn get(&mut self, index: u32, sequence: u64, ask: impl FnOnce() -> u64) -> u64 {
        let known = self.answers[index as usize];
        if known >> 2 == sequence + 1 {
            return known & 3;
        }
        let answer = ask();
        self.answers[index as usize] = (sequence + 1) << 2 | answer;
        answer
    }
}

/// The condition is false, or true, or true as far as the event alone says.
const FALSE: u64 = 0;
const TRUE: u64 = 1;
const DEPENDS: u64 = 2;

/// A deadline that may be due for the key of an event.
#[derive(Debug, Clone, Copy)]
struct Deadline {
    at: Timestamp,
    sequence: u64,
    event: u32,
}

#[derive(Debug)]
struct Keyed {
    hash: u64,
    state: KeyState,
}

/// One pattern in one shard.
#[derive(Debug)]
pub(crate) struct Runner {
    number: u32,
    table: Table,
    keys: HashTable<Keyed>,
    /// In the order of time: a window is counted from an event, and events come in order.
    deadlines: VecDeque<Deadline>,
    truths: Memo,
    moved: Vec<(StateId, Run)>,
    complete: Vec<u32>,
}

impl Runner {
    pub(crate) fn new(number: u32, pattern: &Compiled) -> Runner {
        Runner {
            number,
            table: Table::new(pattern),
            keys: HashTable::new(),
            deadlines: VecDeque::new(),
            truths: Memo::new(pattern.atoms.len()),
            moved: Vec::new(),
            complete: Vec::new(),
        }
    }

    /// The time of the next deadline that may be due.
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.front().map(|d| d.at)
    }

    /// How many keys hold something.
    pub(crate) fn keys(&self) -> usize {
        self.keys.len()
    }

    /// How many partial matches there are.
    pub(crate) fn partial_matches(&self) -> usize {
        self.keys.iter().flat_map(|keyed| &keyed.state.groups).map(|group| group.runs.len()).sum()
    }

    /// Takes an event of the key with this hash.
    pub(crate) fn event(
        &mut self,
        event: &Current<'_>,
        hash: u64,
        predicates: &mut Memo,
        store: &mut Store,
        found: &mut Vec<Found>,
    ) {
        let pattern = &event.set.patterns[self.number as usize];
        let mut asked = Truths { event, pattern, truths: &mut self.truths, predicates };
        // Where no wait is strict, an event that no condition is true of changes nothing.
        if !pattern.sees_all && asked.all_false() {
            return;
        }
        let begin = self.table.cell(pattern, START, &asked.bits(&self.table, START, NONE, store));
        if begin == NOTHING && self.keys.is_empty() {
            return;
        }
        let slots = &event.set.schema().keys[pattern.key];
        let is_same = |keyed: &Keyed| {
            keyed.hash == hash
                && keyed
                    .state
                    .some_event(store)
                    .is_some_and(|e| same_key(&store.events[e].row(), &event.row, slots))
        };
        let mut entry = match self.keys.entry(hash, is_same, |keyed| keyed.hash) {
            Entry::Occupied(entry) => entry,
            Entry::Vacant(_) if begin == NOTHING => return,
            Entry::Vacant(entry) => entry.insert(Keyed { hash, state: KeyState::default() }),
        };
        let state = &mut entry.get_mut().state;
        let mut step =
            Step { event, store, moved: &mut self.moved, complete: &mut self.complete, grown: false };

        for group in &mut state.groups {
            let from = group.state;
            let shared = asked.shared(&self.table, from);
            let shared = shared.map(|bits| self.table.cell(pattern, from, &bits));
            if shared == Some(NOTHING) {
                continue;
            }
            group.runs.retain(|run| {
                let cell = match shared {
                    Some(cell) => cell,
                    None => {
                        let bits = asked.bits(&self.table, from, run.node, step.store);
                        self.table.cell(pattern, from, &bits)
                    }
                };
                step.apply(&self.table, cell, from, *run)
            });
        }
        state.groups.retain(|g| !g.runs.is_empty());
        let mut opened = false;
        for take in &self.table.cells[begin as usize].takes {
            opened |= take.next != DEAD;
            step.take(*take, NONE, NONE);
        }
        let grown = step.grown;
        for (to, run) in self.moved.drain(..) {
            state.add(to, run);
        }
        if let Some(within) = pattern.within
            && if within.between_events { grown } else { opened }
        {
            let at = event.row.head.time.plus(within.span);
            self.deadlines.push_back(Deadline { at, sequence: event.sequence, event: event.kept.get() });
        }
        let number = self.number;
        finish(entry, &mut self.complete, pattern.skip, event.moment, store, |node| {
            found.push(Found { pattern: number, kind: Kind::Match, node });
        });
        if self.table.is_full() {
            let groups = self.keys.iter_mut().flat_map(|keyed| &mut keyed.state.groups);
            self.table.rebuild(pattern, groups.map(|g| &mut g.state));
        }
    }

    /// Closes what the deadlines at `at` close.
    pub(crate) fn deadlines(
        &mut self,
        at: Timestamp,
        moment: u64,
        set: &PatternSet,
        hasher: &KeyHasher,
        store: &mut Store,
        found: &mut Vec<Found>,
    ) {
        let pattern = &set.patterns[self.number as usize];
        let Some(within) = pattern.within else { return };
        let slots = &set.schema().keys[pattern.key];
        while let Some(deadline) = self.deadlines.front().copied().filter(|d| d.at <= at) {
            self.deadlines.pop_front();
            // An event that nobody holds any more has nothing to close.
            let Some(kept) = store.events.get(deadline.event).filter(|e| e.sequence == deadline.sequence)
            else {
                continue;
            };
            let hash = hasher.hash(&kept.row(), slots);
            let is_same = |keyed: &Keyed| {
                keyed.hash == hash
                    && keyed
                        .state
                        .some_event(store)
                        .is_some_and(|e| same_key(&store.events[e].row(), &kept.row(), slots))
            };
            let Ok(mut entry) = self.keys.find_entry(hash, is_same) else { continue };
            let state = &mut entry.get_mut().state;
            for group in &mut state.groups {
                let of = &self.table.states[group.state as usize];
                let (completes, times_out) = (of.at_deadline, pattern.emit_timeouts && of.waits);
                group.runs.retain(|run| {
                    if run.deadline(within, store) > at {
                        return true;
                    }
                    if times_out {
                        store.hold(run.node);
                        found.push(Found { pattern: self.number, kind: Kind::Timeout, node: run.node });
                    }
                    if completes {
                        self.complete.push(run.node);
                    } else {
                        store.release(run.node);
                    }
                    false
                });
            }
            state.groups.retain(|g| !g.runs.is_empty());
            let number = self.number;
            finish(entry, &mut self.complete, pattern.skip, moment, store, |node| {
                found.push(Found { pattern: number, kind: Kind::Match, node });
            });
        }
        if self.deadlines.is_empty() && self.deadlines.capacity() > 1024 {
            self.deadlines = VecDeque::new();
        }
    }
}

/// Gives out the matches of a key that became complete, by the skip strategy, and forgets the key if it holds nothing.
fn finish(
    mut entry: OccupiedEntry<'_, Keyed>,
    complete: &mut Vec<u32>,
    skip: Skip,
    moment: u64,
    store: &mut Store,
    mut found: impl FnMut(u32),
) {
    let state = &mut entry.get_mut().state;
    if skip != Skip::NoSkip && !(complete.is_empty() && state.waiting.is_none()) {
        let waiting = state.waiting.get_or_insert_default();
        for node in complete.drain(..) {
            let mut first = node;
            while store.nodes[first].before != NONE {
                first = store.nodes[first].before;
            }
            waiting.push(Waiting { node, first: store.sequence(store.nodes[first].event), moment });
        }
        skip::take(state, skip, store, complete);
    }
    complete.drain(..).for_each(&mut found);
    if state.is_empty() {
        let keys = entry.remove().1.into_table();
        if keys.len() * 8 < keys.capacity() && keys.capacity() > 1024 {
            keys.shrink_to(keys.len() * 2, |keyed| keyed.hash);
        }
    }
}

/// Asks what the conditions of a pattern are for the current event.
pub(crate) struct Truths<'a, 'e> {
    pub(crate) event: &'a Current<'e>,
    pub(crate) pattern: &'a Compiled,
    pub(crate) truths: &'a mut Memo,
    pub(crate) predicates: &'a mut Memo,
}

impl Truths<'_, '_> {
    /// Whether no condition is true.
    pub(crate) fn all_false(&mut self) -> bool {
        (0..self.pattern.atoms.len() as AtomId).all(|atom| self.of(atom) == FALSE)
    }

    /// What a condition is as far as the event alone says.
    #[inline]
    fn of(&mut self, atom: AtomId) -> u64 {
        let Truths { event, pattern, truths, predicates } = self;
        truths.get(atom, event.sequence, || {
            let condition = &pattern.atoms[atom as usize];
            let all: &Predicates = &event.set.predicates;
            let holds = condition.types.has(event.row.head.kind)
                && condition.unary.iter().all(|&p| {
                    predicates.get(p, event.sequence, || u64::from(all.holds(p, &event.row, &event.unary())))
                        == 1
                });
            match (holds, condition.iterative.is_empty()) {
                (false, _) => FALSE,
                (true, true) => TRUE,
                (true, false) => DEPENDS,
            }
        })
    }

    /// The conditions of a state that are true, where the event alone says; none where some depend on the partial match.
    #[inline]
    pub(crate) fn shared(&mut self, table: &Table, state: StateId) -> Option<Bits> {
        let care = &table.states[state as usize].care;
        let mut bits = Bits::new();
        for (i, &atom) in care.iter().enumerate() {
            match self.of(atom) {
                FALSE => push(&mut bits, i, false),
                TRUE => push(&mut bits, i, true),
                _ => return None,
            }
        }
        Some(bits)
    }

    /// The conditions of a state that are true for a partial match.
    fn bits(&mut self, table: &Table, state: StateId, node: u32, store: &Store) -> Bits {
        let care = &table.states[state as usize].care;
        let mut bits = Bits::new();
        for (i, &atom) in care.iter().enumerate() {
            let holds = match self.of(atom) {
                FALSE => false,
                TRUE => true,
                _ => {
                    let env = Iterative { tested: self.event.unary(), store, node };
                    self.pattern.atoms[atom as usize].iterative.iter().all(|e| eval::is_true(e, &env))
                }
            };
            push(&mut bits, i, holds);
        }
        bits
    }
}

#[inline]
fn push(bits: &mut Bits, index: usize, value: bool) {
    if index.is_multiple_of(64) {
        bits.push(0);
    }
    bits[index / 64] |= u64::from(value) << (index % 64);
}

/// Applies cells to partial matches.
struct Step<'a, 'e> {
    event: &'a Current<'e>,
    store: &'a mut Store,
    /// New partial matches, and those that changed their state.
    moved: &'a mut Vec<(StateId, Run)>,
    /// The last steps of complete matches.
    complete: &'a mut Vec<u32>,
    /// Whether some partial match accepted the event and goes on.
    grown: bool,
}

impl Step<'_, '_> {
    /// Moves a partial match; whether it stays where it is.
    #[inline]
    fn apply(&mut self, table: &Table, cell: u32, from: StateId, run: Run) -> bool {
        if cell == NOTHING {
            return true;
        }
        let cell = &table.cells[cell as usize];
        for take in &cell.takes {
            self.take(*take, run.node, run.first);
        }
        if cell.completes {
            self.store.hold(run.node);
            self.complete.push(run.node);
        }
        if cell.keep == from {
            return true;
        }
        if cell.keep == DEAD {
            self.store.release(run.node);
        } else {
            self.moved.push((cell.keep, run));
        }
        false
    }

    /// A partial match that goes one step further.
    #[inline]
    fn take(&mut self, take: Take, before: u32, first: u32) {
        let node = self.event.extend(self.store, before, take.stage);
        let first = if first == NONE { self.event.kept.get() } else { first };
        if take.next != DEAD {
            self.grown = true;
            self.moved.push((take.next, Run { node, first }));
        }
        if take.complete {
            if take.next != DEAD {
                self.store.hold(node);
            }
            self.complete.push(node);
        }
    }
}
