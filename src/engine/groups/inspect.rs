//! What a key holds as groups of starts, looked at: of each start and each state of its group one path.

use std::ops::Range;

use super::rankings::Rankings;
use super::starts::Start;
use super::{GroupRunner, Held, Keyed, NONE, saved, spread};
use crate::engine::changed::Tag;
use crate::engine::inspect::{Inspect, View};
use crate::engine::key_state::WAITING;
use crate::engine::store::Store;
use crate::engine::table::{StateId, Table};

struct Groups<'a> {
    keyed: &'a Keyed,
    held: &'a Held,
    rankings: &'a Rankings,
    store: &'a Store,
}

impl GroupRunner {
    fn view<'a>(&'a self, keyed: &'a Keyed, store: &'a Store) -> Groups<'a> {
        Groups { keyed, held: &self.held, rankings: &self.rankings, store }
    }
}

impl Inspect for GroupRunner {
    fn each(&self, store: &Store, wanted: &dyn Fn(u32) -> bool, give: &mut dyn FnMut(&dyn View)) {
        for keyed in self.keys.iter().filter(|keyed| wanted(keyed.tag.hash())) {
            give(&self.view(keyed, store));
        }
    }

    fn find(&self, store: &Store, hash: u32, is_its: &dyn Fn(u32) -> bool, give: &mut dyn FnMut(&dyn View)) {
        let hash = Tag::new(hash).hash();
        let is_it = |keyed: &Keyed| keyed.tag.hash() == hash && is_its(self.held.some_event(keyed, store));
        if let Some(keyed) = self.keys.find(spread(hash), is_it) {
            give(&self.view(keyed, store));
        }
    }
}

impl Groups<'_> {
    /// The heaps of starts whose partial matches are in each state, with the place of the state in the ranking.
    fn seats(&self) -> Vec<(StateId, u32, u32)> {
        let of = |group: &super::Group| {
            let (starts, states) = (group.starts, self.rankings.states(group.ranking).iter());
            states.zip(0..).map(move |(&state, place)| (state, starts, place)).collect::<Vec<_>>()
        };
        let complete = (self.keyed.complete != NONE).then_some((WAITING, self.keyed.complete, 0));
        self.keyed.groups.iter().flat_map(of).chain(complete).collect()
    }
}

impl View for Groups<'_> {
    fn event(&self) -> u32 {
        self.held.some_event(self.keyed, self.store)
    }

    fn encoded(&self, table: &Table) -> Vec<u8> {
        saved::encode(self.keyed, self.held, self.rankings, self.store, table)
    }

    fn states(&self) -> Vec<(StateId, u64)> {
        let count = |starts: u32| self.held.starts.all(starts).count() as u64;
        self.seats().into_iter().map(|(state, starts, _)| (state, count(starts))).collect()
    }

    fn paths(&self, place: usize, range: Range<u64>) -> Vec<Vec<(u32, u32)>> {
        let Some(&(_, starts, seat)) = self.seats().get(place) else { return Vec::new() };
        let mut starts: Vec<Start> = self.held.starts.all(starts).collect();
        starts.sort_unstable_by_key(|start| start.sequence);
        let (mut chain, mut path) = (Vec::new(), Vec::new());
        let skip = usize::try_from(range.start).unwrap_or(usize::MAX);
        let take = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let path = starts.iter().skip(skip).take(take).map(|start| {
            self.held.history.path_from(start, seat, self.store, &mut chain, &mut path);
            path.clone()
        });
        path.collect()
    }

    fn ends(&self, give: &mut dyn FnMut(u32, Option<u32>)) {
        let events = |heap: u32| self.held.starts.all(heap).map(|start| self.store.nodes[start.nodes].event);
        let open = self.keyed.groups.iter().flat_map(|group| events(group.starts));
        open.for_each(|event| give(event, Some(event)));
        events(self.keyed.complete).for_each(|event| give(event, None));
    }
}
