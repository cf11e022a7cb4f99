//! Sets of paths as persistent heaps. An element is one event that was taken, together with the set of all paths that
//! it was taken after; a set is the root of a leftist heap of elements with the latest beginning on top.
//!
//! Elements never change, so a set that an element goes on from stays what it was while the state's set grows. They lie
//! in a ring in the order in which they were made, and die in that order: an element stands for no path within the
//! window once its latest beginning is outside, and all below it in the heap began earlier still. Numbers of elements
//! wrap around; they are compared by their distance, and begin shortly before they wrap.

use std::collections::{BTreeMap, VecDeque};

use smallvec::SmallVec;

use crate::engine::store::Store;
use crate::event::Timestamp;

/// The number of an element; as a set, the root of its heap.
pub(super) type Id = u32;

/// No element: the set without paths. What a beginning goes on from.
pub(super) const NONE: Id = u32::MAX;

/// Near the end, so that numbers wrap in every test that goes on for some events.
const FIRST: Id = Id::MAX - 10;

/// A way down the right: at most as many elements as a rank can have.
type Spine = SmallVec<[Id; 8]>;

/// The ring gives memory back when it is much larger than this and mostly empty.
const CAPACITY_MIN: usize = 1024;

/// One event that was taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element {
    /// The kept event.
    pub(super) event: u32,
    /// The paths that it was taken after; `NONE` at the beginning of paths.
    pub(super) prefix: Id,
    /// When the latest path begins.
    pub(super) latest: Timestamp,
    /// The heap below, in two parts.
    pub(super) left: Id,
    pub(super) right: Id,
    /// Itself; of a copy that a changed heap needed, what it is a copy of.
    pub(super) origin: Id,
    /// Where an enumeration has it, if that one says the same.
    pub(super) place: u32,
    /// The stage that took it.
    pub(super) stage: u16,
    /// How many steps to the right lead out of the heap, at most.
    rank: u8,
}

/// An element without what follows from the rest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) event: u32,
    pub(super) stage: u16,
    pub(super) prefix: Id,
    pub(super) left: Id,
    pub(super) right: Id,
    /// `NONE` where it is no copy.
    pub(super) origin: Id,
}

/// The elements of one pattern in one shard.
#[derive(Debug)]
pub(super) struct Heaps {
    ring: VecDeque<Element>,
    /// The number of the first element in the ring.
    first: Id,
    /// Paths that begin then or before are outside the window.
    expired: Option<Timestamp>,
}

impl Heaps {
    pub(super) fn new() -> Heaps {
        Heaps { ring: VecDeque::new(), first: FIRST, expired: None }
    }

    /// How many elements there are, dead ones included.
    pub(super) fn len(&self) -> usize {
        self.ring.len() - usize::from(self.get(NONE).is_some())
    }

