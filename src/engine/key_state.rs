//! What one key of one pattern holds: its partial matches, grouped by state, and the complete matches that wait for
//! their turn under a skip strategy. A key that holds nothing does not exist.

use super::store::{NONE, Store};
use super::table::StateId;

/// The partial matches of a key that are in one state: one look into the table serves all of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    /// The state, or `WAITING`.
    pub(crate) state: StateId,
    /// The last step of the first of them; or the number of the list of complete matches that wait.
    pub(crate) runs: u32,
    /// The key's next group.
    pub(crate) next: u32,
}

/// What stands for a state in the group of the complete matches that wait.
pub(crate) const WAITING: StateId = StateId::MAX;

impl Default for Group {
    fn default() -> Self {
        Group { state: 0, runs: NONE, next: NONE }
    }
}

/// A complete match that waits for a partial match that began earlier.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waiting {
    pub(crate) node: u32,
    /// The sequence number of its first event.
    pub(crate) first: u64,
    /// When it became complete, as the shard counts events and deadlines.
    pub(crate) moment: u64,
}

/// What one key holds: a list of groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyState {
    /// The first group; `NONE` where nothing is held.
    pub(crate) first: u32,
}

/// Goes through partial matches, and says which of them stay in their states.
pub(crate) trait Visit {
    /// What is the same for all partial matches in one state.
    type OfState;

    /// None where all of them stay as they are.
    fn state(&mut self, store: &mut Store, state: StateId) -> Option<Self::OfState>;

    /// Whether one of them stays. If not, its reference is the visitor's.
    fn stays(&mut self, store: &mut Store, of: &Self::OfState, state: StateId, node: u32) -> bool;
}

impl KeyState {
    /// Adds a partial match with its reference.
    pub(crate) fn add(&mut self, store: &mut Store, state: StateId, node: u32) {
        let mut at = self.first;
        while at != NONE {
            let group = &mut store.groups[at];
            if group.state == state {
                store.nodes[node].next = std::mem::replace(&mut group.runs, node);
                return;
            }
            at = group.next;
        }
        store.nodes[node].next = NONE;
        self.push(store, state, node);
    }

    fn push(&mut self, store: &mut Store, state: StateId, runs: u32) {
        self.first = store.groups.insert(Group { state, runs, next: self.first });
    }

    /// Visits all partial matches.
    pub(crate) fn visit(&mut self, store: &mut Store, visitor: &mut impl Visit) {
        let (mut at, mut last) = (self.first, NONE);
        while at != NONE {
            let Group { state, mut runs, next, .. } = store.groups[at];
            if state != WAITING
                && let Some(of) = visitor.state(store, state)
            {
                let mut node = std::mem::replace(&mut runs, NONE);
                while node != NONE {
                    let after = store.nodes[node].next;
                    if visitor.stays(store, &of, state, node) {
                        store.nodes[node].next = std::mem::replace(&mut runs, node);
                    }
                    node = after;
                }
                store.groups[at].runs = runs;
            }
            if runs == NONE {
                self.remove(store, at, last);
            } else {
                last = at;
            }
            at = next;
        }
    }

    /// Takes a group out of the list; `last` is the one before it.
    fn remove(&mut self, store: &mut Store, group: u32, last: u32) {
        let next = store.groups.remove(group).next;
        match last {
            NONE => self.first = next,
            last => store.groups[last].next = next,
        }
    }

    /// The numbers of the groups of partial matches.
    pub(crate) fn states(self, store: &Store) -> impl Iterator<Item = u32> {
        self.all(store).filter(|&at| store.groups[at].state != WAITING)
    }

    /// The partial matches, in no order that means anything.
    pub(crate) fn runs(self, store: &Store) -> impl Iterator<Item = u32> {
        self.states(store).flat_map(move |at| self.in_group(store, at))
    }

    /// The partial matches of a group.
    pub(crate) fn in_group(self, store: &Store, group: u32) -> impl Iterator<Item = u32> {
        list(store.groups[group].runs, |node| store.nodes[node].next)
    }

    fn all(self, store: &Store) -> impl Iterator<Item = u32> {
        list(self.first, |at| store.groups[at].next)
    }

    /// The complete matches that wait.
    pub(crate) fn waiting(self, store: &Store) -> Option<u32> {
        self.all(store).map(|at| &store.groups[at]).find(|g| g.state == WAITING).map(|g| g.runs)
    }

    /// The complete matches that wait, which may be none as yet.
    pub(crate) fn waiting_mut<'s>(&mut self, store: &'s mut Store) -> &'s mut Vec<Waiting> {
        let number = self.waiting(store).unwrap_or_else(|| {
            let number = store.waiting.insert(Vec::new());
            self.push(store, WAITING, number);
            number
        });
        &mut store.waiting[number]
    }

    /// Drops all that is held.
    pub(crate) fn clear(&mut self, store: &mut Store) {
        if let Some(list) = self.waiting(store) {
            let waiting = std::mem::take(&mut store.waiting[list]);
            waiting.iter().for_each(|w| store.release(w.node));
            self.forget_waiting(store);
        }
        self.visit(store, &mut Drop);
    }

    /// Forgets the list of complete matches that wait if it is empty.
    pub(crate) fn forget_waiting(&mut self, store: &mut Store) {
        let (mut at, mut last) = (self.first, NONE);
        while at != NONE {
            let group = store.groups[at];
            if group.state == WAITING && store.waiting[group.runs].is_empty() {
                store.waiting.remove(group.runs);
                return self.remove(store, at, last);
            }
            (last, at) = (at, group.next);
        }
    }
}

/// Drops every partial match.
struct Drop;

impl Visit for Drop {
    type OfState = ();

    fn state(&mut self, _: &mut Store, _: StateId) -> Option<()> {
        Some(())
    }

    fn stays(&mut self, store: &mut Store, (): &(), _: StateId, node: u32) -> bool {
        store.release(node);
        false
    }
}

/// Some event of the key whose first group this is.
#[inline]
pub(crate) fn some_event(store: &Store, first: u32) -> u32 {
    let group = &store.groups[first];
    match group.state {
        // An empty list is forgotten at once.
        WAITING => store.nodes[store.waiting[group.runs][0].node].first,
        _ => store.nodes[group.runs].first,
    }
}

/// A linked list, from its first on.
fn list(first: u32, next: impl Fn(u32) -> u32) -> impl Iterator<Item = u32> {
    let some = |at: u32| (at != NONE).then_some(at);
    std::iter::successors(some(first), move |&at| some(next(at)))
}
