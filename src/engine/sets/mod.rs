//! One pattern at work in one shard, with its partial matches as sets: all of a key that are in one state are one set,
//! whatever their number. An event that a stage takes adds one element to a set; sets are walked only when a match is
//! complete.
//!
//! For patterns whose partial matches all move alike when they are in one state (no condition on earlier events), end
//! with a window from the first event on, and are not needed singly otherwise: `pattern::nfa::storage` says which.

mod enumerate;
mod heap;

use std::collections::VecDeque;

use hashbrown::HashTable;
use hashbrown::hash_table::{Entry, OccupiedEntry};
use smallvec::SmallVec;

use self::enumerate::{Complete, Enumeration};
use self::heap::{Heaps, Id, NONE};
use super::matched::Kind;
use super::runner::{Found, Scratch};
use super::set::{Compiled, PatternSet};
use super::store::Store;
use super::table::{DEAD, NOTHING, START, StateId, Table, Take};
use super::truths::{Current, KeyHash, Truths};
use crate::event::key::{KeyHasher, same_key};
use crate::event::{Row, Timestamp};

/// The partial matches of a key in one state.
#[derive(Debug, Clone, Copy)]
struct StateSet {
    state: StateId,
    set: Id,
}

/// What a key holds; nothing is in vain: a key without sets does not exist, nor does a set without live paths.
#[derive(Debug)]
struct Keyed {
    hash: u64,
    sets: SmallVec<[StateSet; 2]>,
}

/// The end of the window of what began at one event.
#[derive(Debug, Clone, Copy)]
struct Deadline {
    at: Timestamp,
    /// The last element that the event began with.
    begun: Id,
}

/// An event that a stage took after the paths of a set.
#[derive(Debug, Clone, Copy)]
struct Taken {
    stage: u16,
    prefix: Id,
    to: StateId,
}

/// One pattern in one shard.
#[derive(Debug)]
pub(crate) struct SetRunner {
    number: u32,
    table: Table,
    keys: HashTable<Keyed>,
    heaps: Heaps,
    /// In the order of time.
    deadlines: VecDeque<Deadline>,
    moved: Vec<StateSet>,
    taken: Vec<Taken>,
    /// What the current event made complete.
    complete: Vec<Complete>,
    enumeration: Enumeration,
}

