//! What one key of one pattern holds: its partial matches, grouped by state, and the complete matches that wait for
//! their turn under a skip strategy. A key that holds nothing does not exist.

use super::store::{NONE, Store};
use super::table::StateId;

/// The partial matches of a key that are in one state: one look into the table serves all of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    /// The state, or `WAITING`.
    pub(crate) state: StateId,
    /// How many partial matches there are; of `WAITING`, nothing.
    pub(crate) count: u32,
    /// The last step of the first of them; or the number of the list of complete matches that wait.
    pub(crate) runs: u32,
    /// The key's next group.
    pub(crate) next: u32,
}

/// What stands for a state in the group of the complete matches that wait.
pub(crate) const WAITING: StateId = StateId::MAX;

impl Default for Group {
    fn default() -> Self {
        Group { state: 0, count: 0, runs: NONE, next: NONE }
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

/// What one key holds: its only partial match, or a list of groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyState {
    /// `NONE` where nothing is held; with the bit `SINGLE`, the last step of the only partial match, whose state stands
    /// in place of the next one; else the first group.
    pub(crate) first: u32,
}

/// Most keys hold one partial match: it takes no group.
const SINGLE: u32 = 1 << 31;

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
    /// The only partial match, where it has no group.
    #[inline]
    fn single(self) -> Option<u32> {
        (self.first & SINGLE != 0 && self.first != NONE).then_some(self.first & !SINGLE)
    }

    /// The first group, where there are groups.
    #[inline]
    fn first_group(self) -> u32 {
        if self.first & SINGLE == 0 { self.first } else { NONE }
    }

    /// Adds a partial match with its reference.
    pub(crate) fn add(&mut self, store: &mut Store, state: StateId, node: u32) {
        if self.first == NONE {
            store.nodes[node].next = state;
            self.first = node | SINGLE;
            return;
        }
        self.make_group(store);
        let mut at = self.first;
        while at != NONE {
            let group = &mut store.groups[at];
            if group.state == state {
                group.count += 1;
                store.nodes[node].next = std::mem::replace(&mut group.runs, node);
                return;
            }
            at = group.next;
        }
        store.nodes[node].next = NONE;
        self.push(store, state, node);
    }

    /// Puts the only partial match into a group, as others are to come.
    fn make_group(&mut self, store: &mut Store) {
        if let Some(node) = self.single() {
            let state = std::mem::replace(&mut store.nodes[node].next, NONE);
            self.first = store.groups.insert(Group { state, count: 1, runs: node, next: NONE });
        }
    }

    /// Takes the only partial match out of its group.
    fn make_single(&mut self, store: &mut Store) {
        if self.first_group() != NONE
            && let Group { state, runs, next: NONE, .. } = store.groups[self.first]
            && state != WAITING
            && store.nodes[runs].next == NONE
        {
            store.nodes[runs].next = state;
            store.groups.remove(self.first);
            self.first = runs | SINGLE;
        }
    }

    /// Adds a group to what is empty or has groups.
    fn push(&mut self, store: &mut Store, state: StateId, runs: u32) {
        self.first = store.groups.insert(Group { state, count: 1, runs, next: self.first });
    }

