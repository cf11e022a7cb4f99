//! The events that partial matches began with, as heaps with the earliest on top: pairing heaps, because groups of
//! them are only ever united, and lose what began first.

use crate::engine::slab::Slab;
use crate::engine::store::NONE;

/// An event that partial matches began with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    /// Its sequence number.
    pub(super) sequence: u64,
    /// The first steps of its paths, in the order of the ranking that it began with: a list of nodes.
    pub(super) nodes: u32,
    /// Where its paths go on; `NONE` where the first step was the last.
    pub(super) segment: u32,
    /// The first of those right below in the heap.
    below: u32,
    /// The next one below the same.
    beside: u32,
}

impl Default for Start {
    fn default() -> Self {
        Start { sequence: 0, nodes: NONE, segment: NONE, below: NONE, beside: NONE }
    }
}

/// The starts of one pattern in one shard. A heap is its root, `NONE` where it is empty.
#[derive(Debug, Default)]
pub(super) struct Starts {
    slab: Slab<Start>,
    /// Empty between calls.
    pending: Vec<u32>,
    kept: Vec<u32>,
}

impl Starts {
    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    /// A heap of one.
    pub(super) fn add(&mut self, sequence: u64, nodes: u32, segment: u32) -> u32 {
        self.slab.insert(Start { sequence, nodes, segment, ..Start::default() })
    }

    /// The earliest of a heap that is not empty.
    #[inline]
    pub(super) fn first(&self, heap: u32) -> Start {
        self.slab[heap]
    }

    /// Both heaps as one.
    pub(super) fn merge(&mut self, a: u32, b: u32) -> u32 {
        if a == NONE || b == NONE {
            return a.min(b);
        }
        let (top, other) = if self.slab[a].sequence <= self.slab[b].sequence { (a, b) } else { (b, a) };
        self.slab[other].beside = self.slab[top].below;
        self.slab[top].below = other;
        top
    }

    /// Takes out the earliest ones, as long as `is_over` says so; the heap that is left.
    pub(super) fn prune(
        &mut self,
        heap: u32,
        is_over: impl Fn(&Start) -> bool,
        mut give: impl FnMut(Start),
    ) -> u32 {
        let Starts { slab, pending, kept } = self;
        pending.extend((heap != NONE).then_some(heap));
        while let Some(at) = pending.pop() {
            if !is_over(&slab[at]) {
                slab[at].beside = NONE;
                kept.push(at);
                continue;
            }
            let start = slab.remove(at);
            let mut child = start.below;
            while child != NONE {
                pending.push(child);
                child = slab[child].beside;
            }
            give(start);
        }
        // In pairs and then one after the other: that keeps heaps flat.
        let mut kept = std::mem::take(&mut self.kept);
        let pairs = kept.len() / 2;
        for pair in 0..pairs {
            kept[pair] = self.merge(kept[2 * pair], kept[2 * pair + 1]);
        }
        if kept.len() % 2 == 1 {
            kept[pairs] = kept[2 * pairs];
        }
        kept.truncate(kept.len().div_ceil(2));
        let heap = kept.drain(..).rev().fold(NONE, |heap, other| self.merge(heap, other));
        self.kept = kept;
        heap
    }

    /// All of a heap, in no order that means anything.
    pub(super) fn all(&self, heap: u32) -> impl Iterator<Item = Start> {
        let mut stack = Vec::from_iter((heap != NONE).then_some(heap));
        std::iter::from_fn(move || {
            let start = self.slab[stack.pop()?];
            stack.extend([start.below, start.beside].into_iter().filter(|&at| at != NONE));
            Some(start)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heaps_lose_the_earliest_first_however_they_were_united() {
        const COUNT: u64 = 3_000;
        let mut starts = Starts::default();
        // Numbers in an order far from theirs, in heaps that are united two by two.
        let mut heaps: Vec<u32> = (0..COUNT).map(|i| starts.add(i * 1_237 % COUNT, NONE, NONE)).collect();
        while heaps.len() > 1 {
            let pair = |pair: &[u32]| pair.iter().fold(NONE, |heap, &other| starts.merge(heap, other));
            heaps = heaps.chunks(2).map(pair).collect();
        }
        let mut heap = heaps[0];
        let mut limit = 0;
        for step in [1, 1, 1, 2, 500, 1, 0, 1_000].into_iter().cycle() {
            assert_eq!(starts.len(), starts.all(heap).count());
            if heap == NONE {
                break;
            }
            assert_eq!(starts.first(heap).sequence, limit);
            let mut gone: Vec<u64> = Vec::new();
            heap =
                starts.prune(heap, |start| start.sequence < limit + step, |start| gone.push(start.sequence));
            gone.sort_unstable();
            assert_eq!(gone, Vec::from_iter(limit..(limit + step).min(COUNT)));
            limit += step;
        }
        assert_eq!((starts.len(), limit >= COUNT), (0, true));
    }
}
