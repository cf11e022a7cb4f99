//! One pattern at work in one shard: moves the partial matches of a key by an event, and closes them at deadlines.

mod cold;
mod inspect;
mod limits;

use super::changed::{Changes, Giver, Tag};
use super::deadlines::Deadlines;
use super::key_state::{KeyState, Visit, Waiting};
use super::keys::Keys;
use super::life::Life;
use super::matched::Kind;
use super::matcher::{Closing, Restoring, hash_of};
use super::saved::{Damaged, Loader, runs};
use super::set::{Compiled, Shape};
use super::skip;
use super::store::{NONE, Store};
use super::table::{DEAD, NOTHING, START, StateId, Table, Take};
use super::truths::{Current, KeyHash, Truths};
use crate::event::key::same_key;
use crate::event::{Fields, Timestamp};
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
    /// By key: what a `KeyState` is.
    keys: Keys,
    changes: Changes,
    /// How many partial matches the key of the last event holds, where there is a budget.
    pub(crate) held_by_key: u32,
}

impl Runner {
    pub(crate) fn new(number: u32) -> Runner {
        Runner { number, keys: Keys::default(), changes: Changes::default(), held_by_key: 0 }
    }

    pub(crate) fn renumber(&mut self, number: u32) {
        self.number = number;
        self.changes = Changes::default();
    }

    pub(crate) fn clear(&mut self, store: &mut Store) {
        std::mem::take(&mut self.keys).iter().for_each(|first| KeyState { first }.clear(store));
        self.changes = Changes::default();
    }

    /// How many keys hold something.
    pub(crate) fn keys(&self) -> usize {
        self.keys.len()
    }

    /// What a key holds that may have this hash.
    pub(crate) fn first_of(&self, hash: u64) -> Option<KeyState> {
        let first = self.keys.get(self.keys.find(hash as u32, |_| true)?);
        Some(KeyState { first })
    }

    /// Whether a key of this hash may hold something.
    #[inline]
    pub(crate) fn may_hold(&self, hash: u64) -> bool {
        self.keys.find(hash as u32, |_| true).is_some()
    }

