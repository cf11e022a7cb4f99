//! One pattern with a skip strategy at work in one shard: not partial matches are held, but the events that they began
//! with, all of a key together that are in the same states.
//!
//! Of the matches that begin with one event such a pattern takes one at most: the strategy drops all others, and what
//! could still become one. Which one that is, is known as soon as any is complete (`rankings`), and with it the start is
//! done: it only waits until no earlier start is alive. Starts in the same states stay together for ever, so an event
//! moves groups of them, however many they are (`starts`); what they accept from there on is the same, and is noted
//! once (`history`). A path is put together when its match is taken.
//!
//! `pattern::nfa::storage` says for which patterns.

mod cold;
mod history;
mod inspect;
mod limits;
mod rankings;
mod saved;
mod starts;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use smallvec::SmallVec;

use self::history::History;
use self::rankings::{BEGINNING, Move, RankingId, Rankings};
use self::starts::{Start, Starts};
use super::changed::{Changes, Giver, Tag};
use super::deadlines::Deadlines;
use super::keys::spread;
use super::life::Life;
use super::matched::Kind;
use super::matcher::{Closing, Restoring, hash_of};
use super::runner::Found;
use super::saved::{Damaged, Loader};
use super::skip;
use super::store::{NONE, Store};
use super::table::{NOTHING, START, StateId, Table};
use super::tagged::{self, Tagged, forget};
use super::truths::{Current, KeyHash, Truths};
use crate::event::Fields;
use crate::event::key::same_key;
use crate::pattern::plan::Skip;

/// The starts of a key whose partial matches are in the same states.
#[derive(Debug, Clone, Copy)]
struct Group {
    ranking: RankingId,
    /// Never empty.
    starts: u32,
    /// Where the paths of all of them go on.
    segment: u32,
}

/// What a key holds.
#[derive(Debug)]
struct Keyed {
    tag: Tag,
    /// How many starts there are, at most.
    starts: u32,
    /// One for each ranking.
    groups: SmallVec<[Group; 2]>,
    /// The starts whose match is complete and waits.
    complete: u32,
}

/// The starts of all keys, and their paths.
#[derive(Debug, Default)]
struct Held {
    starts: Starts,
    history: History,
}

/// One pattern in one shard.
#[derive(Debug)]
pub(crate) struct GroupRunner {
    number: u32,
    keys: HashTable<Keyed>,
    changes: Changes,
    held: Held,
    rankings: Rankings,
    /// By ranking, the place of its group, where it is one of that ranking.
    seats: Vec<u32>,
    path: Vec<(u32, u32)>,
    /// How many starts the key of the last event has at most, where there is a budget.
    pub(crate) held_by_key: u32,
}

impl GroupRunner {
    pub(crate) fn new(number: u32) -> GroupRunner {
        GroupRunner {
            number,
            keys: HashTable::new(),
            changes: Changes::default(),
            held: Held::default(),
            rankings: Rankings::new(),
            seats: Vec::new(),
            path: Vec::new(),
            held_by_key: 0,
        }
    }

    pub(crate) fn renumber(&mut self, number: u32) {
        self.number = number;
        self.changes = Changes::default();
    }

    pub(crate) fn clear(&mut self, store: &mut Store) {
        for mut keyed in std::mem::take(&mut self.keys) {
            self.held.clear(&mut keyed, store);
        }
        self.changes = Changes::default();
    }

    /// How many keys hold something.
    pub(crate) fn keys(&self) -> usize {
        self.keys.len()
    }

    /// How many starts and segments of paths are held.
    pub(crate) fn steps(&self) -> usize {
        self.held.starts.len() + self.held.history.segments.len()
    }

