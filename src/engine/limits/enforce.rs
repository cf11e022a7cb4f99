//! What a shard does when a key of a pattern exceeds a budget, and what it tells of that.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Blocked, Budget, Limit, Measure, blocked_of};
use crate::engine::life::Life;
use crate::engine::matched::key_json;
use crate::engine::matcher::Matcher;
use crate::engine::runner::Found;
use crate::engine::saved::{Damaged, put_name};
use crate::engine::set::{Compiled, PatternSet};
use crate::engine::shard::Engine;
use crate::engine::store::Store;
use crate::engine::truths::{Current, KeyHash};
use crate::event::{Row, Timestamp};

/// A budget that was exceeded for the first time since somebody asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// Which one.
    pub limit: Limit,
    /// What it is.
    pub budget: u64,
    /// What there was.
    pub reached: u64,
    /// The key, as a JSON object.
    pub key: String,
    /// The time of the event.
    pub time: Timestamp,
    /// Whether the pattern is to be suspended.
    pub suspends: bool,
}

/// What became of a pattern that exceeded budgets since somebody asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excess {
    /// The pattern's name.
    pub pattern: String,
    /// Its version.
    pub version: u64,
    /// The first time, and then the lowest key; one that suspends before others.
    pub hit: Hit,
    /// Partial matches that were dropped.
    pub partial_matches: u64,
    /// Matches that did not leave.
    pub matches: u64,
}

impl Excess {
    /// Takes in what became of the same pattern besides.
    pub fn add(&mut self, other: Excess) {
        self.partial_matches += other.partial_matches;
        self.matches += other.matches;
        // Of keys that come to it at one time the lowest, whichever shards they are in.
        let is_before =
            |hit: &Hit, of: &Hit| (!hit.suspends, hit.time, &hit.key) < (!of.suspends, of.time, &of.key);
        if is_before(&other.hit, &self.hit) {
            self.hit = other.hit;
        }
    }
}

/// What a pattern holds in a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sums {
    /// The pattern's name.
    pub pattern: String,
    /// Its version.
    pub version: u64,
    /// Partial matches of all keys.
    pub partial_matches: u64,
    /// Bytes of the events that are kept for each key.
    pub bytes: u64,
}

/// So many keys are known at once by how much is kept for them at most.
const BOUNDS_MAX: usize = 1 << 17;

/// What a shard keeps because of budgets.
#[derive(Debug, Default)]
pub(in crate::engine) struct Kept {
    pub(in crate::engine) blocked: Blocked,
    /// By pattern.
    excess: BTreeMap<u32, Excess>,
    /// Of keys of patterns whose kept events are counted, how many these are at most, and their bytes.
    bounds: hashbrown::HashMap<(u32, Vec<u8>), (u64, u64), ahash::RandomState>,
    /// How many events had come when sums were made last, and how much was counted for them.
    summed: (u64, u64),
}

impl Kept {
    /// The same with other numbers of patterns.
    pub(in crate::engine) fn renumbered(mut self, set: &PatternSet) -> Kept {
        let number = |excess: &Excess| set.number(&excess.pattern, excess.version);
        let excess = std::mem::take(&mut self.excess).into_values();
        let excess = excess.filter_map(|excess| Some((number(&excess)?, excess))).collect();
        Kept { excess, bounds: hashbrown::HashMap::default(), ..self }
    }

    /// Whether the events that are kept for a key may be more than a budget, now that one has been added.
    fn may_be_over(&mut self, number: u32, key: &[u8], row: &Row<'_>, budget: &Budget) -> bool {
        let Some((events, bytes)) = self.bounds.get_mut(&(number, key.to_vec())) else { return true };
        *events += 1;
        *bytes += row.raw().len() as u64;
        *events > budget.events_per_key || *bytes > budget.bytes_per_key
    }

    fn note(&mut self, number: u32, key: Vec<u8>, measure: &Measure, store: &Store) {
        if self.bounds.len() >= BOUNDS_MAX {
            self.bounds.clear();
        }
        self.bounds.insert((number, key), (measure.events(), measure.bytes(store)));
    }

    fn exceeded(
        &mut self,
        number: u32,
        pattern: &Compiled,
        key: &EventKey<'_>,
        hit: Hit,
        partial_matches: u64,
        matches: u64,
    ) {
        let (name, version) = (&pattern.plan.name, pattern.version);
        if hit.suspends {
            self.blocked.add(name, version, &key.name(), hit.clone());
        }
        let excess = Excess { pattern: name.clone(), version, hit, partial_matches, matches };
        self.add(number, excess);
    }

    fn add(&mut self, number: u32, excess: Excess) {
        match self.excess.get_mut(&number) {
            Some(known) => known.add(excess),
            None => _ = self.excess.insert(number, excess),
        }
    }
}

