//! Runs as cold keys.

use super::{KeyState, Runner};
use crate::engine::changed::Changes;
use crate::engine::cold::evict::{Evict, Hot};
use crate::engine::keys::Found;
use crate::engine::saved::runs;
use crate::engine::store::Store;

impl Runner {
    pub(crate) fn changes_mut(&mut self) -> &mut Changes {
        &mut self.changes
    }

    /// About how many bytes its keys take outside of the store.
    pub(crate) fn bytes(&self) -> usize {
        self.keys.bytes()
    }

    /// Goes over the keys once and drops those that are cold from now on.
    pub(crate) fn evict(&mut self, evict: &mut Evict<'_>) {
        for _ in 0..self.keys.len() {
            if !evict.goes_on() {
                return;
            }
            let next = self.keys.next(evict.hand).or_else(|| self.keys.next(Found::default()));
            let Some(place) = next else { return };
            let mut key = KeyState { first: self.keys.get(place) };
            let table = evict.table;
            let is_between = evict.within.is_some_and(|within| within.between_events);
            let span = evict.within.map(|within| within.span);
            let (mut newest, mut begins) = (0, None);
            for run in key.runs(evict.store) {
                let step = evict.store.nodes[run];
                newest = newest.max(evict.store.sequence(step.event));
                let from = evict.store.time(if is_between { step.event } else { step.first });
                begins = Some(begins.map_or(from, |begins| from.min(begins)));
            }
            let deadline = begins.zip(span).map(|(begins, span)| begins.plus(span));
            let event = key.some_event(evict.store);
            let hot = Hot { tag: self.keys.tag(place), event, newest, deadline };
            let encode = |store: &Store| runs::encode(key, store, table);
            evict.hand = if evict.takes(&hot, encode) {
                self.keys.remove(place);
                key.clear(evict.store);
                // Those behind have moved up.
                place
            } else {
                place.behind()
            };
        }
    }
}
