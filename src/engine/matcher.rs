//! One pattern at work in one shard, by one of the stores of partial matches: the same events give the same matches.

use super::changed::{Changes, Given, Giver};
use super::cold::evict::Evict;
use super::deadlines::Deadlines;
use super::groups::GroupRunner;
use super::inspect::Inspect;
use super::key_state::KeyState;
use super::runner::{Found, Runner, Scratch};
use super::saved::{Damaged, Loader, put_name};
use super::set::{PatternSet, Shape};
use super::sets::SetRunner;
use super::store::Store;
use super::table::{StateId, Table};
use super::truths::{Current, KeyHash};
use crate::event::key::KeyHasher;
use crate::event::{Fields, Timestamp};
use crate::pattern::nfa::Storage;

/// A time at which windows close.
pub(crate) struct Closing<'a> {
    pub(crate) at: Timestamp,
    /// Counts events and deadlines.
    pub(crate) moment: u64,
    pub(crate) set: &'a PatternSet,
    pub(crate) hasher: &'a KeyHasher,
}

/// What a key is loaded into besides its pattern.
pub(crate) struct Restoring<'a> {
    pub(crate) set: &'a PatternSet,
    pub(crate) hasher: &'a KeyHasher,
    /// That of the pattern's shape.
    pub(crate) table: &'a mut Table,
    pub(crate) given: Option<Given<'a>>,
}

/// The hash of the key that an event of a loaded key has; none where it is not the one that the key was given as.
pub(crate) fn hash_of<'a>(
    row: &impl Fields<'a>,
    slots: &[usize],
    hasher: &KeyHasher,
    given: Option<Given<'_>>,
) -> Option<u32> {
    let hash = hasher.hash(row, slots);
    let is_it = given.is_none_or(|given| {
        let mut name = Vec::new();
        put_name(row, slots, &mut name);
        name == given.name
    });
    (hash != 0 && is_it).then_some(hash as u32)
}

/// One pattern in one shard.
#[derive(Debug)]
pub(crate) enum Matcher {
    /// Each partial match by itself.
    Runs(Runner),
    /// All partial matches of a key in one state as one set.
    Sets(Box<SetRunner>),
    /// The starts of a key in the same states as one group.
    Groups(Box<GroupRunner>),
}

impl Matcher {
    pub(crate) fn new(number: u32, set: &PatternSet) -> Matcher {
        match set.patterns[number as usize].storage {
            Storage::Sets if !set.runs_only => Matcher::Sets(Box::new(SetRunner::new(number))),
            Storage::StartGroups if !set.runs_only => Matcher::Groups(Box::new(GroupRunner::new(number))),
            _ => Matcher::Runs(Runner::new(number)),
        }
    }

    /// Goes on as another pattern, of the same shape.
    pub(crate) fn renumber(&mut self, number: u32) {
        match self {
            Matcher::Runs(runner) => runner.renumber(number),
            Matcher::Sets(runner) => runner.renumber(number),
            Matcher::Groups(runner) => runner.renumber(number),
        }
    }

    /// Drops all that it holds.
    pub(crate) fn clear(&mut self, store: &mut Store) {
        match self {
            Matcher::Runs(runner) => runner.clear(store),
            Matcher::Sets(runner) => runner.clear(store),
            Matcher::Groups(runner) => runner.clear(store),
        }
    }

    /// Its keys, to be looked at.
    pub(crate) fn inspected(&self) -> &dyn Inspect {
        match self {
            Matcher::Runs(runner) => runner,
            Matcher::Sets(runner) => &**runner,
            Matcher::Groups(runner) => &**runner,
        }
    }

    /// How many keys hold something.
    pub(crate) fn keys(&self) -> usize {
        match self {
            Matcher::Runs(runner) => runner.keys(),
            Matcher::Sets(runner) => runner.keys(),
            Matcher::Groups(runner) => runner.keys(),
        }
    }

    /// What a key holds that may have this hash.
    #[inline]
    pub(crate) fn first_of(&self, hash: u64) -> Option<KeyState> {
        match self {
            Matcher::Runs(runner) => runner.first_of(hash),
            Matcher::Sets(_) | Matcher::Groups(_) => None,
        }
    }

    /// Whether a key of this hash may hold something.
    #[inline]
    pub(crate) fn may_hold(&self, hash: u64) -> bool {
        match self {
            Matcher::Runs(runner) => runner.may_hold(hash),
            Matcher::Sets(_) | Matcher::Groups(_) => true,
        }
    }

    /// How many steps of partial matches are held outside the store that the shard's runs share.
    pub(crate) fn steps(&self) -> usize {
        match self {
            Matcher::Runs(_) => 0,
            Matcher::Sets(runner) => runner.steps(),
            Matcher::Groups(runner) => runner.steps(),
        }
    }

