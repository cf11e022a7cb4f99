//! Budgets of a pattern whose partial matches are held as sets: counted are the steps that they are made of, each an
//! event that a stage took. There is no number of partial matches.
//!
//! Sets never change, and die in the order in which they were made. So what is left of a key whose oldest paths are dropped
//! is made anew, and when more is in vain than not, all of it is.

use super::heap::{Heaps, Id, NONE, Part};
use super::{Keyed, SetRunner, StateSet, forget};
use crate::engine::changed::Tag;
use crate::engine::keys::spread;
use crate::engine::limits::{EventKey, Measure};
use crate::engine::store::Store;
use crate::event::Timestamp;

/// So many elements may be in vain whatever the others are.
const IN_VAIN_MIN: usize = 1024;

impl SetRunner {
    /// What a key holds. It is known by that from now on.
    pub(in crate::engine) fn measure(
        &mut self,
        key: &EventKey<'_>,
        with_events: bool,
        store: &Store,
    ) -> Option<Measure> {
        let (tag, heaps) = (Tag::new(key.hash), &self.heaps);
        let is_same = |keyed: &Keyed| keyed.is_key(tag, key.row, key.slots, heaps, store);
        let keyed = self.keys.find_mut(spread(tag.hash()), is_same)?;
        let measure = measure(&keyed.sets, heaps, with_events);
        keyed.steps = measure.began.len() as u32;
        Some(measure)
    }

    /// The same of all keys.
    pub(in crate::engine) fn measure_all(&self, with_events: bool) -> impl Iterator<Item = Measure> {
        self.keys.iter().map(move |keyed| measure(&keyed.sets, &self.heaps, with_events))
    }

    /// Drops all that a key holds; how many steps it was.
    pub(in crate::engine) fn drop_key(&mut self, key: &EventKey<'_>, store: &mut Store) -> u64 {
        self.drop_until(key, Timestamp::MAX, store)
    }

    /// Drops the paths of a key that began up to a time; how many steps less there are.
    pub(in crate::engine) fn drop_until(
        &mut self,
        key: &EventKey<'_>,
        until: Timestamp,
        store: &mut Store,
    ) -> u64 {
        let SetRunner { keys, changes, heaps, in_vain, .. } = self;
        let tag = Tag::new(key.hash);
        let is_same = |keyed: &Keyed| keyed.is_key(tag, key.row, key.slots, heaps, store);
        let Ok(mut entry) = keys.find_entry(spread(tag.hash()), is_same) else { return 0 };
        let keyed = entry.get_mut();
        let elements = heaps.reachable(keyed.sets.iter().map(|of| of.set));
        let steps = elements.iter().filter(|&&id| heaps.is_original(id)).count();
        *in_vain += elements.len();
        let left = Copied::of(&keyed.sets, heaps, until);
        keyed.sets = left.make(heaps, store);
        keyed.steps = left.steps();
        let dropped = (steps as u64).saturating_sub(keyed.steps.into());
        if keyed.sets.is_empty() {
            changes.end(forget(entry), key.row, key.slots);
        } else {
            changes.touch(&mut keyed.tag);
        }
        dropped
    }

    /// Drops what all keys hold.
    pub(in crate::engine) fn drop_all(&mut self, slots: &[usize], store: &mut Store) {
        for keyed in self.keys.drain() {
            if let Some(event) = keyed.some_event(&self.heaps) {
                self.changes.end(keyed.tag, &store.row(event), slots);
            }
        }
        self.heaps.clear(store);
        self.in_vain = 0;
    }

    /// Makes all elements anew, without those that are in vain, if these are most.
    pub(super) fn collect(&mut self, store: &mut Store) {
        if self.in_vain < IN_VAIN_MIN.max(self.heaps.len() / 2) {
            return;
        }
        self.in_vain = 0;
        let mut heaps = self.heaps.emptied();
        for keyed in &mut self.keys {
            keyed.sets = Copied::of(&keyed.sets, &self.heaps, Timestamp::MIN).make(&mut heaps, store);
        }
        self.heaps.clear(store);
        self.heaps = heaps;
    }
}

fn measure(sets: &[StateSet], heaps: &Heaps, with_events: bool) -> Measure {
    let mut measure = Measure::default();
    for id in heaps.reachable(sets.iter().map(|of| of.set)) {
        // Copies are in the heaps' way of being; they say nothing more.
        if let Some(element) = heaps.get(id).filter(|element| element.origin == id) {
            measure.began.push(element.latest);
            if with_events {
                measure.event(element.event, element.latest);
            }
        }
    }
    measure.finish()
}

/// What a key holds, by itself: elements name others by their numbers here, and `NONE`.
struct Copied {
    parts: Vec<Part>,
    sets: Vec<StateSet>,
}

impl Copied {
    /// The paths that began after a time.
    fn of(sets: &[StateSet], heaps: &Heaps, after: Timestamp) -> Copied {
        let elements = heaps.reachable_after(sets.iter().map(|of| of.set), after);
        let number = |id: Id| match elements.binary_search_by_key(&heaps.age(id), |&id| heaps.age(id)) {
            Ok(number) if id != NONE => number as Id,
            _ => NONE,
        };
        let part = |&id: &Id| {
            let part = heaps.part(id)?;
            let [left, right] = [part.left, part.right].map(number);
            let [prefix, origin] = [part.prefix, part.origin].map(number);
            Some(Part { prefix, left, right, origin, ..part })
        };
        let parts = elements.iter().filter_map(part).collect();
        let sets = sets.iter().map(|of| StateSet { set: number(of.set), ..*of });
        Copied { parts, sets: sets.filter(|of| of.set != NONE).collect() }
    }

    /// How many steps there are.
    fn steps(&self) -> u32 {
        self.parts.iter().filter(|part| part.origin == NONE).count() as u32
    }

    /// Makes the elements.
    fn make(&self, heaps: &mut Heaps, store: &mut Store) -> smallvec::SmallVec<[StateSet; 2]> {
        let mut ids: Vec<Id> = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            let id = |number: Id| ids.get(number as usize).copied().unwrap_or(NONE);
            let [prefix, left, right, origin] = [part.prefix, part.left, part.right, part.origin].map(id);
            ids.push(heaps.restore(Part { prefix, left, right, origin, ..*part }, store));
        }
        self.sets.iter().map(|of| StateSet { set: ids[of.set as usize], ..*of }).collect()
    }
}
