//! What stays in memory of cold keys.

use std::collections::BTreeMap;

use crate::engine::keys::{Found, Keys};
use crate::event::{TimeSpan, Timestamp};

/// A window's length is divided into so many leaves of the calendar.
const LEAVES: i64 = 256;

/// A leaf of so many hashes is looked through before it takes more memory.
const LONG: usize = 1024;

/// The cold keys of one pattern.
#[derive(Debug, Default)]
pub(super) struct ColdKeys {
    /// By key: the place of its record.
    pub(super) table: Keys,
    /// Where hot keys were looked at last.
    pub(super) hand: Found,
}

/// When cold keys have to be loaded: before the next deadline of each, up to a part of its window too early. A key that
/// was loaded meanwhile is still there; loading what is not cold does nothing.
#[derive(Debug)]
pub(super) struct Calendar {
    /// By time and pattern: hashes of keys.
    leaves: BTreeMap<(Timestamp, u32), Vec<u32>>,
    /// The time of the first leaf; without any, after everything.
    pub(super) next: Timestamp,
    /// The time of the last leaf that was taken out.
    reached: Timestamp,
    /// How many bytes the leaves take.
    pub(super) bytes: usize,
}

impl Default for Calendar {
    fn default() -> Self {
        Calendar { leaves: BTreeMap::new(), next: Timestamp::MAX, reached: Timestamp::MIN, bytes: 0 }
    }
}

impl Calendar {
    /// The time of the first leaf, if it comes before or with another.
    pub(super) fn due(&self, to: Timestamp) -> Option<Timestamp> {
        (!self.leaves.is_empty()).then_some(self.next).filter(|next| *next <= to)
    }

    /// Whether a key with this deadline would have to be loaded at once.
    pub(super) fn is_near(&self, deadline: Timestamp, span: TimeSpan) -> bool {
        leaf_of(deadline, span) <= self.reached
    }

    /// Adds a key of a pattern with windows of some length.
    pub(super) fn add(
        &mut self,
        deadline: Timestamp,
        span: TimeSpan,
        pattern: u32,
        hash: u32,
        is_cold: impl Fn(u32) -> bool,
    ) {
        let begin = leaf_of(deadline, span);
        let leaf = self.leaves.entry((begin, pattern)).or_default();
        let before = leaf.capacity();
        if leaf.len() == before && leaf.len() >= LONG {
            leaf.sort_unstable();
            leaf.dedup();
            leaf.retain(|&hash| is_cold(hash));
            // By a half and not by twice as much.
            let more = if leaf.len() * 4 > before * 3 { before / 2 } else { 0 };
            leaf.reserve_exact(before - leaf.len() + more);
        }
        leaf.push(hash);
        self.bytes += (leaf.capacity() - before) * size_of::<u32>();
        self.next = self.next.min(begin);
    }

    /// Takes out the first leaf: the pattern, and the hashes of its keys.
    pub(super) fn pop(&mut self) -> Option<(u32, Vec<u32>)> {
        let first = self.leaves.pop_first();
        self.next = self.leaves.first_key_value().map_or(Timestamp::MAX, |((begin, _), _)| *begin);
        let ((begin, pattern), mut hashes) = first?;
        self.reached = self.reached.max(begin);
        self.bytes -= hashes.capacity() * size_of::<u32>();
        hashes.sort_unstable();
        hashes.dedup();
        Some((pattern, hashes))
    }
}

/// When a key with a deadline is loaded.
fn leaf_of(deadline: Timestamp, span: TimeSpan) -> Timestamp {
    let width = (span.0 / LEAVES).max(1);
    Timestamp(deadline.0.saturating_sub(deadline.0.rem_euclid(width)))
}