/// The key of an event, as one of a pattern's.
pub(in crate::engine) struct EventKey<'a> {
    pub(in crate::engine) hash: u32,
    pub(in crate::engine) row: &'a Row<'a>,
    pub(in crate::engine) slots: &'a [usize],
}

impl EventKey<'_> {
    fn name(&self) -> Vec<u8> {
        let mut name = Vec::new();
        put_name(self.row, self.slots, &mut name);
        name
    }
}

/// One pattern of a shard, an event of which is to keep to the budget.
pub(in crate::engine) struct Keeper<'a> {
    pub(in crate::engine) runner: &'a mut Matcher,
    pub(in crate::engine) kept: &'a mut Kept,
    pub(in crate::engine) store: &'a mut Store,
    pub(in crate::engine) found: &'a mut Vec<Found>,
}

impl Keeper<'_> {
    /// Looks whether a key keeps to the budgets of a pattern, after an event has changed it, and drops what is over.
    #[cold]
    pub(in crate::engine) fn keep(
        self,
        number: u32,
        budget: &Budget,
        event: &Current<'_>,
        key: &KeyHash<'_>,
        is_over: bool,
    ) {
        let pattern = &event.set.patterns[number as usize];
        let key = EventKey { hash: key.get(event.row) as u32, row: event.row, slots: key.slots() };
        let counts_events = budget.counts_events();
        let name = if counts_events { key.name() } else { Vec::new() };
        let may_be_over = counts_events && self.kept.may_be_over(number, &name, event.row, budget);
        if !is_over && !may_be_over {
            return;
        }
        let Some(measure) = self.runner.measure(&key, counts_events, self.store) else { return };
        if counts_events {
            self.kept.note(number, name, &measure, self.store);
        }
        let Some((limit, most, reached)) = measure.exceeds(budget, self.store) else { return };
        let dropped = match budget.drops_oldest {
            true => {
                let until = measure.until(budget, self.store);
                self.runner.drop_until(&key, until, event, self.store, self.found)
            }
            false => self.runner.drop_key(&key, self.store),
        };
        let hit = hit(limit, most, reached, budget, pattern, &key);
        self.kept.exceeded(number, pattern, &key, hit, dropped, 0);
    }
}

impl Engine {
    /// Whether the key of an event takes no part in a pattern any more.
    #[cold]
    pub(in crate::engine) fn is_blocked(&self, pattern: &Compiled, row: &Row<'_>, slots: &[usize]) -> bool {
        let key = EventKey { hash: 0, row, slots };
        self.kept.blocked.has(&pattern.plan.name, pattern.version, || key.name())
    }

    /// Lets keys take part again of patterns that have been decided about, and drops what is to be dropped.
    pub(in crate::engine) fn take_decisions(&mut self, set: &PatternSet) {
        if !self.kept.blocked.is_empty() {
            let decided = |set: &PatternSet, name: &str, version| {
                set.number(name, version).map(|number| set.patterns[number as usize].decided)
            };
            let old = &self.set;
            self.kept.blocked.free(|name, version| {
                let now = decided(set, name, version);
                now.is_none() || now != decided(old, name, version)
            });
        }
        for number in 0..self.set.patterns.len().min(set.patterns.len()) {
            if self.set.patterns[number].decided.1 != set.patterns[number].decided.1 {
                let slots = &set.schema().keys[set.patterns[number].key];
                self.runners[number].drop_all(slots, &mut self.store);
                self.cold.drop_all(number as u32, self.runners[number].changes_mut());
            }
        }
    }

    /// Takes that a key takes no part any more. Those of patterns that are gone are everybody's, and left out.
    pub(in crate::engine) fn restore_blocked(
        &mut self,
        key: &[u8],
        state: Option<&[u8]>,
    ) -> Result<bool, Damaged> {
        let (pattern, version, name) = blocked_of(key)?;
        let Some(home) = self.set.home(pattern) else { return Ok(true) };
        let is_own = self.owns(name, home);
        let (Some(state), true) = (state, is_own) else { return Ok(is_own) };
        let hit: Hit = serde_json::from_slice(state)
            .map_err(|_| Damaged { at: 0, expected: "which budget was exceeded" })?;
        self.kept.blocked.restore(pattern, version, name, hit.clone())?;
        if let Some(number) = self.set.number(pattern, version) {
            let pattern = pattern.to_owned();
            self.kept.add(number, Excess { pattern, version, hit, partial_matches: 0, matches: 0 });
        }
        Ok(true)
    }