    /// How many partial matches may become a match that is taken.
    pub(crate) fn partial_matches(&self) -> usize {
        let of = |group: &Group| {
            self.rankings.states(group.ranking).len() * self.held.starts.all(group.starts).count()
        };
        self.keys.iter().flat_map(|keyed| &keyed.groups).map(of).sum()
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
        let begins = pattern.life == Life::Active && cell(table, START) != NOTHING;
        if !begins && self.keys.is_empty() {
            return false;
        }
        let GroupRunner { keys, changes, held, rankings, seats, path, number, held_by_key } = self;
        let tag = Tag::new(key.get(event.row) as u32);
        let is_same = |keyed: &Keyed| held.is_key(keyed, tag, event.row, key.slots(), store);
        let mut entry = match keys.entry(spread(tag.hash()), is_same, Keyed::spread) {
            Entry::Occupied(entry) => entry,
            Entry::Vacant(_) if !begins => return false,
            Entry::Vacant(entry) => {
                entry.insert(Keyed { tag, starts: 0, groups: SmallVec::new(), complete: NONE })
            }
        };
        let keyed = entry.get_mut();

        let (mut is_moved, mut is_changed) = (false, begins);
        keyed.groups.retain(|group| match rankings.step(group.ranking, table, cell) {
            None => true,
            Some(Move::Over) => {
                is_changed = true;
                held.prune(&mut group.starts, |_| true, store);
                false
            }
            Some(Move::Complete(origin)) => {
                is_changed = true;
                held.history.advance(group.segment, std::slice::from_ref(origin), event.keep(store), store);
                keyed.complete = held.starts.merge(keyed.complete, group.starts);
                false
            }
            Some(Move::To(ranking, origins)) => {
                is_changed = true;
                held.history.advance(group.segment, origins, event.keep(store), store);
                is_moved |= *ranking != group.ranking;
                group.ranking = *ranking;
                true
            }
        });
        if is_moved {
            seats.resize(rankings.len(), 0);
            held.unite(&mut keyed.groups, seats);
        }
        let mut is_begun = false;
        if begins && let Some(step) = rankings.step(BEGINNING, table, cell) {
            is_begun = held.begin(keyed, step, event, store);
            keyed.starts = keyed.starts.saturating_add(1);
        }
        *held_by_key = keyed.starts;
        held.settle(keyed, pattern.skip, store, path, |node| {
            found.push(Found { pattern: *number, kind: Kind::Match, node });
        });
        if keyed.is_empty() {
            changes.end(forget(entry), event.row, key.slots());
        } else if is_changed {
            changes.touch(&mut keyed.tag);
        }
        if rankings.is_full() {
            self.forget_rankings();
        }
        is_begun && pattern.within.is_some()
    }

    #[cold]
    fn forget_rankings(&mut self) {
        let groups = self.keys.iter_mut().flat_map(|keyed| &mut keyed.groups);
        self.rankings.retain(groups.map(|group| &mut group.ranking));
        self.seats.truncate(self.rankings.len());
    }

    /// Closes what began with a kept event or before.
    pub(crate) fn close(
        &mut self,
        closing: &Closing<'_>,
        begun: u32,
        store: &mut Store,
        found: &mut Vec<Found>,
    ) {
        let GroupRunner { keys, changes, held, path, number, .. } = self;
        let pattern = &closing.set.patterns[*number as usize];
        let slots = &closing.set.schema().keys[pattern.key];
        let row = store.row(begun);
        let tag = Tag::new(closing.hasher.hash(&row, slots) as u32);
        let is_same = |keyed: &Keyed| held.is_key(keyed, tag, &row, slots, store);
        let Ok(mut entry) = keys.find_entry(spread(tag.hash()), is_same) else { return };
        let keyed = entry.get_mut();
        // If the key ends, the event says which one it was.
        store.hold_event(begun);
        // The order of events follows time; starts of the same time have deadlines of their own.
        held.drop_until(&mut keyed.groups, store.sequence(begun) + 1, store);
        held.settle(keyed, pattern.skip, store, path, |node| {
            found.push(Found { pattern: *number, kind: Kind::Match, node });
        });
        if keyed.is_empty() {
            changes.end(forget(entry), &store.row(begun), slots);
        } else {
            changes.touch(&mut keyed.tag);
        }
        store.release_event(begun);
    }

    /// Changes are noted from now on.
    pub(crate) fn turn_on(&mut self) {
        self.changes.turn_on();
    }

