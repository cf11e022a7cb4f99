//! One pattern at work in one shard, by either store of partial matches: the same events give the same matches.

use super::runner::{Found, Runner, Scratch};
use super::saved::{Damaged, Loader};
use super::set::{Compiled, PatternSet};
use super::sets::SetRunner;
use super::store::Store;
use super::truths::{Current, KeyHash};
use crate::event::Timestamp;
use crate::event::key::KeyHasher;
use crate::pattern::nfa::Storage;

/// One pattern in one shard.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "most patterns are held as runs")]
pub(crate) enum Matcher {
    /// Each partial match by itself.
    Runs(Runner),
    /// All partial matches of a key in one state as one set.
    Sets(Box<SetRunner>),
}

impl Matcher {
    pub(crate) fn new(number: u32, pattern: &Compiled) -> Matcher {
        match pattern.storage {
            Storage::Runs => Matcher::Runs(Runner::new(number, pattern)),
            Storage::Sets => Matcher::Sets(Box::new(SetRunner::new(number, pattern))),
        }
    }

    /// The time of the next deadline that may be due.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Option<Timestamp> {
        match self {
            Matcher::Runs(runner) => runner.next_deadline(),
            Matcher::Sets(runner) => runner.next_deadline(),
        }
    }

    /// How many keys hold something.
    pub(crate) fn keys(&self) -> usize {
        match self {
            Matcher::Runs(runner) => runner.keys(),
            Matcher::Sets(runner) => runner.keys(),
        }
    }

    /// How many steps of partial matches are held outside the store that the shard's runs share.
    pub(crate) fn steps(&self) -> usize {
        match self {
            Matcher::Runs(_) => 0,
            Matcher::Sets(runner) => runner.steps(),
        }
    }

    /// How many partial matches there are.
    pub(crate) fn partial_matches(&self, store: &Store) -> usize {
        match self {
            Matcher::Runs(runner) => runner.partial_matches(store),
            Matcher::Sets(runner) => runner.partial_matches(),
        }
    }

    /// Takes an event. The time of the next deadline, if there was none before.
    #[inline]
    pub(crate) fn event(
        &mut self,
        event: &Current<'_>,
        key: &KeyHash<'_>,
        scratch: &mut Scratch,
        store: &mut Store,
        found: &mut Vec<Found>,
    ) -> Option<Timestamp> {
        match self {
            Matcher::Runs(runner) => runner.event(event, key, scratch, store, found),
            Matcher::Sets(runner) => runner.event(event, key, scratch, store, found),
        }
    }

    /// Closes what the deadlines at `at` close.
    #[expect(clippy::too_many_arguments, reason = "all of it is what a shard has")]
    pub(crate) fn deadlines(
        &mut self,
        at: Timestamp,
        moment: u64,
        set: &PatternSet,
        hasher: &KeyHasher,
        scratch: &mut Scratch,
        store: &mut Store,
        found: &mut Vec<Found>,
    ) {
        match self {
            Matcher::Runs(runner) => runner.deadlines(at, moment, set, hasher, scratch, store, found),
            Matcher::Sets(runner) => runner.deadlines(at, set, hasher, store),
        }
    }

    /// Encodes all keys and drops them. Sets cannot be encoded yet: they stay.
    pub(crate) fn unload(&mut self, store: &mut Store) -> Vec<Vec<u8>> {
        match self {
            Matcher::Runs(runner) => runner.unload(store),
            Matcher::Sets(_) => Vec::new(),
        }
    }

    /// Goes on with a key that was encoded.
    pub(crate) fn load(
        &mut self,
        bytes: &[u8],
        loader: &mut Loader,
        set: &PatternSet,
        hasher: &KeyHasher,
        store: &mut Store,
    ) -> Result<(), Damaged> {
        match self {
            Matcher::Runs(runner) => runner.load(bytes, loader, set, hasher, store),
            Matcher::Sets(_) => Err(Damaged { at: 0, expected: "a pattern that is held as runs" }),
        }
    }

    /// Hands out what is complete in sets at an event, as it is kept: each path as (kept event, stage), in order.
    pub(crate) fn matches(&mut self, event: u32, store: &Store, give: impl FnMut(&[(u32, u32)])) {
        if let Matcher::Sets(runner) = self {
            runner.matches(event, store, give);
        }
    }
}
