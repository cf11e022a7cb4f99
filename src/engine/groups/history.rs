//! The paths of starts that are in one group, without a path for each of them: what was accepted since they came
//! together is the same for all.
//!
//! A segment has one list of steps for each state of the group's ranking, and says in which place of the ranking before
//! the list goes on from. When groups are united, their segments are closed and lead to the segment of both. So the path
//! of a start is what the chain of segments has that it leads to, read backwards from the place where it ended.

use smallvec::SmallVec;

use super::rankings::Origin;
use super::starts::Start;
use crate::engine::slab::Slab;
use crate::engine::store::{NONE, Store};

/// The steps of one state's path within a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    /// The last step; `NONE` where there is none.
    pub(super) last: u32,
    /// The place in the ranking before, where it goes on from.
    pub(super) base: u32,
}

#[derive(Debug)]
pub(super) struct Segment {
    /// For each state in its order. Empty where all paths still are those of the ranking before.
    pub(super) slots: SmallVec<[Slot; 2]>,
    /// The segment that follows; `NONE` while it may change, and where the match is complete.
    pub(super) next: u32,
    /// Starts and segments that lead here.
    references: u32,
}

impl Default for Segment {
    fn default() -> Self {
        Segment { slots: SmallVec::new(), next: NONE, references: 0 }
    }
}

/// The segments of one pattern in one shard.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) segments: Slab<Segment>,
    chain: Vec<u32>,
}

impl History {
    /// A segment without steps and references.
    pub(super) fn open(&mut self) -> u32 {
        self.segments.insert(Segment::default())
    }

    /// Adds a segment as it was, with one reference. Its steps have theirs.
    pub(super) fn restore(&mut self, slots: SmallVec<[Slot; 2]>, next: u32) -> u32 {
        if next != NONE {
            self.hold(next);
        }
        self.segments.insert(Segment { slots, next, references: 1 })
    }

    /// Whether starts may come to it: no path has gone on in it.
    pub(super) fn is_plain(&self, segment: u32) -> bool {
        self.segments[segment].slots.is_empty()
    }

    /// One reference more.
    pub(super) fn hold(&mut self, segment: u32) {
        self.segments[segment].references += 1;
    }

    /// One reference less; forgets what nothing leads to any more.
    pub(super) fn release(&mut self, mut segment: u32, store: &mut Store) {
        while segment != NONE {
            let of = &mut self.segments[segment];
            of.references -= 1;
            if of.references > 0 {
                return;
            }
            let of = self.segments.remove(segment);
            of.slots.iter().for_each(|slot| store.release(slot.last));
            segment = of.next;
        }
    }

    /// Lets the paths of a segment go on with a kept event.
    pub(super) fn advance(&mut self, segment: u32, origins: &[Origin], event: u32, store: &mut Store) {
        let slots = &mut self.segments[segment].slots;
        let new = origins.iter().map(|&Origin { from, stage }| {
            let before = slots.get(from as usize).copied().unwrap_or(Slot { last: NONE, base: from });
            match stage {
                NONE if before.last == NONE => before,
                NONE => {
                    store.hold(before.last);
                    before
                }
                stage => Slot { last: store.extend(before.last, event, stage as usize), ..before },
            }
        });
        let new: SmallVec<[Slot; 2]> = new.collect();
        let old = std::mem::replace(slots, new);
        if (0..).zip(slots.iter()).all(|(base, &slot)| slot == Slot { last: NONE, base }) {
            slots.clear();
        }
        old.into_iter().for_each(|slot| store.release(slot.last));
    }

    /// The segment in which two groups of one ranking go on together.
    pub(super) fn join(&mut self, a: u32, b: u32) -> u32 {
        if self.is_plain(b) {
            self.close(a, b);
            return b;
        }
        if self.is_plain(a) {
            self.close(b, a);
            return a;
        }
        let both = self.open();
        self.close(a, both);
        self.close(b, both);
        both
    }

    /// A segment that starts may come to, in place of one.
    pub(super) fn plain(&mut self, segment: u32) -> u32 {
        if self.is_plain(segment) {
            return segment;
        }
        let next = self.open();
        self.close(segment, next);
        next
    }

    fn close(&mut self, segment: u32, next: u32) {
        self.segments[segment].next = next;
        self.hold(next);
    }

    /// The path that is complete of a start, as (kept event, stage).
    pub(super) fn path(&mut self, start: &Start, store: &Store, into: &mut Vec<(u32, u32)>) {
        let mut chain = std::mem::take(&mut self.chain);
        self.path_from(start, 0, store, &mut chain, into);
        self.chain = chain;
    }

    /// The path of a start that is in this place of its group's ranking. `chain` is room.
    pub(super) fn path_from(
        &self,
        start: &Start,
        mut place: u32,
        store: &Store,
        chain: &mut Vec<u32>,
        into: &mut Vec<(u32, u32)>,
    ) {
        into.clear();
        let segments = &self.segments;
        let next = |segment: u32| (segment != NONE).then_some(segment);
        chain.clear();
        chain.extend(std::iter::successors(next(start.segment), |&at| next(segments[at].next)));
        for &segment in chain.iter().rev() {
            let Some(slot) = segments[segment].slots.get(place as usize) else { continue };
            place = slot.base;
            let mut node = slot.last;
            while node != NONE {
                let step = store.nodes[node];
                into.push((step.event, step.stage));
                node = store.before(node);
            }
        }
        let mut node = start.nodes;
        while place > 0 && store.nodes[node].next != NONE {
            node = store.nodes[node].next;
            place -= 1;
        }
        into.push((store.nodes[node].event, store.nodes[node].stage));
        into.reverse();
    }
}
