//! Groups of starts as cold keys.

use super::{GroupRunner, Held, Keyed, saved};
use crate::engine::changed::Changes;
use crate::engine::cold::evict::{Evict, Hot};
use crate::engine::store::{NONE, Store};
use crate::engine::tagged;

impl GroupRunner {
    pub(crate) fn changes_mut(&mut self) -> &mut Changes {
        &mut self.changes
    }

    /// About how many bytes its keys take outside of the store.
    pub(crate) fn bytes(&self) -> usize {
        let Held { starts, history } = &self.held;
        self.keys.len() * 2 * size_of::<Keyed>()
            + starts.len() * size_of::<super::starts::Start>()
            + history.segments.len() * size_of::<super::history::Segment>()
    }

    /// Goes over the keys once and drops those that are cold from now on. Whether all have been gone over.
    pub(crate) fn evict(&mut self, evict: &mut Evict<'_>) -> bool {
        let GroupRunner { keys, held, rankings, .. } = self;
        keys.retain(|keyed| {
            if !evict.goes_on() {
                return true;
            }
            let table = evict.table;
            let encode = |store: &Store| {
                let state = saved::encode(keyed, held, rankings, store, table);
                (state, held.measure(keyed, true, store))
            };
            let is_cold = evict.takes(&held.hot(keyed, evict), encode);
            if is_cold {
                held.clear(keyed, evict.store);
            }
            !is_cold
        });
        tagged::shrink(keys);
        evict.goes_on()
    }
}

impl Held {
    fn hot(&self, keyed: &Keyed, evict: &Evict<'_>) -> Hot {
        let store = &*evict.store;
        let firsts = keyed.groups.iter().map(|group| self.starts.first(group.starts));
        let began = |nodes: u32| store.time(store.nodes[nodes].event);
        let begins = firsts.map(|start| began(start.nodes)).min();
        let slots = keyed.groups.iter().flat_map(|group| &self.history.segments[group.segment].slots);
        let lasts = slots.map(|slot| slot.last).filter(|last| *last != NONE);
        let event = self.some_event(keyed, store);
        let events = lasts.map(|last| store.nodes[last].event).chain([event]);
        Hot {
            tag: keyed.tag,
            event,
            newest: events.map(|event| store.sequence(event)).max().unwrap_or(0),
            deadline: begins.zip(evict.within).map(|(begins, within)| begins.plus(within.span)),
        }
    }
}