    /// An element that is still there, alive or not.
    #[inline]
    pub(super) fn get(&self, id: Id) -> Option<&Element> {
        self.ring.get(id.wrapping_sub(self.first) as usize)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut Element> {
        self.ring.get_mut(id.wrapping_sub(self.first) as usize)
    }

    /// The element, if some path that it stands for began within the window.
    #[inline]
    pub(super) fn live(&self, id: Id) -> Option<&Element> {
        self.get(id).filter(|e| id != NONE && Some(e.latest) > self.expired)
    }

    /// Whether some path of a set began within the window.
    #[inline]
    pub(super) fn is_live(&self, set: Id) -> bool {
        self.live(set).is_some()
    }

    /// The set, or `NONE` where all its paths are outside the window.
    fn if_live(&self, set: Id) -> Id {
        if self.is_live(set) { set } else { NONE }
    }

    /// A set with one element more: an event that a stage took after the paths of `prefix`, or as a beginning. The
    /// element holds a reference to the event.
    pub(super) fn insert(&mut self, set: Id, event: u32, stage: u16, prefix: Id, store: &mut Store) -> Id {
        store.hold_event(event);
        let prefix_latest = self.get(prefix).filter(|_| prefix != NONE).map(|p| p.latest);
        let latest = prefix_latest.unwrap_or_else(|| store.time(event));
        let mut spine = Spine::new();
        let mut below = set;
        while let Some(top) = self.live(below).filter(|top| latest < top.latest) {
            spine.push(below);
            below = top.right;
        }
        let left = self.if_live(below);
        let id = self.next();
        self.ring.push_back(Element {
            event,
            prefix,
            latest,
            left,
            right: NONE,
            origin: id,
            place: 0,
            stage,
            rank: 1,
        });
        self.rebuild(&spine, id)
    }

    /// The union of two sets that have no path in common.
    pub(super) fn merge(&mut self, mut a: Id, mut b: Id) -> Id {
        let mut spine = Spine::new();
        while let (Some(mut top), Some(other)) = (self.live(a), self.live(b)) {
            if top.latest < other.latest {
                std::mem::swap(&mut a, &mut b);
                top = other;
            }
            spine.push(a);
            a = top.right;
        }
        let rest = if self.is_live(a) { a } else { self.if_live(b) };
        self.rebuild(&spine, rest)
    }

    /// Copies a way down the right, with another heap at its end.
    fn rebuild(&mut self, spine: &Spine, mut below: Id) -> Id {
        for &old in spine.iter().rev() {
            let Some(&old) = self.get(old) else { unreachable!("what is alive is there") };
            let other = self.if_live(old.left);
            let rank = |id: Id| self.get(id).map_or(0, |e| e.rank);
            let (left, right) = if rank(other) < rank(below) { (below, other) } else { (other, below) };
            let rank = rank(right) + 1;
            below = self.next();
            self.ring.push_back(Element { left, right, rank, ..old });
        }
        below
    }

    /// The number of the element to be made next.
    fn next(&mut self) -> Id {
        let next = self.first.wrapping_add(self.ring.len() as u32);
        if next != NONE {
            return next;
        }
        // The number that means none is never given: a dead element has it.
        let latest = Timestamp::MIN;
        self.ring.push_back(Element {
            event: NONE,
            prefix: NONE,
            latest,
            left: NONE,
            right: NONE,
            origin: 0,
            place: 0,
            stage: 0,
            rank: 0,
        });
        next.wrapping_add(1)
    }

    /// Paths that begin at this time or before are outside the window from now on.
    pub(super) fn expire(&mut self, begun: Timestamp) {
        self.expired = Some(begun);
    }

    /// Forgets the dead.
    pub(super) fn release(&mut self, store: &mut Store) {
        while let Some(element) = self.ring.front().filter(|e| Some(e.latest) <= self.expired) {
            if element.origin == self.first {
                store.release_event(element.event);
            }
            self.ring.pop_front();
            self.first = self.first.wrapping_add(1);
        }
        if self.ring.capacity() > CAPACITY_MIN && self.ring.len() * 8 < self.ring.capacity() {
            self.ring.shrink_to(self.ring.len() * 2);
        }
    }

    /// How many elements were made before this one, of those that are there.
    pub(super) fn age(&self, id: Id) -> u32 {
        id.wrapping_sub(self.first)
    }

    /// An element by itself.
    pub(super) fn part(&self, id: Id) -> Option<Part> {
        let &Element { event, prefix, left, right, origin, stage, .. } = self.get(id)?;
        let origin = if origin == id { NONE } else { origin };
        Some(Part { event, stage, prefix, left, right, origin })
    }

    /// Whether an element is no copy.
    pub(super) fn is_original(&self, id: Id) -> bool {
        self.get(id).is_some_and(|element| element.origin == id)
    }

    /// Heaps without elements, of the same window.
    pub(super) fn emptied(&self) -> Heaps {
        Heaps { expired: self.expired, ..Heaps::new() }
    }

    /// The live elements of sets, with those that they are copies of and those before them, in the order in which they
    /// were made.
    pub(super) fn reachable(&self, sets: impl Iterator<Item = Id>) -> Vec<Id> {
        self.reachable_after(sets, Timestamp::MIN)
    }

    /// Those that stand for a path that began after a time.
    pub(super) fn reachable_after(&self, sets: impl Iterator<Item = Id>, after: Timestamp) -> Vec<Id> {
        let live = |id| self.live(id).filter(|element| after == Timestamp::MIN || element.latest > after);
        let mut seen = BTreeMap::new();
        let mut stack: Vec<Id> = sets.collect();
        while let Some(id) = stack.pop() {
            if let Some(element) = live(id).filter(|_| seen.insert(self.age(id), id).is_none()) {
                stack.extend([element.left, element.right, element.prefix, element.origin]);
            }
        }
        seen.into_values().collect()
    }

    /// Adds an element as it was.
    pub(super) fn restore(&mut self, part: Part, store: &mut Store) -> Id {
        let rank = |id: Id| self.get(id).filter(|_| id != NONE).map_or(0, |e| e.rank);
        let swapped = rank(part.left) < rank(part.right);
        let (left, right) = if swapped { (part.right, part.left) } else { (part.left, part.right) };
        let rank = rank(right).saturating_add(1);
        let before = if part.origin == NONE { part.prefix } else { part.origin };
        let before = self.get(before).filter(|_| before != NONE).map(|e| e.latest);
        let latest = before.unwrap_or_else(|| store.time(part.event));
        let id = self.next();
        let origin = if part.origin == NONE { id } else { part.origin };
        if origin == id {
            store.hold_event(part.event);
        }
        let Part { event, prefix, stage, .. } = part;
        self.ring.push_back(Element { event, prefix, latest, left, right, origin, place: 0, stage, rank });
        id
    }

    /// Forgets all elements.
    pub(super) fn clear(&mut self, store: &mut Store) {
        for (age, element) in (0..).zip(&self.ring) {
            if element.origin == self.first.wrapping_add(age) {
                store.release_event(element.event);
            }
        }
        self.first = self.first.wrapping_add(self.ring.len() as u32);
        self.ring = VecDeque::new();
    }

    /// How many paths these sets have together.
    pub(super) fn paths(&self, sets: impl Iterator<Item = Id>) -> usize {
        // An element is made after those that it leads to.
        let mut below: Vec<usize> = Vec::with_capacity(self.ring.len());
        let mut own: Vec<usize> = Vec::with_capacity(self.ring.len());
        for (index, element) in (0..).zip(&self.ring) {
            let of = |known: &[usize], id: Id| match self.is_live(id) {
                true => known[id.wrapping_sub(self.first) as usize],
                false => 0,
            };
            let id = self.first.wrapping_add(index);
            own.push(match (element.origin == id, element.prefix == NONE) {
                _ if !self.is_live(id) => 0,
                (false, _) => of(&own, element.origin),
                (true, true) => 1,
                (true, false) => of(&below, element.prefix),
            });
            let heap = [of(&own, id), of(&below, element.left), of(&below, element.right)];
            below.push(heap.into_iter().fold(0, usize::saturating_add));
        }
        sets.filter(|&set| self.is_live(set))
            .map(|set| below[set.wrapping_sub(self.first) as usize])
            .fold(0, usize::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Head, Position, Row, TypeId};

    fn members(heaps: &Heaps, set: Id) -> usize {
        let mut stack = vec![set];
        let mut count = 0;
        while let Some(id) = stack.pop() {
            let Some(element) = heaps.live(id) else { continue };
            let above = |below: Id| heaps.live(below).is_none_or(|e| element.latest >= e.latest);
            assert!(above(element.left) && above(element.right), "what began latest is on top");
            stack.extend([element.left, element.right]);
            count += 1;
        }
        count
    }

    fn steps_right(heaps: &Heaps, set: Id) -> usize {
        std::iter::successors(heaps.live(set), |element| heaps.live(element.right)).count()
    }

    #[test]
    fn sets_in_any_order_stay_flat_and_lose_what_is_dead() {
        const COUNT: usize = 4_000;
        let position = Position { stream: 0, partition: 0, offset: 0 };
        let mut store = Store::default();
        let mut keep = |time: usize| {
            let head = Head { time: Timestamp(time as i64), position, kind: TypeId::NONE, raw: 0..2 };
            store.keep(&Row { head: &head, text: "{}", unescaped: "", slots: &[] }, time as u64)
        };
        let events: Vec<u32> = (0..COUNT).map(&mut keep).collect();
        let event = events[COUNT - 1];
        let mut heaps = Heaps::new();
        let begun: Vec<Id> =
            events.iter().map(|&event| heaps.insert(NONE, event, 0, NONE, &mut store)).collect();
        // The earliest last, the latest last, and as it comes.
        for order in [COUNT - 1, 1, 1_237] {
            let mut set = NONE;
            for i in 1..=COUNT {
                let after = begun[i * order % COUNT];
                set = heaps.insert(set, event, 1, after, &mut store);
                assert!(steps_right(&heaps, set) <= 12);
            }
            assert_eq!(members(&heaps, set), COUNT);
        }
        let (mut odd, mut even) = (NONE, NONE);
        for (i, &after) in begun.iter().enumerate() {
            let set = if i % 2 == 0 { &mut even } else { &mut odd };
            *set = heaps.insert(*set, event, 1, after, &mut store);
        }
        heaps.expire(Timestamp(COUNT as i64 / 4 - 1));
        let all = heaps.merge(odd, even);
        assert_eq!([all, odd, even].map(|set| members(&heaps, set)), [3_000, 1_500, 1_500]);
        assert_eq!(heaps.paths([all, odd, NONE].into_iter()), 4_500);
        assert!(all < FIRST, "numbers have wrapped");
        heaps.expire(Timestamp(COUNT as i64 - 1));
        assert!(!heaps.is_live(all));
        heaps.release(&mut store);
        events.into_iter().for_each(|event| store.release_event(event));
        assert_eq!((heaps.len(), store.events()), (0, 0));
    }
}