    /// How many partial matches there are.
    pub(crate) fn partial_matches(&self, store: &Store) -> usize {
        match self {
            Matcher::Runs(runner) => runner.partial_matches(store),
            Matcher::Sets(runner) => runner.partial_matches(),
            Matcher::Groups(runner) => runner.partial_matches(),
        }
    }

    /// Takes an event. Whether a window is counted from it now. The table is that of the pattern's shape.
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
        match self {
            Matcher::Runs(runner) => runner.event(event, key, table, scratch, store, found),
            Matcher::Sets(runner) => runner.event(event, key, table, &mut scratch.truths, store, found),
            Matcher::Groups(runner) => runner.event(event, key, table, &mut scratch.truths, store, found),
        }
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
        match self {
            Matcher::Runs(runner) => runner.close(closing, begun, table, scratch, store, found),
            Matcher::Sets(runner) => runner.close(closing, begun, scratch, store),
            Matcher::Groups(runner) => runner.close(closing, begun, store, found),
        }
    }

    /// Forgets what was closed, once everything has been that closes at one time.
    pub(crate) fn release(&mut self, store: &mut Store) {
        if let Matcher::Sets(runner) = self {
            runner.release(store);
        }
    }

    /// Which of its keys changed.
    pub(crate) fn changes_mut(&mut self) -> &mut Changes {
        match self {
            Matcher::Runs(runner) => runner.changes_mut(),
            Matcher::Sets(runner) => runner.changes_mut(),
            Matcher::Groups(runner) => runner.changes_mut(),
        }
    }

    /// About how many bytes its keys take outside of the store that the shard's runs share.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Matcher::Runs(runner) => runner.bytes(),
            Matcher::Sets(runner) => runner.bytes(),
            Matcher::Groups(runner) => runner.bytes(),
        }
    }

    /// Goes over the keys once and drops those that are cold from now on. Sets stay: their elements lie in one piece,
    /// and leave it in their order only.
    pub(crate) fn evict(&mut self, evict: &mut Evict<'_>) {
        match self {
            Matcher::Runs(runner) => runner.evict(evict),
            Matcher::Groups(runner) => runner.evict(evict),
            Matcher::Sets(_) => {}
        }
    }

    /// Changes are noted from now on.
    pub(crate) fn turn_on(&mut self) {
        match self {
            Matcher::Runs(runner) => runner.turn_on(),
            Matcher::Sets(runner) => runner.turn_on(),
            Matcher::Groups(runner) => runner.turn_on(),
        }
    }

    /// Gives the keys that changed, or all.
    pub(crate) fn give(&mut self, all: bool, giver: &mut Giver<'_>) {
        match self {
            Matcher::Runs(runner) => runner.give(all, giver),
            Matcher::Sets(runner) => runner.give(all, giver),
            Matcher::Groups(runner) => runner.give(all, giver),
        }
    }

    /// Encodes all keys and drops them.
    pub(crate) fn unload(&mut self, table: &Table, store: &mut Store) -> Vec<Vec<u8>> {
        match self {
            Matcher::Runs(runner) => runner.unload(table, store),
            Matcher::Sets(runner) => runner.unload(table, store),
            Matcher::Groups(runner) => runner.unload(table, store),
        }
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
        match self {
            Matcher::Runs(runner) => runner.load(bytes, loader, restoring, deadlines, store),
            Matcher::Sets(runner) => runner.load(bytes, loader, restoring, deadlines, store),
            Matcher::Groups(runner) => runner.load(bytes, loader, restoring, deadlines, store),
        }
    }

    /// Makes the table of its shape anew, with only the states that partial matches of these patterns are in.
    #[cold]
    pub(crate) fn rebuild<'a>(
        table: &mut Table,
        shape: &Shape,
        alike: impl Iterator<Item = &'a mut Matcher>,
        store: &mut Store,
    ) {
        let (mut keys, mut others) = (Vec::new(), Vec::new());
        for matcher in alike {
            match matcher {
                Matcher::Runs(runner) => keys.extend(runner.states()),
                Matcher::Sets(runner) => others.extend(runner.states()),
                Matcher::Groups(runner) => others.extend(runner.states()),
            }
        }
        let mut states: Vec<StateId> = Vec::new();
        keys.iter().for_each(|key| key.for_each_state(store, |state| states.push(*state)));
        table.rebuild(shape, states.iter_mut().chain(others));
        let mut states = states.into_iter();
        for key in keys {
            key.for_each_state(store, |state| *state = states.next().unwrap_or(*state));
        }
    }

    /// Hands out what is complete in sets at an event, as it is kept: each path as (kept event, stage), in order, but not
    /// more than `most`; how many more there are.
    pub(crate) fn matches(
        &mut self,
        event: u32,
        store: &Store,
        most: u64,
        give: impl FnMut(&[(u32, u32)]),
    ) -> u64 {
        match self {
            Matcher::Sets(runner) => runner.matches(event, store, most, give),
            Matcher::Runs(_) | Matcher::Groups(_) => 0,
        }
    }
}
