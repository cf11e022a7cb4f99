//! Budgets of a pattern whose partial matches are held one by one.

use super::{Runner, is_key, settle};
use crate::engine::key_state::{KeyState, Visit};
use crate::engine::keys;
use crate::engine::limits::{EventKey, Measure};
use crate::engine::matched::Kind;
use crate::engine::runner::Found;
use crate::engine::store::{NONE, Store};
use crate::engine::table::StateId;
use crate::engine::truths::Current;
use crate::event::Timestamp;

impl Runner {
    fn place(&self, key: &EventKey<'_>, store: &Store) -> Option<keys::Found> {
        self.keys.find(key.hash, |first| is_key(store, first, key.row, key.slots))
    }

    /// What a key holds.
    pub(in crate::engine) fn measure(
        &self,
        key: &EventKey<'_>,
        with_events: bool,
        store: &Store,
    ) -> Option<Measure> {
        let first = self.keys.get(self.place(key, store)?);
        Some(measure(KeyState { first }, with_events, store))
    }

    /// The same of all keys.
    pub(in crate::engine) fn measure_all(
        &self,
        with_events: bool,
        store: &Store,
    ) -> impl Iterator<Item = Measure> {
        self.keys.iter().map(move |first| measure(KeyState { first }, with_events, store))
    }

    /// Drops all that a key holds; how many partial matches it was.
    pub(in crate::engine) fn drop_key(&mut self, key: &EventKey<'_>, store: &mut Store) -> u64 {
        let Some(place) = self.place(key, store) else { return 0 };
        let mut state = KeyState { first: self.keys.get(place) };
        let dropped = state.count(store);
        state.clear(store);
        self.changes.end(self.keys.remove(place), key.row, key.slots);
        u64::from(dropped)
    }

    /// Drops the partial matches of a key that began up to a time; how many. Complete ones that waited for them are
    /// found.
    pub(in crate::engine) fn drop_until(
        &mut self,
        key: &EventKey<'_>,
        until: Timestamp,
        event: &Current<'_>,
        store: &mut Store,
        found: &mut Vec<Found>,
    ) -> u64 {
        let Some(place) = self.place(key, store) else { return 0 };
        let mut state = KeyState { first: self.keys.get(place) };
        let mut prune = Prune { until, dropped: 0 };
        state.visit(store, &mut prune);
        let (number, skip) = (self.number, event.set.patterns[self.number as usize].skip);
        let mut complete = Vec::new();
        settle(&mut state, &mut complete, skip, event.moment, store);
        found.extend(complete.into_iter().map(|node| Found { pattern: number, kind: Kind::Match, node }));
        if state.first == NONE {
            self.changes.end(self.keys.remove(place), key.row, key.slots);
        } else {
            self.keys.set(place, state.first);
            self.changes.touch(self.keys.tag_mut(place));
        }
        prune.dropped
    }

    /// Drops what all keys hold.
    pub(in crate::engine) fn drop_all(&mut self, slots: &[usize], store: &mut Store) {
        for (tag, first) in std::mem::take(&mut self.keys).tags() {
            let mut key = KeyState { first };
            self.changes.end(*tag, &store.row(key.some_event(store)), slots);
            key.clear(store);
        }
    }
}

fn measure(key: KeyState, with_events: bool, store: &Store) -> Measure {
    let mut measure = Measure::default();
    let mut seen = hashbrown::HashSet::<u32, ahash::RandomState>::default();
    let waiting = key.waiting(store).map_or([].as_slice(), |list| &store.waiting[list]);
    for run in key.runs(store).chain(waiting.iter().map(|waiting| waiting.node)) {
        let began = store.time(store.nodes[run].first);
        measure.began.push(began);
        let mut node = if with_events { run } else { NONE };
        // Paths that begin alike share their steps.
        while node != NONE && seen.insert(node) {
            measure.event(store.nodes[node].event, began);
            node = store.before(node);
        }
    }
    measure.finish()
}

/// Drops partial matches that began up to a time.
struct Prune {
    until: Timestamp,
    dropped: u64,
}

impl Visit for Prune {
    type OfState = ();

    fn state(&mut self, _: &mut Store, _: StateId) -> Option<()> {
        Some(())
    }

    fn stays(&mut self, store: &mut Store, (): &(), _: StateId, node: u32) -> bool {
        let stays = store.time(store.nodes[node].first) > self.until;
        if !stays {
            store.release(node);
            self.dropped += 1;
        }
        stays
    }
}