impl SetRunner {
    pub(crate) fn new(number: u32, pattern: &Compiled) -> SetRunner {
        SetRunner {
            number,
            table: Table::new(pattern),
            keys: HashTable::new(),
            heaps: Heaps::new(),
            deadlines: VecDeque::new(),
            moved: Vec::new(),
            taken: Vec::new(),
            complete: Vec::new(),
            enumeration: Enumeration::default(),
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

    /// How many steps of partial matches are held.
    pub(crate) fn steps(&self) -> usize {
        self.heaps.len()
    }

    /// How many partial matches the sets stand for.
    pub(crate) fn partial_matches(&self) -> usize {
        self.heaps.paths(self.keys.iter().flat_map(|keyed| &keyed.sets).map(|of| of.set))
    }

    /// Takes an event. The time of the next deadline, if there was none before.
    pub(crate) fn event(
        &mut self,
        event: &Current<'_>,
        key: &KeyHash<'_>,
        scratch: &mut Scratch,
        store: &mut Store,
        found: &mut Vec<Found>,
    ) -> Option<Timestamp> {
        let pattern = &event.set.patterns[self.number as usize];
        if !pattern.reads(&event.row) || !(scratch.truths.ask(event, pattern) || pattern.sees_all) {
            return None;
        }
        let before = self.next_deadline();
        self.concerned(event, pattern, key, &scratch.truths, store, found);
        if before.is_none() { self.next_deadline() } else { None }
    }

    /// Takes an event that some condition may be true of.
    fn concerned(
        &mut self,
        event: &Current<'_>,
        pattern: &Compiled,
        key: &KeyHash<'_>,
        truths: &Truths,
        store: &mut Store,
        found: &mut Vec<Found>,
    ) {
        let begin = cell(&mut self.table, pattern, truths, START);
        if begin == NOTHING && self.keys.is_empty() {
            return;
        }
        let (hash, slots) = (key.get(&event.row), key.slots());
        let heaps = &mut self.heaps;
        let is_same = |keyed: &Keyed| keyed.hash == hash && keyed.has_key(&event.row, slots, heaps, store);
        let mut entry = match self.keys.entry(hash, is_same, |keyed| keyed.hash) {
            Entry::Occupied(entry) => entry,
            Entry::Vacant(_) if begin == NOTHING => return,
            Entry::Vacant(entry) => entry.insert(Keyed { hash, sets: SmallVec::new() }),
        };
        let sets = &mut entry.get_mut().sets;

        // What all sets were before the event decides; they change afterwards.
        let (moved, taken) = (&mut self.moved, &mut self.taken);
        let complete = &mut self.complete;
        let mut take = |take: &Take, prefix| {
            let stage = take.stage as u16;
            if take.next != DEAD {
                taken.push(Taken { stage, prefix, to: take.next });
            }
            if take.complete {
                complete.push(Complete { stage: Some(stage), prefix });
            }
        };
        let mut ending = SmallVec::<[Id; 2]>::new();
        sets.retain(|&mut StateSet { state, set }| {
            let cell = cell(&mut self.table, pattern, truths, state);
            if cell == NOTHING {
                return true;
            }
            let cell = &self.table.cells[cell as usize];
            cell.takes.iter().for_each(|t| take(t, set));
            if cell.completes {
                ending.push(set);
            }
            if cell.keep != state && cell.keep != DEAD {
                moved.push(StateSet { state: cell.keep, set });
            }
            cell.keep == state
        });
        self.table.cells[begin as usize].takes.iter().for_each(|t| take(t, NONE));
        complete.extend(ending.into_iter().map(|prefix| Complete { stage: None, prefix }));

        for StateSet { state, set } in moved.drain(..) {
            let to = set_of(sets, state);
            *to = heaps.merge(*to, set);
        }
        let mut begun = None;
        for Taken { stage, prefix, to } in taken.drain(..) {
            let to = set_of(sets, to);
            let (set, element) = heaps.insert(*to, event.keep(store), stage, prefix, store);
            *to = set;
            if prefix == NONE {
                begun = Some(element);
            }
        }
        if let (Some(begun), Some(within)) = (begun, pattern.within) {
            let at = event.row.head.time.plus(within.span);
            self.deadlines.push_back(Deadline { at, begun });
        }
        if !self.complete.is_empty() {
            event.keep(store);
            found.push(Found { pattern: self.number, kind: Kind::Match, node: Found::SETS });
        }
        if sets.is_empty() {
            forget(entry);
        }
        if self.table.is_full() {
            let sets = self.keys.iter_mut().flat_map(|keyed| &mut keyed.sets);
            self.table.rebuild(pattern, sets.map(|of| &mut of.state));
        }
    }

    /// Hands out what the last event completed, each path as (kept event, stage), in order.
    pub(crate) fn matches(&mut self, event: u32, store: &Store, give: impl FnMut(&[(u32, u32)])) {
        self.enumeration.run(&self.complete, event, &mut self.heaps, store, give);
        self.complete.clear();
    }

    /// Forgets what the deadlines at `at` close.
    pub(crate) fn deadlines(
        &mut self,
        at: Timestamp,
        set: &PatternSet,
        hasher: &KeyHasher,
        store: &mut Store,
    ) {
        let pattern = &set.patterns[self.number as usize];
        let slots = &set.schema().keys[pattern.key];
        let heaps = &mut self.heaps;
        while let Some(&deadline) = self.deadlines.front().filter(|d| d.at <= at) {
            self.deadlines.pop_front();
            heaps.expire(deadline.begun);
            let Some(begun) = heaps.get(deadline.begun) else { continue };
            let row = store.row(begun.event);
            let hash = hasher.hash(&row, slots);
            let is_same = |keyed: &Keyed| keyed.hash == hash && keyed.has_key(&row, slots, heaps, store);
            let Ok(mut entry) = self.keys.find_entry(hash, is_same) else { continue };
            let sets = &mut entry.get_mut().sets;
            sets.retain(|of| heaps.is_live(of.set));
            if sets.is_empty() {
                forget(entry);
            }
        }
        heaps.release(store);
        if self.deadlines.is_empty() && self.deadlines.capacity() > 1024 {
            self.deadlines = VecDeque::new();
        }
    }
}

impl Keyed {
    fn has_key(&self, row: &Row<'_>, slots: &[usize], heaps: &Heaps, store: &Store) -> bool {
        let some_element = self.sets.first().and_then(|of| heaps.get(of.set));
        some_element.is_some_and(|element| same_key(&store.row(element.event), row, slots))
    }
}

/// Removes a key that holds nothing.
fn forget(entry: OccupiedEntry<'_, Keyed>) {
    let keys = entry.remove().1.into_table();
    if keys.len() * 8 < keys.capacity() && keys.capacity() > 1024 {
        keys.shrink_to(keys.len() * 2, |keyed| keyed.hash);
    }
}

/// What an event does to a set: no condition of these patterns depends on a partial match.
#[inline]
fn cell(table: &mut Table, pattern: &Compiled, truths: &Truths, state: StateId) -> u32 {
    let of = &table.states[state as usize];
    if table.is_narrow() {
        let truths = truths.narrow().0 & of.mask;
        return table.narrow_cell(pattern, state, truths);
    }
    let bits = truths.shared(&of.care).unwrap_or_default();
    table.cell(pattern, state, &bits)
}

/// The set of a state.
fn set_of(sets: &mut SmallVec<[StateSet; 2]>, state: StateId) -> &mut Id {
    let at = sets.iter().position(|of| of.state == state).unwrap_or_else(|| {
        sets.push(StateSet { state, set: NONE });
        sets.len() - 1
    });
    &mut sets[at].set
}
