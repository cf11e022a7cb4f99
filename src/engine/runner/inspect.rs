//! What a key holds as runs, looked at.

use std::cmp::Ordering;
use std::ops::Range;

use super::{KeyState, Runner};
use crate::engine::inspect::{Inspect, View};
use crate::engine::key_state::WAITING;
use crate::engine::saved::runs;
use crate::engine::store::{NONE, Store};
use crate::engine::table::{StateId, Table};

struct Runs<'a> {
    key: KeyState,
    store: &'a Store,
}

impl Inspect for Runner {
    fn each(&self, store: &Store, wanted: &dyn Fn(u32) -> bool, give: &mut dyn FnMut(&dyn View)) {
        for (hash, first) in self.keys.hashes() {
            if wanted(hash) {
                give(&Runs { key: KeyState { first }, store });
            }
        }
    }

    fn find(&self, store: &Store, hash: u32, is_its: &dyn Fn(u32) -> bool, give: &mut dyn FnMut(&dyn View)) {
        let found = self.keys.find(hash, |first| is_its(KeyState { first }.some_event(store)));
        if let Some(found) = found {
            give(&Runs { key: KeyState { first: self.keys.get(found) }, store });
        }
    }
}

impl Runs<'_> {
    /// The last steps of complete matches that wait.
    fn waiting(&self) -> Vec<u32> {
        let waiting = self.key.waiting(self.store).map_or(&[][..], |list| &self.store.waiting[list]);
        waiting.iter().map(|waiting| waiting.node).collect()
    }

    /// Two paths, from their last steps back.
    fn compare(&self, mut a: u32, mut b: u32) -> Ordering {
        let step = |node: u32| {
            let step = self.store.nodes[node];
            (self.store.sequence(step.event), step.stage)
        };
        while a != b {
            if a == NONE || b == NONE {
                return b.cmp(&a);
            }
            let order = step(a).cmp(&step(b));
            if order.is_ne() {
                return order;
            }
            (a, b) = (self.store.before(a), self.store.before(b));
        }
        Ordering::Equal
    }
}

impl View for Runs<'_> {
    fn event(&self) -> u32 {
        self.key.some_event(self.store)
    }

    fn encoded(&self, table: &Table) -> Vec<u8> {
        runs::encode(self.key, self.store, table)
    }

    fn states(&self) -> Vec<(StateId, u64)> {
        let groups = self.key.groups(self.store).map(|(state, runs)| (state, runs.count() as u64));
        let waiting = Some((WAITING, self.waiting().len() as u64)).filter(|(_, count)| *count > 0);
        groups.chain(waiting).collect()
    }

    fn paths(&self, place: usize, range: Range<u64>) -> Vec<Vec<(u32, u32)>> {
        let group = self.key.groups(self.store).nth(place).map(|(_, runs)| runs.collect());
        let mut nodes: Vec<u32> = group.unwrap_or_else(|| self.waiting());
        let end = nodes.len().min(usize::try_from(range.end).unwrap_or(usize::MAX));
        let begin = end.min(usize::try_from(range.start).unwrap_or(usize::MAX));
        let by = |a: &u32, b: &u32| self.compare(*a, *b);
        // Only those that are wanted are put in order.
        if begin > 0 && begin < nodes.len() {
            nodes.select_nth_unstable_by(begin, by);
        }
        let behind = &mut nodes[begin..];
        if end - begin < behind.len() {
            behind.select_nth_unstable_by(end - begin, by);
        }
        nodes.truncate(end);
        nodes[begin..].sort_unstable_by(by);
        let path = |&node: &u32| {
            let mut path = Vec::new();
            self.store.path(node, &mut path);
            path
        };
        nodes[begin..].iter().map(path).collect()
    }

    fn ends(&self, give: &mut dyn FnMut(u32, Option<u32>)) {
        let step = |node: u32| self.store.nodes[node];
        self.key.runs(self.store).map(step).for_each(|step| give(step.first, Some(step.event)));
        self.waiting().into_iter().map(step).for_each(|step| give(step.first, None));
    }
}
