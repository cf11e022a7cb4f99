//! The paths of complete sets in the order of the output, without holding more of them than one.
//!
//! What the sets are made of is gathered as a graph from each element to those that go on from it, in the order of
//! their events. Walking that graph depth first gives the paths in order; each edge is part of some path, so the work
//! follows what is found. Only where one event can continue a path under two stages that both go on, the order of the
//! elements does not say that of the paths, and they are sorted as a whole.

use std::ops::Range;

use super::heap::{Heaps, Id, NONE};
use crate::engine::sorter;
use crate::engine::store::Store;
use crate::event::Position;

/// Room for more edges is given back after use.
const ROOM_MAX: usize = 1 << 16;

/// Paths that an event makes complete.
#[derive(Debug, Clone, Copy)]
pub(super) struct Complete {
    /// The stage that takes the event; none: the event is not part of the match.
    pub(super) stage: Option<u16>,
    /// The paths before.
    pub(super) prefix: Id,
}

/// Gives out paths; what it keeps is room.
#[derive(Debug, Default)]
pub(super) struct Enumeration {
    steps: Vec<Step>,
    /// For each step in turn, the steps that it goes on from.
    members: Vec<u32>,
    /// All steps in the order of the output.
    order: Vec<(Position, u32, u32)>,
    /// The steps of `steps`, in that order.
    ranked: Vec<Ranked>,
    /// For each ranked step in turn, the ranks of those that go on from it; behind them, the beginnings.
    successors: Vec<u32>,
    /// Elements that are still to be seen.
    stack: Vec<Id>,
    /// Successors that are still to be walked.
    walk: Vec<Range<u32>>,
    path: Vec<(u32, u32)>,
}

/// An element, or the completing event under one stage.
#[derive(Debug)]
struct Step {
    /// The element; none for the completing event.
    id: Id,
    event: u32,
    stage: u16,
    prefix: Id,
    /// Where its members are.
    members: Range<u32>,
    rank: u32,
    /// How many go on from it.
    degree: u32,
    /// Whether paths that end here are complete.
    ends: bool,
}

#[derive(Debug)]
struct Ranked {
    event: u32,
    stage: u32,
    successors: Range<u32>,
    ends: bool,
}

impl Enumeration {
    /// Hands out the paths of `complete`, each one's steps as (kept event, stage), in order, but not more than `most`; how
    /// many more there are. `event` is the completing event as it is kept.
    pub(super) fn run(
        &mut self,
        complete: &[Complete],
        event: u32,
        heaps: &mut Heaps,
        store: &Store,
        most: u64,
        mut give: impl FnMut(&[(u32, u32)]),
    ) -> u64 {
        self.gather(complete, event, heaps);
        let left_out = if self.connect(store) {
            self.walk(most, store, give)
        } else {
            let mut paths: Vec<(u32, u32)> = Vec::new();
            let mut ranges: Vec<Range<usize>> = Vec::new();
            let left_out = self.walk(most, store, |path| {
                ranges.push(paths.len()..paths.len() + path.len());
                paths.extend_from_slice(path);
            });
            ranges.sort_unstable_by(|a, b| sorter::order(&paths[a.clone()], &paths[b.clone()], store));
            ranges.into_iter().for_each(|range| give(&paths[range]));
            left_out
        };
        if self.members.capacity() > ROOM_MAX {
            *self = Enumeration::default();
        }
        left_out
    }

    /// Finds the steps of all paths, and which goes on from which.
    fn gather(&mut self, complete: &[Complete], event: u32, heaps: &mut Heaps) {
        self.steps.clear();
        self.members.clear();
        for of in complete {
            let Some(stage) = of.stage else {
                let from = self.members.len();
                self.members(of.prefix, heaps);
                // They go on to nothing.
                for member in self.members.drain(from..) {
                    let step = &mut self.steps[member as usize];
                    step.degree -= 1;
                    step.ends = true;
                }
                continue;
            };
            let (id, prefix) = (NONE, of.prefix);
            self.steps.push(Step { id, event, stage, prefix, members: 0..0, rank: 0, degree: 0, ends: true });
        }
        let mut at = 0;
        while let Some(step) = self.steps.get(at) {
            let from = self.members.len() as u32;
            self.members(step.prefix, heaps);
            self.steps[at].members = from..self.members.len() as u32;
            at += 1;
        }
    }

