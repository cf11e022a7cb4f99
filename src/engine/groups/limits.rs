//! Budgets of a pattern whose partial matches are held by the events that they began with: counted are these events. What
//! else began with them is not held.

use hashbrown::HashSet;
use hashbrown::hash_table::OccupiedEntry;

use super::{GroupRunner, Held, Keyed, forget};
use crate::engine::changed::Tag;
use crate::engine::keys::spread;
use crate::engine::limits::{EventKey, Measure};
use crate::engine::matched::Kind;
use crate::engine::runner::Found;
use crate::engine::store::{NONE, Store};
use crate::engine::truths::Current;
use crate::event::Timestamp;

impl GroupRunner {
    /// What a key holds. It is known by that from now on.
    pub(in crate::engine) fn measure(
        &mut self,
        key: &EventKey<'_>,
        with_events: bool,
        store: &Store,
    ) -> Option<Measure> {
        let (tag, held) = (Tag::new(key.hash), &self.held);
        let is_same = |keyed: &Keyed| held.is_key(keyed, tag, key.row, key.slots, store);
        let keyed = self.keys.find_mut(spread(tag.hash()), is_same)?;
        let measure = held.measure(keyed, with_events, store);
        keyed.starts = measure.began.len() as u32;
        Some(measure)
    }

    /// The same of all keys.
    pub(in crate::engine) fn measure_all(
        &self,
        with_events: bool,
        store: &Store,
    ) -> impl Iterator<Item = Measure> {
        self.keys.iter().map(move |keyed| self.held.measure(keyed, with_events, store))
    }

    /// Drops all that a key holds; how many starts it was.
    pub(in crate::engine) fn drop_key(&mut self, key: &EventKey<'_>, store: &mut Store) -> u64 {
        let GroupRunner { keys, changes, held, .. } = self;
        let tag = Tag::new(key.hash);
        let is_same = |keyed: &Keyed| held.is_key(keyed, tag, key.row, key.slots, store);
        let Ok(mut entry) = keys.find_entry(spread(tag.hash()), is_same) else { return 0 };
        let dropped = held.count(entry.get()).into();
        held.clear(entry.get_mut(), store);
        changes.end(forget(entry), key.row, key.slots);
        dropped
    }

    /// Drops the starts of a key up to a time; how many. Complete matches that waited for them are found.
    pub(in crate::engine) fn drop_until(
        &mut self,
        key: &EventKey<'_>,
        until: Timestamp,
        event: &Current<'_>,
        store: &mut Store,
        found: &mut Vec<Found>,
    ) -> u64 {
        let GroupRunner { keys, changes, held, path, number, .. } = self;
        let skip = event.set.patterns[*number as usize].skip;
        let tag = Tag::new(key.hash);
        let is_same = |keyed: &Keyed| held.is_key(keyed, tag, key.row, key.slots, store);
        let Ok(mut entry): Result<OccupiedEntry<'_, Keyed>, _> = keys.find_entry(spread(tag.hash()), is_same)
        else {
            return 0;
        };
        let keyed = entry.get_mut();
        let starts = keyed.groups.iter().flat_map(|group| held.starts.all(group.starts));
        let goes = starts.filter(|start| store.time(store.nodes[start.nodes].event) <= until);
        let goes: Vec<u64> = goes.map(|start| start.sequence).collect();
        // The order of events follows time.
        let first_left = goes.iter().max().map_or(0, |last| last + 1);
        held.drop_until(&mut keyed.groups, first_left, store);
        held.settle(keyed, skip, store, path, |node| {
            found.push(Found { pattern: *number, kind: Kind::Match, node });
        });
        if keyed.is_empty() {
            changes.end(forget(entry), key.row, key.slots);
        } else {
            keyed.starts = held.count(keyed);
            changes.touch(&mut keyed.tag);
        }
        goes.len() as u64
    }

    /// Drops what all keys hold.
    pub(in crate::engine) fn drop_all(&mut self, slots: &[usize], store: &mut Store) {
        for mut keyed in std::mem::take(&mut self.keys) {
            let event = self.held.some_event(&keyed, store);
            self.changes.end(keyed.tag, &store.row(event), slots);
            self.held.clear(&mut keyed, store);
        }
    }
}

impl Held {
    /// How many starts a key has.
    pub(super) fn count(&self, keyed: &Keyed) -> u32 {
        let heaps = keyed.groups.iter().map(|group| group.starts).chain([keyed.complete]);
        heaps.map(|heap| self.starts.all(heap).count() as u32).sum()
    }

    fn measure(&self, keyed: &Keyed, with_events: bool, store: &Store) -> Measure {
        let mut measure = Measure::default();
        let heaps = keyed.groups.iter().map(|group| group.starts).chain([keyed.complete]);
        let mut starts: Vec<_> = heaps.flat_map(|heap| self.starts.all(heap)).collect();
        // What several starts lead to is told once, of the latest.
        starts.sort_unstable_by_key(|start| std::cmp::Reverse(start.sequence));
        let mut seen = [HashSet::<u32, ahash::RandomState>::default(), HashSet::default()];
        let [segments, steps] = &mut seen;
        for start in starts {
            let event = store.nodes[start.nodes].event;
            let began = store.time(event);
            measure.began.push(began);
            if !with_events {
                continue;
            }
            measure.event(event, began);
            let mut segment = start.segment;
            while segment != NONE && segments.insert(segment) {
                for slot in &self.history.segments[segment].slots {
                    let mut node = slot.last;
                    while node != NONE && steps.insert(node) {
                        measure.event(store.nodes[node].event, began);
                        node = store.before(node);
                    }
                }
                segment = self.history.segments[segment].next;
            }
        }
        measure.finish()
    }
}
