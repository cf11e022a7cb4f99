//! One pattern at work in one shard: moves the partial matches of a key by an event, and closes them at deadlines.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::deadlines::Deadlines;
use super::key_state::{KeyState, Visit, Waiting, some_event};
use super::matched::Kind;
use super::matcher::{Closing, Restoring};
use super::saved::{Damaged, Loader, runs};
use super::set::{Compiled, Shape};
use super::skip;
use super::store::{NONE, Store};
use super::table::{DEAD, NOTHING, START, StateId, Table, Take};
use super::truths::{Current, KeyHash, Truths};
use crate::event::key::{has_key, same_key};
use crate::event::{Row, Timestamp};
use crate::pattern::plan::{Skip, Within};

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

/// What runners use while they take an event, and leave empty.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) truths: Truths,
    /// New partial matches, and those that changed their state.
    moved: Vec<(StateId, u32)>,
    /// The last steps of complete matches.
    complete: Vec<u32>,
    /// Patterns that have something to release when all that closes at one time is closed.
    pub(crate) closed: Vec<u32>,
}

/// One pattern in one shard.
#[derive(Debug)]
pub(crate) struct Runner {
    number: u32,
    keys: HashTable<Key>,
}

/// A key: bits of its hash, and the first group of what it holds.
#[derive(Debug, Clone, Copy)]
struct Key {
    hash: u32,
    first: u32,
}

impl Runner {
    pub(crate) fn new(number: u32) -> Runner {
        Runner { number, keys: HashTable::new() }
    }

    /// How many keys hold something.
    pub(crate) fn keys(&self) -> usize {
        self.keys.len()
    }

    /// The first group of a key that may have this hash.
    pub(crate) fn first_group(&self, hash: u64) -> Option<u32> {
        let hash = hash as u32;
        self.keys.find(spread(hash), |key| key.hash == hash).map(|key| key.first)
    }

    /// How many partial matches there are.
    pub(crate) fn partial_matches(&self, store: &Store) -> usize {
        self.keys.iter().map(|key| key.state().runs(store).count()).sum()
    }

    /// Takes an event. Whether a window is counted from it now.
    #[inline]
    pub(crate) fn event(
        &mut self,
        event: &Current<'_>,
        key: &KeyHash<'_>,
        table: &mut Table,
        scratch: &mut Scratch,
        store: &mut Store,
        found: &mut Vec<Found>,
    ) -> bool {
        let pattern = &event.set.patterns[self.number as usize];
        // Where no wait is strict, an event that no condition is true of changes nothing.
        (scratch.truths.ask(event, pattern) || pattern.sees_all)
            && self.concerned(event, pattern, key, table, scratch, store, found)
    }

    /// Takes an event that some condition may be true of.
    #[expect(clippy::too_many_arguments, reason = "all of it is what a shard has")]
    fn concerned(
        &mut self,
        event: &Current<'_>,
        pattern: &Compiled,
        key: &KeyHash<'_>,
        table: &mut Table,
        scratch: &mut Scratch,
        store: &mut Store,
        found: &mut Vec<Found>,
    ) -> bool {
        let Scratch { truths, moved, complete, .. } = scratch;
        let shape = &event.set.shapes[pattern.shape as usize];
        let mut step = Step { event, pattern, shape, truths, table, moved, complete, is_grown: false };
        let begin =
            step.truths.cell(step.table, shape, START).unwrap_or_else(|| step.cell(store, START, NONE));
        if begin == NOTHING && self.keys.is_empty() {
            return false;
        }
        let hash = key.get(event.row) as u32;
        let is_same = |known: &Key| is_key(store, known, hash, event.row, key.slots());
        let entry = if begin == NOTHING {
            match self.keys.find_entry(spread(hash), is_same) {
                Ok(entry) => Entry::Occupied(entry),
                Err(_) => return false,
            }
        } else {
            self.keys.entry(spread(hash), is_same, |key| spread(key.hash))
        };
        let mut state = match &entry {
            Entry::Occupied(entry) => entry.get().state(),
            Entry::Vacant(_) => KeyState { first: NONE },
        };
        state.visit(store, &mut step);
        let mut is_opened = false;
        for place in 0..step.table.cells[begin as usize].takes.len() {
            let take = step.table.cells[begin as usize].takes[place];
            is_opened |= take.next != DEAD;
            step.take(store, take, NONE);
        }
        let is_grown = step.is_grown;
        for (to, node) in moved.drain(..) {
            state.add(store, to, node);
        }
        settle(&mut state, complete, pattern.skip, event.moment, store);
        let number = self.number;
        found.extend(complete.drain(..).map(|node| Found { pattern: number, kind: Kind::Match, node }));
        match entry {
            Entry::Occupied(entry) if state.first == NONE => {
                entry.remove();
                self.shrink();
            }
            Entry::Occupied(mut entry) => entry.get_mut().first = state.first,
            Entry::Vacant(entry) if state.first != NONE => {
                entry.insert(Key { hash, first: state.first });
            }
            Entry::Vacant(_) => {}
        }
        pattern.within.is_some_and(|within| if within.between_events { is_grown } else { is_opened })
    }

