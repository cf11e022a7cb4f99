//! Sets of paths as persistent heaps. An element is one event that was taken, together with the set of all paths that
//! it was taken after; a set is the root of a leftist heap of elements with the latest beginning on top.
//!
//! Elements never change, so a set that an element goes on from stays what it was while the state's set grows. They lie
//! in a ring in the order in which they were made, and die in that order: an element stands for no path within the
//! window once its latest beginning is outside, and all below it in the heap began earlier still. Numbers of elements
//! wrap around; they are compared by their distance, and begin shortly before they wrap.

use std::collections::VecDeque;

use smallvec::SmallVec;

use crate::engine::store::Store;

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
    /// The element that the latest path begins with.
    latest: Id,
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

/// The elements of one pattern in one shard.
#[derive(Debug)]
pub(super) struct Heaps {
    ring: VecDeque<Element>,
    /// The number of the first element in the ring.
    first: Id,
    /// Paths that begin with an element before this one are outside the window.
    live_from: Id,
}

/// Whether one element was made before another.
#[inline]
fn before(a: Id, b: Id) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

impl Heaps {
    pub(super) fn new() -> Heaps {
        Heaps { ring: VecDeque::new(), first: FIRST, live_from: FIRST }
    }

    /// How many elements there are, dead ones included.
    pub(super) fn len(&self) -> usize {
        self.ring.len()
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
        self.get(id).filter(|e| !before(e.latest, self.live_from))
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
    /// element holds a reference to the event. Tells the set and the element.
    pub(super) fn insert(
        &mut self,
        set: Id,
        event: u32,
        stage: u16,
        prefix: Id,
        store: &mut Store,
    ) -> (Id, Id) {
        store.hold_event(event);
        // What begins now began latest of all.
        let latest = self.get(prefix).filter(|_| prefix != NONE).map(|p| p.latest);
        let mut spine = Spine::new();
        let mut below = set;
        while let (Some(latest), Some(top)) = (latest, self.live(below)) {
            if !before(latest, top.latest) {
                break;
            }
            spine.push(below);
            below = top.right;
        }
        let left = self.if_live(below);
        let id = self.next();
        let latest = latest.unwrap_or(id);
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
        (self.rebuild(&spine, id), id)
    }

    /// The union of two sets that have no path in common.
    pub(super) fn merge(&mut self, mut a: Id, mut b: Id) -> Id {
        let mut spine = Spine::new();
        while let (Some(mut top), Some(other)) = (self.live(a), self.live(b)) {
            if before(top.latest, other.latest) {
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
        let latest = self.live_from.wrapping_sub(1);
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

    /// Paths that begin with this element or before are outside the window from now on.
    pub(super) fn expire(&mut self, begun: Id) {
        self.live_from = begun.wrapping_add(1);
    }

    /// Forgets the dead.
    pub(super) fn release(&mut self, store: &mut Store) {
        while let Some(element) = self.ring.front().filter(|e| before(e.latest, self.live_from)) {
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
    use crate::event::{Head, Position, Row, Timestamp, TypeId};

    fn members(heaps: &Heaps, set: Id) -> usize {
        let mut stack = vec![set];
        let mut count = 0;
        while let Some(id) = stack.pop() {
            let Some(element) = heaps.live(id) else { continue };
            let above = |below: Id| heaps.live(below).is_none_or(|e| !before(element.latest, e.latest));
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
        let head = Head { time: Timestamp(0), position, kind: TypeId::NONE, raw: 0..2 };
        let mut store = Store::new(0);
        let event = store.keep(&Row { head: &head, text: "{}", unescaped: "", slots: &[] }, 0);
        let mut heaps = Heaps::new();
        let begun: Vec<Id> = (0..COUNT).map(|_| heaps.insert(NONE, event, 0, NONE, &mut store).1).collect();
        // The earliest last, the latest last, and as it comes.
        for order in [COUNT - 1, 1, 1_237] {
            let mut set = NONE;
            for i in 1..=COUNT {
                let after = begun[i * order % COUNT];
                set = heaps.insert(set, event, 1, after, &mut store).0;
                assert!(steps_right(&heaps, set) <= 12);
            }
            assert_eq!(members(&heaps, set), COUNT);
        }
        let (mut odd, mut even) = (NONE, NONE);
        for (i, &after) in begun.iter().enumerate() {
            let set = if i % 2 == 0 { &mut even } else { &mut odd };
            *set = heaps.insert(*set, event, 1, after, &mut store).0;
        }
        heaps.expire(begun[COUNT / 4 - 1]);
        let all = heaps.merge(odd, even);
        assert_eq!([all, odd, even].map(|set| members(&heaps, set)), [3_000, 1_500, 1_500]);
        assert_eq!(heaps.paths([all, odd, NONE].into_iter()), 4_500);
        assert!(all < FIRST, "numbers have wrapped");
        heaps.expire(begun[COUNT - 1]);
        assert!(!heaps.is_live(all));
        heaps.release(&mut store);
        store.release_event(event);
        assert_eq!((heaps.len(), store.events()), (0, 0));
    }
}
