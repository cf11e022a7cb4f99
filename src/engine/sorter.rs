//! The order of the output among what is found at one event or deadline.

use std::cmp::Ordering;

use super::runner::Found;
use super::store::Store;

/// Puts what was found at one event or deadline into the order of the output.
#[derive(Debug, Default)]
pub(crate) struct Sorter {
    pub(crate) items: Vec<Item>,
    /// The paths of all items, one behind the other.
    pub(crate) paths: Vec<(u32, u32)>,
    scratch: Vec<(u32, u32)>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Item {
    pub(crate) found: Found,
    /// Where its path is; of what is found in sets there is none.
    pub(crate) from: usize,
    pub(crate) to: usize,
}

impl Sorter {
    /// Sorts what was found, each path once.
    pub(crate) fn sort(&mut self, found: &[Found], ranks: &[u32], store: &Store, at_deadline: bool) {
        self.items.clear();
        self.paths.clear();
        for &found in found {
            store.path(found.node, &mut self.scratch);
            let from = self.paths.len();
            self.paths.extend_from_slice(&self.scratch);
            self.items.push(Item { found, from, to: self.paths.len() });
        }
        if self.items.len() < 2 {
            return;
        }
        let paths = &self.paths;
        let position = |step: &(u32, u32)| store.position(step.0);
        let rank = |item: &Item| ranks[item.found.pattern as usize];
        self.items.sort_by(|a, b| {
            let (left, right) = (&paths[a.from..a.to], &paths[b.from..b.to]);
            let first = || position(&left[0]).cmp(&position(&right[0]));
            let at_first = if at_deadline { first() } else { Ordering::Equal };
            at_first
                .then_with(|| rank(a).cmp(&rank(b)))
                .then_with(|| a.found.kind.cmp(&b.found.kind))
                .then_with(|| order(left, right, store))
        });
        self.items.dedup_by(|a, b| {
            (a.found.pattern, a.found.kind) == (b.found.pattern, b.found.kind)
                && paths[a.from..a.to] == paths[b.from..b.to]
        });
    }
}

/// The order of two paths of one pattern: by the positions of their events one by one, the shorter first, then by their
/// stages.
pub(crate) fn order(left: &[(u32, u32)], right: &[(u32, u32)], store: &Store) -> Ordering {
    let position = |step: &(u32, u32)| store.position(step.0);
    let positions = left.iter().map(position).cmp(right.iter().map(position));
    positions.then_with(|| left.iter().map(|s| s.1).cmp(right.iter().map(|s| s.1)))
}
