//! What one key of one pattern holds: its partial matches, grouped by state, and the complete matches that wait for
//! their turn under a skip strategy. A key that holds nothing does not exist.

use smallvec::SmallVec;

use super::store::Store;
use super::table::StateId;
use crate::event::{TimeSpan, Timestamp};
use crate::pattern::plan::Within;

/// A partial match: the last step of its path, and its first event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) node: u32,
    pub(crate) first: u32,
}

impl Run {
    /// When its window closes.
    pub(crate) fn deadline(&self, within: Within, store: &Store) -> Timestamp {
        let Within { span, between_events } = within;
        let from = if between_events { store.nodes[self.node].event } else { self.first };
        store.events[from].time().plus(TimeSpan(span.0))
    }
}

/// The partial matches that are in one state: one look into the table serves all of them.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) state: StateId,
    pub(crate) runs: SmallVec<[Run; 2]>,
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

/// What one key holds.
#[derive(Debug, Default)]
pub(crate) struct KeyState {
    pub(crate) groups: SmallVec<[Group; 1]>,
    /// Boxed: most patterns have no skip strategy, and most keys nothing that waits.
    #[expect(clippy::box_collection, reason = "one word for the many keys where nothing waits")]
    pub(crate) waiting: Option<Box<Vec<Waiting>>>,
}

impl KeyState {
    /// Adds a partial match.
    pub(crate) fn add(&mut self, state: StateId, run: Run) {
        match self.groups.iter_mut().find(|g| g.state == state) {
            Some(group) => group.runs.push(run),
            None => self.groups.push(Group { state, runs: SmallVec::from_slice(&[run]) }),
        }
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.waiting.as_ref().is_none_or(|w| w.is_empty())
    }

    /// Some event of the key.
    pub(crate) fn some_event(&self, store: &Store) -> Option<u32> {
        if let Some(run) = self.groups.first().and_then(|g| g.runs.first()) {
            return Some(run.first);
        }
        self.waiting.as_ref()?.first().map(|w| store.nodes[w.node].event)
    }
}