    /// Takes note of matches that an event completed beyond budgets.
    #[cold]
    pub(in crate::engine) fn too_many_matches(&mut self, set: &PatternSet, row: &Row<'_>) {
        for (number, left_out) in std::mem::take(&mut self.left_out) {
            let pattern = &set.patterns[number as usize];
            let Some(budget) = &pattern.budget else { continue };
            let slots = &set.schema().keys[pattern.key];
            let key = EventKey { hash: self.hasher.hash(row, slots) as u32, row, slots };
            let most = budget.matches_per_event;
            let reached = most.saturating_add(left_out);
            let dropped = match budget.drops_oldest {
                true => 0,
                false => self.runners[number as usize].drop_key(&key, &mut self.store),
            };
            let hit = hit(Limit::MatchesPerEvent, most, reached, budget, pattern, &key);
            self.kept.exceeded(number, pattern, &key, hit, dropped, left_out);
        }
    }

    /// What became of patterns that exceeded budgets since the last call.
    pub fn excess(&mut self) -> Vec<Excess> {
        std::mem::take(&mut self.kept.excess).into_values().collect()
    }

    /// What patterns hold that have budgets over all keys; none where too few events have come since it was counted last.
    pub fn sums(&mut self) -> Option<Vec<Sums>> {
        let (at, cost) = self.kept.summed;
        if self.sequence.saturating_sub(at) < cost {
            return None;
        }
        let mut cost = 0;
        let mut sums = Vec::new();
        for &number in &self.set.summed {
            let pattern = &self.set.patterns[number as usize];
            let Some(budget) = pattern.budget.as_deref().filter(|_| pattern.life != Life::Removed) else {
                continue;
            };
            let cold = self.cold.held(number);
            let mut partial_matches = cold.partial_matches;
            let mut bytes = if budget.bytes < u64::MAX { cold.bytes } else { 0 };
            self.runners[number as usize].measure_all(budget.bytes < u64::MAX, &self.store, |measure| {
                partial_matches += measure.began.len() as u64;
                bytes += measure.bytes(&self.store);
                cost += 1 + measure.began.len() as u64 + measure.events();
            });
            let (name, version) = (pattern.plan.name.clone(), pattern.version);
            sums.push(Sums { pattern: name, version, partial_matches, bytes });
        }
        self.kept.summed = (self.sequence, cost);
        Some(sums).filter(|sums| !sums.is_empty())
    }
}

fn hit(
    limit: Limit,
    most: u64,
    reached: u64,
    budget: &Budget,
    pattern: &Compiled,
    key: &EventKey<'_>,
) -> Hit {
    let suspends = !budget.drops_oldest;
    let (key, time) = (key_json(pattern, key.row, key.slots), key.row.head.time);
    Hit { limit, budget: most, reached, key, time, suspends }
}

impl Matcher {
    /// How much the key of the last event holds at most, where a budget asks for it.
    #[inline]
    pub(in crate::engine) fn held_by_key(&self) -> u32 {
        match self {
            Matcher::Runs(runner) => runner.held_by_key,
            Matcher::Sets(runner) => runner.held_by_key,
            Matcher::Groups(runner) => runner.held_by_key,
        }
    }

    fn measure(&mut self, key: &EventKey<'_>, with_events: bool, store: &Store) -> Option<Measure> {
        match self {
            Matcher::Runs(runner) => runner.measure(key, with_events, store),
            Matcher::Sets(runner) => runner.measure(key, with_events, store),
            Matcher::Groups(runner) => runner.measure(key, with_events, store),
        }
    }

    fn measure_all(&self, with_events: bool, store: &Store, take: impl FnMut(Measure)) {
        match self {
            Matcher::Runs(runner) => runner.measure_all(with_events, store).for_each(take),
            Matcher::Sets(runner) => runner.measure_all(with_events).for_each(take),
            Matcher::Groups(runner) => runner.measure_all(with_events, store).for_each(take),
        }
    }

    /// Drops all that a key holds; how much it was.
    fn drop_key(&mut self, key: &EventKey<'_>, store: &mut Store) -> u64 {
        match self {
            Matcher::Runs(runner) => runner.drop_key(key, store),
            Matcher::Sets(runner) => runner.drop_key(key, store),
            Matcher::Groups(runner) => runner.drop_key(key, store),
        }
    }

    /// Drops what a key holds that began up to a time; how much it was. Matches that waited for it are found.
    fn drop_until(
        &mut self,
        key: &EventKey<'_>,
        until: Timestamp,
        event: &Current<'_>,
        store: &mut Store,
        found: &mut Vec<Found>,
    ) -> u64 {
        match self {
            Matcher::Runs(runner) => runner.drop_until(key, until, event, store, found),
            Matcher::Sets(runner) => runner.drop_until(key, until, store),
            Matcher::Groups(runner) => runner.drop_until(key, until, event, store, found),
        }
    }

    /// Drops what all keys hold.
    fn drop_all(&mut self, slots: &[usize], store: &mut Store) {
        match self {
            Matcher::Runs(runner) => runner.drop_all(slots, store),
            Matcher::Sets(runner) => runner.drop_all(slots, store),
            Matcher::Groups(runner) => runner.drop_all(slots, store),
        }
    }
}