    /// How many partial matches there are.
    pub(crate) fn partial_matches(&self, store: &Store) -> usize {
        self.states().map(|key| key.runs(store).count()).sum()
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
        let (is_grown, is_changed) = (false, false);
        let mut step = Step { event, pattern, shape, truths, table, moved, complete, is_grown, is_changed };
        let begin = match pattern.life {
            Life::Active => step.truths.cell(step.table, shape, START),
            _ => Some(NOTHING),
        };
        let begin = begin.unwrap_or_else(|| step.cell(store, START, NONE));
        if begin == NOTHING && self.keys.is_empty() {
            return false;
        }
        let hash = key.get(event.row) as u32;
        let place = self.keys.find(hash, |first| is_key(store, first, event.row, key.slots()));
        if place.is_none() && begin == NOTHING {
            return false;
        }
        let first = place.map_or(NONE, |place| self.keys.get(place));
        let mut state = KeyState { first };
        state.visit(store, &mut step);
        let mut is_opened = false;
        for place in 0..step.table.cells[begin as usize].takes.len() {
            let take = step.table.cells[begin as usize].takes[place];
            is_opened |= take.next != DEAD;
            step.take(store, take, NONE);
        }
        let (is_grown, is_changed) = (step.is_grown, step.is_changed || begin != NOTHING);
        for (to, node) in moved.drain(..) {
            state.add(store, to, node);
        }
        settle(&mut state, complete, pattern.skip, event.moment, store);
        let number = self.number;
        found.extend(complete.drain(..).map(|node| Found { pattern: number, kind: Kind::Match, node }));
        if pattern.budget.is_some() {
            self.held_by_key = state.count(store);
        }
        match place {
            Some(place) if state.first == NONE => {
                self.changes.end(self.keys.remove(place), event.row, key.slots());
            }
            Some(place) if is_changed => {
                self.keys.set(place, state.first);
                self.changes.touch(self.keys.tag_mut(place));
            }
            None if state.first != NONE => self.keys.insert(self.changes.begin(hash), state.first),
            _ => {}
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
        let Some(place) = self.keys.find(hash, |first| is_key(store, first, &row, slots)) else { return };
        let mut state = KeyState { first: self.keys.get(place) };
        let complete = &mut scratch.complete;
        // If the key ends, the event says which one it was.
        store.hold_event(begun);
        let (at, is_changed) = (closing.at, false);
        let mut close = Close { at, within, number, pattern, table, complete, found, is_changed };
        state.visit(store, &mut close);
        let is_changed = close.is_changed;
        settle(&mut state, complete, pattern.skip, closing.moment, store);
        found.extend(complete.drain(..).map(|node| Found { pattern: number, kind: Kind::Match, node }));
        if state.first == NONE {
            self.changes.end(self.keys.remove(place), &store.row(begun), slots);
        } else if is_changed {
            self.keys.set(place, state.first);
            self.changes.touch(self.keys.tag_mut(place));
        }
        store.release_event(begun);
    }

    /// Changes are noted from now on.
    pub(crate) fn turn_on(&mut self) {
        self.changes.turn_on();
    }

    /// Gives the keys that changed, or all.
    pub(crate) fn give(&mut self, all: bool, giver: &mut Giver<'_>) {
        let Runner { keys, changes, .. } = self;
        let (store, table) = (giver.store, giver.table);
        let mut give = |tag: &mut Tag, first: u32, changes: &mut Changes| {
            let key = KeyState { first };
            giver.give(changes, key.some_event(store), &runs::encode(key, store, table));
            tag.give();
        };
        match changes.start(all) {
            None => keys.tags().for_each(|(tag, first)| give(tag, first, changes)),
            Some(touched) => {
                for hash in touched {
                    while let Some((tag, first)) = keys.changed(hash) {
                        give(tag, first, changes);
                    }
                }
            }
        }
        giver.give_ended(changes);
    }

    /// Encodes all keys and drops them.
    pub(crate) fn unload(&mut self, table: &Table, store: &mut Store) -> Vec<Vec<u8>> {
        let mut saved = Vec::new();
        self.changes = Changes::default();
        for first in std::mem::take(&mut self.keys).iter() {
            let mut key = KeyState { first };
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
        let Restoring { set, hasher, table, given } = restoring;
        let pattern = &set.patterns[self.number as usize];
        let slots = &set.schema().keys[pattern.key];
        let mut key = runs::load(loader, bytes, pattern, set, store, table)?;
        let row = store.row(key.some_event(store));
        let hash = hash_of(&row, slots, hasher, given)
            .filter(|&hash| self.keys.find(hash, |first| is_key(store, first, &row, slots)).is_none());
        let Some(hash) = hash else {
            key.clear(store);
            return Err(Damaged { at: 0, expected: "a key that is not there yet" });
        };
        if let Some(within) = pattern.within {
            for run in key.runs(store) {
                let step = store.nodes[run];
                let event = if within.between_events { step.event } else { step.first };
                let at = store.time(event).plus(within.span);
                deadlines.load(at, self.number, event, store.sequence(event));
            }
        }
        self.keys.insert(self.changes.load(hash, given), key.first);
        Ok(())
    }

    /// What its keys hold.
    pub(crate) fn states(&self) -> impl Iterator<Item = KeyState> {
        self.keys.iter().map(|first| KeyState { first })
    }
}

/// Whether a key that holds something is that of a row.
#[inline]
fn is_key<'a>(store: &Store, first: u32, row: &impl Fields<'a>, slots: &[usize]) -> bool {
    same_key(&store.row(KeyState { first }.some_event(store)), row, slots)
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
    /// Whether it did anything to a partial match.
    is_changed: bool,
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
        self.is_changed = true;
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
    /// Whether any is closed.
    is_changed: bool,
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
        self.is_changed = true;
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
