//! Many keys: those of several events are looked at together before the events are taken, so that the misses of the caches
//! are waited for together.

use smallvec::SmallVec;

use super::{Engine, for_each_concern, hashes_of};
use crate::engine::deadlines::Deadline;
use crate::engine::matched::MatchSink;
use crate::engine::route::Route;
use crate::engine::set::{Compiled, PatternSet};
use crate::engine::truths::KeyHash;
use crate::event::{Batch, Row};

/// Events whose keys are looked at together before they are taken.
pub(super) const WARMED: usize = 16;

/// From so many keys on, what they hold does not fit into the caches.
const MANY_KEYS: usize = 1 << 15;

/// From so many keys on, those of the next deadlines are looked at ahead: each is hashed once more for that.
const MANY_CLOSINGS: usize = 16 * MANY_KEYS;

/// From so many patterns on, what leads to them does not fit into the caches.
const MANY_PATTERNS: usize = 512;

impl Engine {
    /// The same where some are looked at together before they are taken.
    pub(super) fn process_warmed(
        &mut self,
        set: &PatternSet,
        batch: &Batch,
        sink: &mut impl MatchSink,
    ) -> u64 {
        let mut passed = std::mem::take(&mut self.passed);
        passed.clear();
        let mut number = 0_u64;
        for (index, rows) in &batch.runs {
            let block = &*batch.blocks[*index as usize];
            for_each_concern(block, rows, |row| {
                passed.push((number + u64::from(row - rows.start), *index, row))
            });
            number += u64::from(rows.end - rows.start);
        }
        for some in passed.chunks(WARMED) {
            let event = |&(_, index, row): &(u64, u32, u32)| {
                let block = &*batch.blocks[index as usize];
                (block.row(row as usize), hashes_of(block, row))
            };
            let warmed = self.warm(set, some.iter().map(event));
            for (place, passed @ &(number, index, row)) in some.iter().enumerate() {
                let hashes = warmed.get(place).map_or(event(passed).1, std::slice::from_ref);
                let block = &batch.blocks[index as usize];
                self.event(set, (block, row), self.sequence + number, hashes, sink);
            }
        }
        self.passed = passed;
        number
    }

    /// Whether there is so much to look at that `warm` pays.
    pub(super) fn warms(&self) -> bool {
        match &*self.runners {
            [only] => only.keys() >= MANY_KEYS,
            many => many.len() >= MANY_PATTERNS,
        }
    }

    /// Looks at what the keys of some events hold, step by step for all of them: where there are so many keys that each
    /// step misses the caches, the misses of several events are waited for together. The keys' hashes, if it did.
    pub(super) fn warm<'a>(
        &self,
        set: &PatternSet,
        events: impl Iterator<Item = (Row<'a>, &'a [u64])>,
    ) -> SmallVec<[u64; WARMED]> {
        // With one key specification an event has one hash.
        let [slots] = set.schema().keys.as_slice() else { return SmallVec::new() };
        let hash = |(row, known): (Row<'_>, &[u64])| {
            KeyHash::new(&self.hasher, slots, known.first().copied().unwrap_or(0)).get(&row)
        };
        match &*self.runners {
            [only] => {
                let hashes: SmallVec<_> = events.map(hash).collect();
                self.store.warm(hashes.iter().filter_map(|&hash| only.first_of(hash)).collect());
                hashes
            }
            many => {
                let events: SmallVec<[_; WARMED]> = events.collect();
                let routes: SmallVec<[Option<&Route>; WARMED]> =
                    events.iter().map(|(row, _)| set.routes.of(row.head.kind).next()).collect();
                let numbers: SmallVec<[Option<u32>; WARMED]> =
                    routes.iter().map(|route| route.and_then(Route::first_of_few)).collect();
                let known = numbers.iter().flatten();
                let patterns: SmallVec<[&Compiled; WARMED]> =
                    known.map(|&number| &*set.patterns[number as usize]).collect();
                std::hint::black_box(patterns.iter().map(|pattern| pattern.touch()).sum::<usize>());
                let hashes: SmallVec<[u64; WARMED]> = events.into_iter().map(hash).collect();
                let key = |(number, hash): (&Option<u32>, &u64)| {
                    number.and_then(|number| many[number as usize].first_of(*hash))
                };
                self.store.warm(numbers.iter().zip(&hashes).filter_map(key).collect());
                hashes
            }
        }
    }

    /// The same for the keys of the next deadlines, among which some are in vain.
    pub(super) fn warm_closings(&self, set: &PatternSet) {
        let hash = |next: Deadline| {
            let slots = &set.schema().keys[set.patterns[next.pattern as usize].key];
            (next.pattern, self.hasher.hash(&self.store.row(next.event), slots))
        };
        let next = self.deadlines.upcoming().take(4 * WARMED);
        let next = next.map(|next| Deadline { pattern: set.heirs[next.pattern as usize], ..next });
        let many = next.filter(|next| self.runners[next.pattern as usize].keys() >= MANY_CLOSINGS);
        let alive = many.filter(|next| next.begins(&self.store).is_some()).take(WARMED);
        let hashes: SmallVec<[(u32, u64); WARMED]> = alive.map(hash).collect();
        let key = |&(number, hash): &(u32, u64)| self.runners[number as usize].first_of(hash);
        self.store.warm(hashes.iter().filter_map(key).collect());
    }
}