    /// Appends the steps that are the elements of a set.
    fn members(&mut self, set: Id, heaps: &mut Heaps) {
        let Enumeration { steps, members, stack, .. } = self;
        let mut next = set;
        loop {
            let Some(element) = heaps.live(next) else {
                match stack.pop() {
                    Some(id) => next = id,
                    None => return,
                }
                continue;
            };
            next = element.left;
            if element.right != NONE {
                stack.push(element.right);
            }
            let id = element.origin;
            let Some(origin) = heaps.get_mut(id) else { unreachable!("it began as early as its copy") };
            let step = match steps.get_mut(origin.place as usize).filter(|step| step.id == id) {
                Some(step) => step,
                None => {
                    origin.place = steps.len() as u32;
                    let (event, stage, prefix) = (origin.event, origin.stage, origin.prefix);
                    steps.push(Step {
                        id,
                        event,
                        stage,
                        prefix,
                        members: 0..0,
                        rank: 0,
                        degree: 0,
                        ends: false,
                    });
                    &mut steps[origin.place as usize]
                }
            };
            step.degree += 1;
            members.push(origin.place);
        }
    }

    /// Puts the steps in order and tells each which ones go on from it; whether walking them gives the paths in order.
    fn connect(&mut self, store: &Store) -> bool {
        let Enumeration { steps, members, order, ranked, successors, .. } = self;
        order.clear();
        order.extend(
            (0..)
                .zip(steps.iter())
                .map(|(number, step)| (store.position(step.event), u32::from(step.stage), number)),
        );
        order.sort_unstable();
        ranked.clear();
        let mut from = 0;
        let mut twins = false;
        for (rank, &(_, stage, number)) in (0..).zip(order.iter()) {
            let step = &mut steps[number as usize];
            step.rank = rank;
            twins |= ranked.last().is_some_and(|r: &Ranked| r.event == step.event);
            ranked.push(Ranked { event: step.event, stage, successors: from..from, ends: step.ends });
            from += step.degree;
        }
        successors.clear();
        successors.resize(from as usize, 0);
        // Of one event under two stages, no order is right for all that follows; after the last event nothing follows.
        let parts = |ranked: &[Ranked], before: u32, step: &Step| {
            twins && step.id != NONE && ranked[before as usize].event == step.event
        };
        let mut in_order = true;
        for (rank, &(_, _, number)) in (0..).zip(order.iter()) {
            let step = &steps[number as usize];
            for &member in &members[step.members.start as usize..step.members.end as usize] {
                let goes_on = steps[member as usize].rank as usize;
                let Range { start, end } = ranked[goes_on].successors;
                in_order &= start == end || !parts(ranked, successors[end as usize - 1], step);
                successors[end as usize] = rank;
                ranked[goes_on].successors.end += 1;
            }
        }
        let first = successors.len();
        for (rank, &(_, _, number)) in (0..).zip(order.iter()) {
            let step = &steps[number as usize];
            if step.prefix == NONE {
                in_order &= successors
                    .get(first..)
                    .and_then(<[u32]>::last)
                    .is_none_or(|&before| !parts(ranked, before, step));
                successors.push(rank);
            }
        }
        self.walk.clear();
        self.walk.push(first as u32..self.successors.len() as u32);
        in_order
    }

    /// How many paths go on from some steps.
    fn count(&self, beginnings: Range<u32>, store: &Store) -> u64 {
        let Enumeration { ranked, successors, .. } = self;
        let mut from = vec![0_u64; ranked.len()];
        let sum = |from: &[u64], to: &Range<u32>| {
            let to = &successors[to.start as usize..to.end as usize];
            to.iter().fold(0_u64, |sum, &step| sum.saturating_add(from[step as usize]))
        };
        // A step goes on to those of later events only.
        let mut last_first: Vec<usize> = (0..ranked.len()).collect();
        last_first.sort_unstable_by_key(|&rank| std::cmp::Reverse(store.sequence(ranked[rank].event)));
        for rank in last_first {
            from[rank] = sum(&from, &ranked[rank].successors).saturating_add(u64::from(ranked[rank].ends));
        }
        sum(&from, &beginnings)
    }

    /// Walks the steps depth first, from the beginnings on, and hands out so many paths; how many more there are.
    fn walk(&mut self, most: u64, store: &Store, mut give: impl FnMut(&[(u32, u32)])) -> u64 {
        let beginnings = self.walk.first().cloned().unwrap_or(0..0);
        let mut left = most;
        let Enumeration { ranked, successors, walk, path, .. } = self;
        path.clear();
        while let Some(next) = walk.last_mut() {
            if next.start == next.end {
                walk.pop();
                path.pop();
                continue;
            }
            let step = &ranked[successors[next.start as usize] as usize];
            next.start += 1;
            path.push((step.event, step.stage));
            if step.ends {
                if left == 0 {
                    return self.count(beginnings, store).saturating_sub(most);
                }
                left -= 1;
                give(path);
            }
            if step.successors.start < step.successors.end {
                walk.push(step.successors.clone());
            } else {
                path.pop();
            }
        }
        0
    }
}