    /// Closes the window that is counted from a kept event.
    pub(crate) fn close(
        &mut self,
        closing: &Closing<'_>,
        begun: u32,
        table: &Table,
        scratch: &mut Scratch,
        store: &mut Store,
        found: &mut Vec<Found>,
    ) {
        let number = self.number;
        let pattern = &closing.set.patterns[number as usize];
        let Some(within) = pattern.within else { return };
        let slots = &closing.set.schema().keys[pattern.key];
        let row = store.row(begun);
        let hash = closing.hasher.hash(&row, slots) as u32;
        let is_same = |known: &Key| is_key(store, known, hash, &row, slots);
        let Ok(mut entry) = self.keys.find_entry(spread(hash), is_same) else { return };
        let mut state = entry.get().state();
        let complete = &mut scratch.complete;
        state.visit(store, &mut Close { at: closing.at, within, number, pattern, table, complete, found });
        settle(&mut state, complete, pattern.skip, closing.moment, store);
        found.extend(complete.drain(..).map(|node| Found { pattern: number, kind: Kind::Match, node }));
        if state.first == NONE {
            entry.remove();
            self.shrink();
        } else {
            entry.get_mut().first = state.first;
        }
    }

    /// Encodes all keys and drops them.
    pub(crate) fn unload(&mut self, table: &Table, store: &mut Store) -> Vec<Vec<u8>> {
        let mut saved = Vec::new();
        for key in self.keys.drain() {
            let mut key = key.state();
            saved.push(runs::encode(key, store, table));
            key.clear(store);
        }
        saved
    }

    /// Goes on with a key that was encoded.
    pub(crate) fn load(
        &mut self,
        bytes: &[u8],
        loader: &mut Loader,
        restoring: Restoring<'_>,
        deadlines: &mut Deadlines,
        store: &mut Store,
    ) -> Result<(), Damaged> {
        let Restoring { set, hasher, table } = restoring;
        let pattern = &set.patterns[self.number as usize];
        let slots = &set.schema().keys[pattern.key];
        let mut key = runs::load(loader, bytes, pattern, set, store, table)?;
        let row = store.row(some_event(store, key.first));
        let hash = hasher.hash(&row, slots) as u32;
        let is_same = |known: &Key| is_key(store, known, hash, &row, slots);
        if !has_key(row.slots, slots) || self.keys.find(spread(hash), is_same).is_some() {
            key.clear(store);
            return Err(Damaged { at: 0, expected: "a key that is not there yet" });
        }
        if let Some(within) = pattern.within {
            for run in key.runs(store) {
                let step = store.nodes[run];
                let event = if within.between_events { step.event } else { step.first };
                let at = store.time(event).plus(within.span);
                deadlines.load(at, self.number, event, store.sequence(event));
            }
        }
        self.keys.insert_unique(spread(hash), Key { hash, first: key.first }, |key| spread(key.hash));
        Ok(())
    }

    /// Gives memory back where few keys are left.
    fn shrink(&mut self) {
        if self.keys.len() * 8 < self.keys.capacity() && self.keys.capacity() > 1024 {
            self.keys.shrink_to(self.keys.len() * 2, |key| spread(key.hash));
        }
    }

    /// The groups of its partial matches.
    pub(crate) fn groups(&self, store: &Store) -> Vec<u32> {
        self.keys.iter().flat_map(|key| key.state().states(store)).collect()
    }
}

/// Half of a key's hash as the key table wants it: all bits matter in both ends of the number.
#[inline]
pub(crate) fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Key {
    fn state(self) -> KeyState {
        KeyState { first: self.first }
    }
}