    /// Gives the keys that changed, or all.
    pub(crate) fn give(&mut self, all: bool, giver: &mut Giver<'_>) {
        let GroupRunner { keys, changes, held, rankings, .. } = self;
        let (store, table) = (giver.store, giver.table);
        let give = |keyed: &mut Keyed, changes: &mut Changes| {
            let event = held.some_event(keyed, store);
            giver.give(changes, event, &saved::encode(keyed, held, rankings, store, table));
            keyed.tag.give();
        };
        tagged::give(keys, changes, all, give);
        giver.give_ended(changes);
    }

    /// Encodes all keys and drops them.
    pub(crate) fn unload(&mut self, table: &Table, store: &mut Store) -> Vec<Vec<u8>> {
        let GroupRunner { keys, changes, held, rankings, .. } = self;
        let mut saved = Vec::new();
        *changes = Changes::default();
        for mut keyed in keys.drain() {
            saved.push(saved::encode(&keyed, held, rankings, store, table));
            held.clear(&mut keyed, store);
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
        let GroupRunner { keys, changes, held, rankings, number, .. } = self;
        let pattern = &set.patterns[*number as usize];
        let slots = &set.schema().keys[pattern.key];
        let shape = &set.shapes[pattern.shape as usize];
        let mut saved = saved::Loading { held, rankings, store, table, shape, stages: pattern.stages.len() };
        let mut keyed = saved.key(loader, bytes, set)?;
        let row = store.row(held.some_event(&keyed, store));
        let is_there = |tag: Tag| {
            let is_same = |known: &Keyed| held.is_key(known, tag, &row, slots, store);
            keys.find(spread(tag.hash()), is_same).is_some()
        };
        let hash = hash_of(&row, slots, hasher, given).filter(|&hash| !is_there(Tag::new(hash)));
        let Some(hash) = hash else {
            held.clear(&mut keyed, store);
            return Err(Damaged { at: 0, expected: "a key that is not there yet" });
        };
        keyed.tag = changes.load(hash, given);
        keyed.starts = held.count(&keyed);
        if let Some(within) = pattern.within {
            for start in keyed.groups.iter().flat_map(|group| held.starts.all(group.starts)) {
                let event = store.nodes[start.nodes].event;
                let at = store.time(event).plus(within.span);
                deadlines.load(at, *number, event, start.sequence);
            }
        }
        keys.insert_unique(keyed.spread(), keyed, Keyed::spread);
        Ok(())
    }

    /// The states that its keys are in, for new numbers.
    pub(crate) fn states(&mut self) -> impl Iterator<Item = &mut StateId> {
        self.forget_rankings();
        self.rankings.renumber()
    }
}

impl Held {
    /// An event begins partial matches.
    fn begin(&mut self, keyed: &mut Keyed, step: &Move, event: &Current<'_>, store: &mut Store) -> bool {
        match step {
            Move::Over => false,
            Move::Complete(origin) => {
                let kept = event.keep(store);
                let node = store.extend(NONE, kept, origin.stage as usize);
                let start = self.starts.add(event.sequence, node, NONE);
                keyed.complete = self.starts.merge(keyed.complete, start);
                false
            }
            Move::To(ranking, origins) => {
                let stages = origins.iter().map(|origin| origin.stage as usize);
                let kept = event.keep(store);
                let nodes = first_steps(stages, store, |store, stage| store.extend(NONE, kept, stage));
                self.add(&mut keyed.groups, *ranking, event.sequence, nodes);
                true
            }
        }
    }

    /// Adds a start to the group of its ranking.
    fn add(&mut self, groups: &mut SmallVec<[Group; 2]>, ranking: RankingId, sequence: u64, nodes: u32) {
        let at = groups.iter().position(|group| group.ranking == ranking).unwrap_or_else(|| {
            groups.push(Group { ranking, starts: NONE, segment: self.history.open() });
            groups.len() - 1
        });
        let group = &mut groups[at];
        group.segment = self.history.plain(group.segment);
        self.history.hold(group.segment);
        let start = self.starts.add(sequence, nodes, group.segment);
        group.starts = self.starts.merge(group.starts, start);
    }