    /// Visits all partial matches.
    pub(crate) fn visit(&mut self, store: &mut Store, visitor: &mut impl Visit) {
        if let Some(node) = self.single() {
            let state = store.nodes[node].next;
            if let Some(of) = visitor.state(store, state)
                && !visitor.stays(store, &of, state, node)
            {
                self.first = NONE;
            }
            return;
        }
        let (mut at, mut last) = (self.first, NONE);
        let mut is_less = false;
        while at != NONE {
            let Group { state, mut runs, next, mut count } = store.groups[at];
            if state != WAITING
                && let Some(of) = visitor.state(store, state)
            {
                let mut node = std::mem::replace(&mut runs, NONE);
                while node != NONE {
                    let after = store.nodes[node].next;
                    if visitor.stays(store, &of, state, node) {
                        store.nodes[node].next = std::mem::replace(&mut runs, node);
                    } else {
                        is_less = true;
                        count -= 1;
                    }
                    node = after;
                }
                let group = &mut store.groups[at];
                (group.runs, group.count) = (runs, count);
            }
            if runs == NONE {
                self.remove(store, at, last);
            } else {
                last = at;
            }
            at = next;
        }
        if is_less {
            self.make_single(store);
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

    /// The states that partial matches are in, each with those.
    pub(crate) fn groups(self, store: &Store) -> impl Iterator<Item = (StateId, impl Iterator<Item = u32>)> {
        let single = self.single().map(|node| (store.nodes[node].next, node, true));
        let groups = self.all(store).map(|at| &store.groups[at]).filter(|group| group.state != WAITING);
        single.into_iter().chain(groups.map(|group| (group.state, group.runs, false))).map(
            move |(state, runs, is_single)| {
                let next = move |node| if is_single { NONE } else { store.nodes[node].next };
                (state, list(runs, next))
            },
        )
    }

    /// The partial matches, in no order that means anything.
    pub(crate) fn runs(self, store: &Store) -> impl Iterator<Item = u32> {
        self.groups(store).flat_map(|(_, runs)| runs)
    }

    /// How many partial matches there are, and complete ones that wait.
    pub(crate) fn count(self, store: &Store) -> u32 {
        let of = |at: u32| match &store.groups[at] {
            Group { state: WAITING, runs, .. } => store.waiting[*runs].len() as u32,
            group => group.count,
        };
        u32::from(self.single().is_some()) + self.all(store).map(of).sum::<u32>()
    }

    /// Calls `with` for each state that partial matches are in, in an order that stays.
    pub(crate) fn for_each_state(self, store: &mut Store, mut with: impl FnMut(&mut StateId)) {
        if let Some(node) = self.single() {
            return with(&mut store.nodes[node].next);
        }
        let mut at = self.first;
        while at != NONE {
            let group = &mut store.groups[at];
            if group.state != WAITING {
                with(&mut group.state);
            }
            at = group.next;
        }
    }

    /// Some partial match, or a complete one that waits. None where nothing is held, or where it is gone.
    #[inline]
    pub(crate) fn some_run(self, store: &Store) -> Option<u32> {
        if let Some(node) = self.single() {
            return Some(node);
        }
        let group = store.groups.get(self.first)?;
        match group.state {
            WAITING => store.waiting.get(group.runs)?.first().map(|waiting| waiting.node),
            _ => Some(group.runs),
        }
    }

    /// The first event of one of them, where some are held.
    #[inline]
    pub(crate) fn some_event(self, store: &Store) -> u32 {
        self.some_run(store).map_or(NONE, |run| store.nodes[run].first)
    }

    fn all(self, store: &Store) -> impl Iterator<Item = u32> {
        list(self.first_group(), |at| store.groups[at].next)
    }

    /// The complete matches that wait.
    pub(crate) fn waiting(self, store: &Store) -> Option<u32> {
        self.all(store).map(|at| &store.groups[at]).find(|g| g.state == WAITING).map(|g| g.runs)
    }

    /// The complete matches that wait, which may be none as yet.
    pub(crate) fn waiting_mut<'s>(&mut self, store: &'s mut Store) -> &'s mut Vec<Waiting> {
        let number = self.waiting(store).unwrap_or_else(|| {
            self.make_group(store);
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
        let (mut at, mut last) = (self.first_group(), NONE);
        while at != NONE {
            let group = store.groups[at];
            if group.state == WAITING && store.waiting[group.runs].is_empty() {
                store.waiting.remove(group.runs);
                self.remove(store, at, last);
                return self.make_single(store);
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

/// A linked list, from its first on.
fn list(first: u32, next: impl Fn(u32) -> u32) -> impl Iterator<Item = u32> {
    let some = |at: u32| (at != NONE).then_some(at);
    std::iter::successors(some(first), move |&at| some(next(at)))
}