/// Whether a key is that of a row.
#[inline]
fn is_key(store: &Store, key: &Key, hash: u32, row: &Row<'_>, slots: &[usize]) -> bool {
    key.hash == hash && same_key(&store.row(some_event(store, key.first)), row, slots)
}

/// Leaves in `complete` the matches of a key that are taken now, by the skip strategy.
fn settle(state: &mut KeyState, complete: &mut Vec<u32>, skip: Skip, moment: u64, store: &mut Store) {
    if skip == Skip::NoSkip || (complete.is_empty() && state.waiting(store).is_none()) {
        return;
    }
    for node in complete.drain(..) {
        let first = store.sequence(store.nodes[node].first);
        state.waiting_mut(store).push(Waiting { node, first, moment });
    }
    skip::take(state, skip, store, complete);
}

/// Moves the partial matches of a key by an event.
struct Step<'a, 'e> {
    event: &'a Current<'e>,
    pattern: &'a Compiled,
    shape: &'a Shape,
    truths: &'a Truths,
    table: &'a mut Table,
    moved: &'a mut Vec<(StateId, u32)>,
    complete: &'a mut Vec<u32>,
    /// Whether some partial match accepted the event and goes on.
    is_grown: bool,
}

impl Step<'_, '_> {
    /// What the event does to a partial match in a state.
    fn cell(&mut self, store: &Store, state: StateId, node: u32) -> u32 {
        let Step { event, pattern, truths, table, .. } = self;
        truths.cell_of_run(table, state, event, pattern, store, node)
    }

    /// A partial match that goes one step further.
    #[inline]
    fn take(&mut self, store: &mut Store, take: Take, before: u32) {
        let node = self.event.extend(self.pattern, store, before, take.stage);
        if take.next != DEAD {
            self.is_grown = true;
            self.moved.push((take.next, node));
        }
        if take.complete {
            if take.next != DEAD {
                store.hold(node);
            }
            self.complete.push(node);
        }
    }
}

impl Visit for Step<'_, '_> {
    /// The cell, where it is the same for all.
    type OfState = Option<u32>;

    #[inline]
    fn state(&mut self, _: &mut Store, state: StateId) -> Option<Option<u32>> {
        match self.truths.cell(self.table, self.shape, state) {
            Some(NOTHING) => None,
            cell => Some(cell),
        }
    }

    #[inline]
    fn stays(&mut self, store: &mut Store, cell: &Option<u32>, state: StateId, node: u32) -> bool {
        let number = match cell {
            Some(cell) => *cell,
            None => self.cell(store, state, node),
        };
        if number == NOTHING {
            return true;
        }
        for place in 0..self.table.cells[number as usize].takes.len() {
            self.take(store, self.table.cells[number as usize].takes[place], node);
        }
        let cell = &self.table.cells[number as usize];
        if cell.completes {
            store.hold(node);
            self.complete.push(node);
        }
        if cell.keep == DEAD {
            store.release(node);
        } else if cell.keep != state {
            self.moved.push((cell.keep, node));
        }
        cell.keep == state
    }
}

/// Closes partial matches at a deadline.
struct Close<'a> {
    at: Timestamp,
    within: Within,
    number: u32,
    pattern: &'a Compiled,
    table: &'a Table,
    complete: &'a mut Vec<u32>,
    found: &'a mut Vec<Found>,
}

impl Visit for Close<'_> {
    /// Whether a partial match completes, and whether it times out.
    type OfState = (bool, bool);

    fn state(&mut self, _: &mut Store, state: StateId) -> Option<(bool, bool)> {
        let state = &self.table.states[state as usize];
        Some((state.at_deadline, self.pattern.emit_timeouts && state.waits))
    }

    fn stays(&mut self, store: &mut Store, of: &(bool, bool), _: StateId, node: u32) -> bool {
        let step = store.nodes[node];
        let from = if self.within.between_events { step.event } else { step.first };
        if store.time(from).plus(self.within.span) > self.at {
            return true;
        }
        let (completes, times_out) = *of;
        if times_out {
            store.hold(node);
            self.found.push(Found { pattern: self.number, kind: Kind::Timeout, node });
        }
        if completes {
            self.complete.push(node);
        } else {
            store.release(node);
        }
        false
    }
}
