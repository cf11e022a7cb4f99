//! One pattern at work in one shard, with its partial matches as sets: all of a key that are in one state are one set,
//! whatever their number. An event that a stage takes adds one element to a set; sets are walked only when a match is
//! complete.
//!
//! For patterns whose partial matches all move alike when they are in one state (no condition on earlier events), end
//! with a window from the first event on, and are not needed singly otherwise: `pattern::nfa::storage` says which.

mod enumerate;
mod heap;
mod inspect;
mod limits;
mod saved;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use smallvec::SmallVec;

use self::enumerate::{Complete, Enumeration};
use self::heap::{Heaps, Id, NONE, Part};
use super::changed::{Changes, Giver, Tag};
use super::deadlines::Deadlines;
use super::keys::spread;
use super::life::Life;
use super::matched::Kind;
use super::matcher::{Closing, Restoring, hash_of};
use super::runner::{Found, Scratch};
use super::saved::{Damaged, Loader};
use super::store::Store;
use super::table::{DEAD, NOTHING, START, StateId, Table, Take};
use super::tagged::{self, Tagged, forget};
use super::truths::{Current, KeyHash, Truths};
use crate::event::Fields;
use crate::event::key::same_key;

/// The partial matches of a key in one state.
#[derive(Debug, Clone, Copy)]
struct StateSet {
    state: StateId,
    set: Id,
}

/// What a key holds; nothing is in vain: a key without sets does not exist, nor does a set without live paths.
#[derive(Debug)]
struct Keyed {
    tag: Tag,
    /// How many steps the paths have together, at most.
    steps: u32,
    sets: SmallVec<[StateSet; 2]>,
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
    keys: HashTable<Keyed>,
    changes: Changes,
    heaps: Heaps,
    moved: Vec<StateSet>,
    taken: Vec<Taken>,
    /// What the current event made complete.
    complete: Vec<Complete>,
    enumeration: Enumeration,
    /// How many elements no set has any more, though they are within the window.
    in_vain: usize,
    /// How many steps the key of the last event holds at most, where there is a budget.
    pub(crate) held_by_key: u32,
}

impl SetRunner {
    pub(crate) fn new(number: u32) -> SetRunner {
        SetRunner {
            number,
            keys: HashTable::new(),
            changes: Changes::default(),
            heaps: Heaps::new(),
            moved: Vec::new(),
            taken: Vec::new(),
            complete: Vec::new(),
            enumeration: Enumeration::default(),
            in_vain: 0,
            held_by_key: 0,
        }
    }

    pub(crate) fn renumber(&mut self, number: u32) {
        self.number = number;
        self.changes = Changes::default();
    }

