//! Budgets of patterns: counted per key at each event, so that what is dropped follows from the events alone, whatever the
//! number of shards and however often the engine is restarted.
//!
//! Each store says what a key holds as a [`Measure`], and drops what began up to some time; which time that is, is decided
//! here. What a store cannot count at once it bounds from above, and counts when the bound is reached.

mod blocked;
mod enforce;

use std::cmp::Reverse;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

pub(super) use self::blocked::{Blocked, blocked_of, put_blocked};
pub(super) use self::enforce::{EventKey, Keeper, Kept};
pub use self::enforce::{Excess, Hit, Sums};
use super::store::Store;
use crate::event::Timestamp;

/// From here on, what is dropped is an eighth of the budget more than has to be: counting it all costs as much as it is.
const LARGE: u64 = 1024;

/// Budgets of a pattern; `u64::MAX` where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Partial matches of a key. Of stores that do not hold them one by one: events that began some, or were taken by a
    /// stage.
    pub partial_matches_per_key: u64,
    /// Events that are kept for a key.
    pub events_per_key: u64,
    /// Bytes of the events that are kept for a key.
    pub bytes_per_key: u64,
    /// Partial matches of all keys.
    pub partial_matches: u64,
    /// Bytes of the events that are kept for each key, over all keys.
    pub bytes: u64,
    /// Matches that leave of those that one event completes.
    pub matches_per_event: u64,
    /// Whether the oldest partial matches of a key are dropped; else all of them are, and the key takes no part any more.
    pub drops_oldest: bool,
}

/// Which budget was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Limit {
    /// Partial matches of a key.
    PartialMatchesPerKey,
    /// Events that are kept for a key.
    EventsPerKey,
    /// Bytes of the events that are kept for a key.
    BytesPerKey,
    /// Matches of an event.
    MatchesPerEvent,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget {
            partial_matches_per_key: u64::MAX,
            events_per_key: u64::MAX,
            bytes_per_key: u64::MAX,
            partial_matches: u64::MAX,
            bytes: u64::MAX,
            matches_per_event: u64::MAX,
            drops_oldest: false,
        }
    }
}

impl Budget {
    /// A budget, or none.
    pub fn some(budget: Option<NonZeroU64>) -> u64 {
        budget.map_or(u64::MAX, NonZeroU64::get)
    }

    /// Whether the events of a key are counted.
    pub(super) fn counts_events(&self) -> bool {
        self.events_per_key.min(self.bytes_per_key) < u64::MAX
    }

    /// Whether something is counted over all keys.
    pub(super) fn counts_sums(&self) -> bool {
        self.partial_matches.min(self.bytes) < u64::MAX
    }
}

/// What a key holds, as budgets count it.
#[derive(Debug, Default)]
pub(super) struct Measure {
    /// Of each partial match, or of what stands for them, when it began; the latest where it stands for several.
    pub(super) began: Vec<Timestamp>,
    /// The kept events, each with when the latest partial match began that holds it. Empty where nobody asks.
    events: Vec<(u32, Timestamp)>,
}

impl Measure {
    /// An event is held by a partial match that began then.
    pub(super) fn event(&mut self, event: u32, began: Timestamp) {
        self.events.push((event, began));
    }

    /// All is told.
    pub(super) fn finish(mut self) -> Measure {
        self.events.sort_unstable_by_key(|&(event, began)| (event, Reverse(began)));
        self.events.dedup_by_key(|(event, _)| *event);
        self
    }

    /// How many events there are.
    pub(super) fn events(&self) -> u64 {
        self.events.len() as u64
    }

    /// How many bytes they are.
    pub(super) fn bytes(&self, store: &Store) -> u64 {
        self.events.iter().map(|&(event, _)| store.row(event).object_len() as u64).sum()
    }

    /// The first budget that is exceeded, and how much there is.
    fn exceeds(&self, budget: &Budget, store: &Store) -> Option<(Limit, u64, u64)> {
        let counts = [
            (Limit::PartialMatchesPerKey, budget.partial_matches_per_key, self.began.len() as u64),
            (Limit::EventsPerKey, budget.events_per_key, self.events()),
            (Limit::BytesPerKey, budget.bytes_per_key, self.bytes(store)),
        ];
        counts.into_iter().find(|(_, budget, count)| count > budget)
    }

    /// The earliest time so that all budgets are kept to once everything is gone that began up to then.
    fn until(&self, budget: &Budget, store: &Store) -> Timestamp {
        let began = self.began.iter().map(|&at| (at, 1)).collect();
        let counted = self.events.iter().map(|&(_, at)| (at, 1)).collect();
        let sized =
            self.events.iter().map(|&(event, at)| (at, store.row(event).object_len() as u64)).collect();
        let until = [
            until(began, budget.partial_matches_per_key),
            until(counted, budget.events_per_key),
            until(sized, budget.bytes_per_key),
        ];
        until.into_iter().max().unwrap_or(Timestamp::MIN)
    }
}

/// The same for one budget, of what each is by when it goes.
fn until(mut all: Vec<(Timestamp, u64)>, budget: u64) -> Timestamp {
    let total: u64 = all.iter().map(|(_, size)| size).sum();
    if total <= budget {
        return Timestamp::MIN;
    }
    let kept = if budget < LARGE { budget } else { budget - budget / 8 };
    all.sort_unstable();
    let mut left = total;
    for (at, size) in all {
        left -= size;
        if left <= kept {
            return at;
        }
    }
    Timestamp::MAX
}
