//! What a key holds as sets, looked at: how many paths there are is counted, and those that are wanted are found by
//! their numbers, without walking the others.

use std::collections::BTreeMap;
use std::ops::Range;

use super::heap::{Heaps, Id, NONE};
use super::{Keyed, SetRunner, saved, spread};
use crate::engine::changed::Tag;
use crate::engine::inspect::{Inspect, View};
use crate::engine::store::Store;
use crate::engine::table::{StateId, Table};

struct Sets<'a> {
    keyed: &'a Keyed,
    heaps: &'a Heaps,
    store: &'a Store,
}

impl Inspect for SetRunner {
    fn each(&self, store: &Store, wanted: &dyn Fn(u32) -> bool, give: &mut dyn FnMut(&dyn View)) {
        for keyed in self.keys.iter().filter(|keyed| wanted(keyed.tag.hash())) {
            give(&Sets { keyed, heaps: &self.heaps, store });
        }
    }

    fn find(&self, store: &Store, hash: u32, is_its: &dyn Fn(u32) -> bool, give: &mut dyn FnMut(&dyn View)) {
        let hash = Tag::new(hash).hash();
        let is_it =
            |keyed: &Keyed| keyed.tag.hash() == hash && keyed.some_event(&self.heaps).is_some_and(is_its);
        if let Some(keyed) = self.keys.find(spread(hash), is_it) {
            give(&Sets { keyed, heaps: &self.heaps, store });
        }
    }
}

/// How many paths there are by element: those that it is the last step of, and all of the set that it is the root of.
#[derive(Default)]
struct Counts(BTreeMap<Id, (u64, u64)>);

impl Counts {
    /// An element is made after those that it leads to.
    fn new(heaps: &Heaps, sets: impl Iterator<Item = Id>) -> Counts {
        let mut counts = Counts::default();
        for id in heaps.reachable(sets) {
            let Some(element) = heaps.get(id) else { continue };
            let own = match (element.origin == id, element.prefix == NONE) {
                (false, _) => counts.0.get(&element.origin).map_or(0, |of| of.0),
                (true, true) => 1,
                (true, false) => counts.of(element.prefix),
            };
            let below = counts.of(element.left).saturating_add(counts.of(element.right));
            counts.0.insert(id, (own, own.saturating_add(below)));
        }
        counts
    }

    /// Of a set. What is not alive was not counted.
    fn of(&self, set: Id) -> u64 {
        self.0.get(&set).map_or(0, |of| of.1)
    }
}

/// The elements of sets in their order, each behind how many paths end with it or one before it.
struct Members<'a> {
    of: &'a Sets<'a>,
    counts: Counts,
    known: BTreeMap<Id, Vec<(u64, Id)>>,
}

impl Members<'_> {
    fn of(&mut self, set: Id) -> &[(u64, Id)] {
        let Sets { heaps, store, .. } = *self.of;
        let counts = &self.counts;
        self.known.entry(set).or_insert_with(|| {
            let (mut members, mut stack) = (Vec::new(), vec![set]);
            while let Some(id) = stack.pop() {
                let Some(element) = heaps.live(id) else { continue };
                members.push((store.sequence(element.event), element.stage, element.origin));
                stack.extend([element.left, element.right]);
            }
            members.sort_unstable_by_key(|member| (member.0, member.1, heaps.age(member.2)));
            let mut sum = 0_u64;
            let own = |id: &Id| counts.0.get(id).map_or(0, |of| of.0);
            let up_to = |(_, _, id)| {
                sum = sum.saturating_add(own(&id));
                (sum, id)
            };
            members.into_iter().map(up_to).collect()
        })
    }

    /// The path of a set that has this number.
    fn path(&mut self, mut set: Id, mut number: u64) -> Option<Vec<(u32, u32)>> {
        let mut path = Vec::new();
        loop {
            let members = self.of(set);
            let place = members.partition_point(|&(up_to, _)| up_to <= number);
            let &(_, id) = members.get(place)?;
            number -= place.checked_sub(1).map_or(0, |before| members[before].0);
            let element = self.of.heaps.get(id)?;
            path.push((element.event, u32::from(element.stage)));
            if element.prefix == NONE {
                path.reverse();
                return Some(path);
            }
            set = element.prefix;
        }
    }
}

impl View for Sets<'_> {
    fn event(&self) -> u32 {
        self.keyed.some_event(self.heaps).unwrap_or(NONE)
    }

    fn encoded(&self, table: &Table) -> Vec<u8> {
        saved::encode(&self.keyed.sets, self.heaps, self.store, table)
    }

    fn states(&self) -> Vec<(StateId, u64)> {
        let counts = Counts::new(self.heaps, self.keyed.sets.iter().map(|of| of.set));
        self.keyed.sets.iter().map(|of| (of.state, counts.of(of.set))).collect()
    }

    fn paths(&self, place: usize, range: Range<u64>) -> Vec<Vec<(u32, u32)>> {
        let Some(of) = self.keyed.sets.get(place) else { return Vec::new() };
        let counts = Counts::new(self.heaps, std::iter::once(of.set));
        let mut members = Members { of: self, counts, known: BTreeMap::new() };
        range.map_while(|number| members.path(of.set, number)).collect()
    }

    fn ends(&self, give: &mut dyn FnMut(u32, Option<u32>)) {
        for id in self.heaps.reachable(self.keyed.sets.iter().map(|of| of.set)) {
            if let Some(begun) = self.heaps.get(id).filter(|element| element.prefix == NONE) {
                give(begun.event, Some(begun.event));
            }
        }
    }
}