    pub(crate) fn clear(&mut self, store: &mut Store) {
        self.keys = HashTable::new();
        self.changes = Changes::default();
        self.heaps.clear(store);
        self.in_vain = 0;
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

    /// Takes an event. Whether a window is counted from it now.
    pub(crate) fn event(
        &mut self,
        event: &Current<'_>,
        key: &KeyHash<'_>,
        table: &mut Table,
        truths: &mut Truths,
        store: &mut Store,
        found: &mut Vec<Found>,
    ) -> bool {
        let pattern = &event.set.patterns[self.number as usize];
        let shape = &event.set.shapes[pattern.shape as usize];
        if !(truths.ask(event, pattern) || pattern.sees_all) {
            return false;
        }
        // No condition of these patterns depends on a partial match.
        let cell = |table: &mut Table, state| truths.cell(table, shape, state).unwrap_or(NOTHING);
        let begin = if pattern.life == Life::Active { cell(table, START) } else { NOTHING };
        if begin == NOTHING && self.keys.is_empty() {
            return false;
        }
        if self.in_vain > 0 {
            self.collect(store);
        }
        let tag = Tag::new(key.get(event.row) as u32);
        let heaps = &mut self.heaps;
        let is_same = |keyed: &Keyed| keyed.is_key(tag, event.row, key.slots(), heaps, store);
        let mut entry = match self.keys.entry(spread(tag.hash()), is_same, Keyed::spread) {
            Entry::Occupied(entry) => entry,
            Entry::Vacant(_) if begin == NOTHING => return false,
            Entry::Vacant(entry) => entry.insert(Keyed { tag, steps: 0, sets: SmallVec::new() }),
        };
        let Keyed { sets, steps, .. } = entry.get_mut();

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
        let mut is_changed = begin != NOTHING;
        sets.retain(|&mut StateSet { state, set }| {
            let cell = cell(table, state);
            if cell == NOTHING {
                return true;
            }
            is_changed = true;
            let cell = &table.cells[cell as usize];
            cell.takes.iter().for_each(|t| take(t, set));
            if cell.completes {
                ending.push(set);
            }
            if cell.keep != state && cell.keep != DEAD {
                moved.push(StateSet { state: cell.keep, set });
            }
            cell.keep == state
        });
        table.cells[begin as usize].takes.iter().for_each(|t| take(t, NONE));
        complete.extend(ending.into_iter().map(|prefix| Complete { stage: None, prefix }));

        for StateSet { state, set } in moved.drain(..) {
            let to = set_of(sets, state);
            *to = heaps.merge(*to, set);
        }
        let mut is_begun = false;
        *steps = steps.saturating_add(taken.len() as u32);
        self.held_by_key = *steps;
        for Taken { stage, prefix, to } in taken.drain(..) {
            let to = set_of(sets, to);
            *to = heaps.insert(*to, event.keep(store), stage, prefix, store);
            is_begun |= prefix == NONE;
        }
        if !self.complete.is_empty() {
            event.keep(store);
            found.push(Found { pattern: self.number, kind: Kind::Match, node: Found::SETS });
        }
        if sets.is_empty() {
            self.changes.end(forget(entry), event.row, key.slots());
        } else if is_changed {
            self.changes.touch(&mut entry.get_mut().tag);
        }
        is_begun
    }

    pub(crate) fn changes_mut(&mut self) -> &mut Changes {
        &mut self.changes
    }

    /// About how many bytes its keys and their elements take.
    pub(crate) fn bytes(&self) -> usize {
        self.keys.len() * 2 * size_of::<Keyed>() + self.heaps.len() * size_of::<heap::Element>()
    }

    /// Changes are noted from now on.
    pub(crate) fn turn_on(&mut self) {
        self.changes.turn_on();
    }

    /// Gives the keys that changed, or all.
    pub(crate) fn give(&mut self, all: bool, giver: &mut Giver<'_>) {
        let SetRunner { keys, changes, heaps, .. } = self;
        let (store, table) = (giver.store, giver.table);
        let give = |keyed: &mut Keyed, changes: &mut Changes| {
            if let Some(event) = keyed.some_event(heaps) {
                giver.give(changes, event, &saved::encode(&keyed.sets, heaps, store, table));
            }
            keyed.tag.give();
        };
        tagged::give(keys, changes, all, give);
        giver.give_ended(changes);
    }

    /// Encodes all keys and drops them.
    pub(crate) fn unload(&mut self, table: &Table, store: &mut Store) -> Vec<Vec<u8>> {
        let heaps = &self.heaps;
        self.changes = Changes::default();
        let keys = self.keys.drain().map(|keyed| saved::encode(&keyed.sets, heaps, store, table)).collect();
        self.heaps.clear(store);
        keys
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
        let loaded = saved::read(loader, bytes, pattern, set, store, table)?;
        let root = loaded.sets.first().and_then(|(_, root)| loaded.parts.get(*root as usize));
        let Some(row) = root.map(|root| store.row(root.event)) else {
            return Err(Damaged { at: 0, expected: "a set" });
        };
        let heaps = &self.heaps;
        let is_there = |tag: Tag| {
            let is_same = |keyed: &Keyed| keyed.is_key(tag, &row, slots, heaps, store);
            self.keys.find(spread(tag.hash()), is_same).is_some()
        };
        let hash = hash_of(&row, slots, hasher, given).filter(|&hash| !is_there(Tag::new(hash)));
        let Some(hash) = hash else {
            return Err(Damaged { at: 0, expected: "a key that is not there yet" });
        };
        let mut ids: Vec<Id> = Vec::new();
        for part in &loaded.parts {
            let id = |number: Id| ids.get(number as usize).copied().unwrap_or(NONE);
            let [prefix, left, right, origin] = [part.prefix, part.left, part.right, part.origin].map(id);
            if let Some(within) = pattern.within
                && prefix == NONE
                && origin == NONE
            {
                let at = store.time(part.event).plus(within.span);
                deadlines.load(at, self.number, part.event, store.sequence(part.event));
            }
            ids.push(self.heaps.restore(Part { prefix, left, right, origin, ..*part }, store));
        }
        let sets = loaded.sets.iter().map(|&(state, root)| StateSet { state, set: ids[root as usize] });
        let steps = loaded.parts.iter().filter(|part| part.origin == NONE).count() as u32;
        let keyed = Keyed { tag: self.changes.load(hash, given), steps, sets: sets.collect() };
        self.keys.insert_unique(keyed.spread(), keyed, Keyed::spread);
        Ok(())
    }

    /// The states that its keys are in.
    pub(crate) fn states(&mut self) -> impl Iterator<Item = &mut StateId> {
        self.keys.iter_mut().flat_map(|keyed| &mut keyed.sets).map(|of| &mut of.state)
    }

    /// Hands out what the last event completed, each path as (kept event, stage), in order, but not more than `most`; how
    /// many more there are.
    pub(crate) fn matches(
        &mut self,
        event: u32,
        store: &Store,
        most: u64,
        give: impl FnMut(&[(u32, u32)]),
    ) -> u64 {
        let left_out = self.enumeration.run(&self.complete, event, &mut self.heaps, store, most, give);
        self.complete.clear();
        left_out
    }

    /// Closes what began with a kept event or before. The elements stay until `release`, so that all keys of which
    /// something closes at this time are found.
    pub(crate) fn close(&mut self, closing: &Closing<'_>, begun: u32, scratch: &mut Scratch, store: &Store) {
        scratch.closed.push(self.number);
        let pattern = &closing.set.patterns[self.number as usize];
        let slots = &closing.set.schema().keys[pattern.key];
        let heaps = &mut self.heaps;
        heaps.expire(store.time(begun));
        let row = store.row(begun);
        let tag = Tag::new(closing.hasher.hash(&row, slots) as u32);
        let is_same = |keyed: &Keyed| keyed.is_key(tag, &row, slots, heaps, store);
        if let Ok(mut entry) = self.keys.find_entry(spread(tag.hash()), is_same) {
            let sets = &mut entry.get_mut().sets;
            sets.retain(|of| heaps.is_live(of.set));
            if sets.is_empty() {
                self.changes.end(forget(entry), &row, slots);
            } else {
                self.changes.touch(&mut entry.get_mut().tag);
            }
        }
    }

    /// Forgets the elements of what was closed.
    pub(crate) fn release(&mut self, store: &mut Store) {
        self.heaps.release(store);
    }
}

impl Tagged for Keyed {
    #[inline]
    fn tag(&self) -> Tag {
        self.tag
    }
}

impl Keyed {
    fn some_event(&self, heaps: &Heaps) -> Option<u32> {
        self.sets.first().and_then(|of| heaps.get(of.set)).map(|element| element.event)
    }

    /// Whether it is the key of a row, which has this hash.
    fn is_key<'a>(
        &self,
        tag: Tag,
        row: &impl Fields<'a>,
        slots: &[usize],
        heaps: &Heaps,
        store: &Store,
    ) -> bool {
        self.tag.hash() == tag.hash()
            && self.some_event(heaps).is_some_and(|event| same_key(&store.row(event), row, slots))
    }
}

/// The set of a state.
fn set_of(sets: &mut SmallVec<[StateSet; 2]>, state: StateId) -> &mut Id {
    let at = sets.iter().position(|of| of.state == state).unwrap_or_else(|| {
        sets.push(StateSet { state, set: NONE });
        sets.len() - 1
    });
    &mut sets[at].set
}