    /// Makes one group of those that have come to the same ranking. `seats` has a place for each ranking.
    fn unite(&mut self, groups: &mut SmallVec<[Group; 2]>, seats: &mut [u32]) {
        let mut count = 0;
        for at in 0..groups.len() {
            let group = groups[at];
            let seat = &mut seats[group.ranking as usize];
            match groups[..count].get_mut(*seat as usize).filter(|other| other.ranking == group.ranking) {
                Some(other) => {
                    other.starts = self.starts.merge(other.starts, group.starts);
                    other.segment = self.history.join(group.segment, other.segment);
                }
                None => {
                    *seat = count as u32;
                    groups[count] = group;
                    count += 1;
                }
            }
        }
        groups.truncate(count);
    }

    /// Takes the complete matches that no earlier start holds back, each of which drops others. `give` gets the last
    /// steps of the taken ones, with their references.
    fn settle(
        &mut self,
        keyed: &mut Keyed,
        skip: Skip,
        store: &mut Store,
        path: &mut Vec<(u32, u32)>,
        mut give: impl FnMut(u32),
    ) {
        while keyed.complete != NONE {
            let taken = self.starts.first(keyed.complete);
            let is_earlier = |group: &Group| self.starts.first(group.starts).sequence < taken.sequence;
            if keyed.groups.iter().any(is_earlier) {
                return;
            }
            self.history.path(&taken, store, path);
            give(store.insert_path(path));
            let until = skip::until(skip, path, store).max(taken.sequence + 1);
            self.drop_until(&mut keyed.groups, until, store);
            self.prune(&mut keyed.complete, |start| start.sequence < until, store);
        }
    }

    /// Drops the starts before a sequence number.
    fn drop_until(&mut self, groups: &mut SmallVec<[Group; 2]>, until: u64, store: &mut Store) {
        groups.retain(|group| {
            self.prune(&mut group.starts, |start| start.sequence < until, store);
            group.starts != NONE
        });
    }

    /// Drops the earliest starts of a heap.
    fn prune(&mut self, heap: &mut u32, is_over: impl Fn(&Start) -> bool, store: &mut Store) {
        let history = &mut self.history;
        *heap = self.starts.prune(*heap, is_over, |start| {
            history.release(start.segment, store);
            let mut node = start.nodes;
            while node != NONE {
                let next = store.nodes[node].next;
                store.release(node);
                node = next;
            }
        });
    }

    /// Drops all that a key holds.
    fn clear(&mut self, keyed: &mut Keyed, store: &mut Store) {
        self.drop_until(&mut keyed.groups, u64::MAX, store);
        self.prune(&mut keyed.complete, |_| true, store);
    }

    fn some_event(&self, keyed: &Keyed, store: &Store) -> u32 {
        let starts = keyed.groups.first().map_or(keyed.complete, |group| group.starts);
        store.nodes[self.starts.first(starts).nodes].event
    }

    /// Whether it is the key of a row, which has this hash.
    fn is_key<'a>(
        &self,
        keyed: &Keyed,
        tag: Tag,
        row: &impl Fields<'a>,
        slots: &[usize],
        store: &Store,
    ) -> bool {
        keyed.tag.hash() == tag.hash() && same_key(&store.row(self.some_event(keyed, store)), row, slots)
    }
}

/// The first steps of a start as a list, in the order of the stages that took the event.
fn first_steps(
    stages: impl DoubleEndedIterator<Item = usize>,
    store: &mut Store,
    step: impl Fn(&mut Store, usize) -> u32,
) -> u32 {
    stages.rev().fold(NONE, |next, stage| {
        let node = step(store, stage);
        store.nodes[node].next = next;
        node
    })
}

impl Tagged for Keyed {
    #[inline]
    fn tag(&self) -> Tag {
        self.tag
    }
}

impl Keyed {
    fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.complete == NONE
    }
}
