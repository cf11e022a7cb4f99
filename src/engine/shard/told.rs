//! What a shard tells of itself: counts, costs, and what is asked by those who look inside.

use super::{Counters, Engine};
use crate::engine::cost::{Clock, Cost};
use crate::engine::inspect::Inspect;
use crate::engine::matcher::Matcher;
use crate::engine::set::PatternSet;
use crate::engine::store::Store;
use crate::engine::table::Table;
use crate::event::key::KeyHasher;

impl Engine {
    /// Does something with a clock at hand, that tells how long patterns take.
    pub fn timed<T>(&mut self, clock: Clock, with: impl FnOnce(&mut Engine) -> T) -> T {
        self.costs.time(Some(clock));
        let begun = clock();
        let done = with(self);
        self.costs.took(clock().saturating_sub(begun));
        self.costs.time(None);
        done
    }

    /// How many nanoseconds were timed, whatever they were for.
    pub fn timed_nanos(&self) -> u64 {
        self.costs.total()
    }

    /// What a pattern has cost in this shard.
    pub fn cost_of(&self, pattern: u32) -> Cost {
        self.costs.of(pattern)
    }

    /// The patterns that it runs.
    pub(in crate::engine) fn set(&self) -> &PatternSet {
        &self.set
    }

    pub(in crate::engine) fn store(&self) -> &Store {
        &self.store
    }

    pub(in crate::engine) fn hasher(&self) -> &KeyHasher {
        &self.hasher
    }

    /// The states of a pattern.
    pub(in crate::engine) fn table(&self, pattern: u32) -> &Table {
        &self.tables[self.set.patterns[pattern as usize].shape as usize]
    }

    /// The keys of a pattern, to be looked at.
    pub(in crate::engine) fn inspected(&self, pattern: u32) -> &dyn Inspect {
        self.runners[pattern as usize].inspected()
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        let without_key = self.without_key();
        let suppressed = self.sent.suppressed();
        Counters { type_errors: self.type_errors.get(), without_key, suppressed, ..self.counters }
    }

    pub(super) fn without_key(&self) -> Vec<u64> {
        let mut counts = self.counters.without_key.clone();
        for route in self.set.routes.all() {
            let count = self.without_key.get(route.number as usize).copied().unwrap_or(0);
            for &pattern in route.patterns.iter().filter(|_| count > 0) {
                counts[pattern as usize] += count;
            }
        }
        counts
    }

    /// In how many keys a pattern holds something.
    pub fn keys_of(&self, pattern: u32) -> usize {
        self.runners.get(pattern as usize).map_or(0, Matcher::keys) + self.cold.keys(pattern)
    }

    /// What is held now: keys; and in memory partial matches' steps, and kept events.
    pub fn held(&self) -> (usize, usize, usize) {
        let steps = self.store.nodes.len() + self.runners.iter().map(Matcher::steps).sum::<usize>();
        let keys = self.runners.iter().map(Matcher::keys).sum::<usize>() + self.cold_keys();
        (keys, steps, self.store.events())
    }

    /// How many partial matches there are in memory now, over all patterns and keys.
    pub fn partial_matches(&self) -> usize {
        self.runners.iter().map(|runner| runner.partial_matches(&self.store)).sum()
    }
}
