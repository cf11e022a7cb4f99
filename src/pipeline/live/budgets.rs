//! Budgets of patterns: what shards tell of those that were exceeded, and the decision that a pattern is suspended.
//!
//! What a shard drops at an event follows from the events and the control log. That the pattern is to begin nothing any
//! more has to be a decision, as others wait for it: it is made here, is durable, and takes effect at a cut.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Release};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::warn;

use super::super::decision::{Change, Decision, OldState, Suspension, What};
use super::super::registry::{Pattern, Registry};
use super::owner::Owner;
use crate::engine::{Engine, Excess, Limit, Sums};
use crate::event::Timestamp;

/// A pattern's name and version.
type Version = (String, u64);

/// What shards tell, put together until the owner takes it: no more than there are patterns.
pub(super) struct Reports {
    is_new: AtomicBool,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    excess: BTreeMap<Version, Excess>,
    /// By shard, the last of each pattern, and when it was.
    sums: Vec<BTreeMap<Version, (Timestamp, Sums)>>,
}

impl Reports {
    pub(super) fn new(shards: usize) -> Reports {
        let told = Told { excess: BTreeMap::new(), sums: vec![BTreeMap::new(); shards] };
        Reports { is_new: AtomicBool::new(false), told: Mutex::new(told) }
    }

    /// Takes what a shard has to tell after events up to a time.
    pub(super) fn take(&self, shard: usize, engine: &mut Engine, time: Timestamp) {
        let (excess, sums) = (engine.excess(), engine.sums());
        if excess.is_empty() && sums.is_none() {
            return;
        }
        self.change(|told| {
            excess.into_iter().for_each(|excess| told.add(excess));
            if let (Some(sums), Some(known)) = (sums, told.sums.get_mut(shard)) {
                let sum = |sum: Sums| ((sum.pattern.clone(), sum.version), (time, sum));
                *known = sums.into_iter().map(sum).collect();
            }
        });
    }

    fn change<T>(&self, with: impl FnOnce(&mut Told) -> T) -> T {
        let result = with(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner));
        self.is_new.store(true, Release);
        result
    }
}

impl Told {
    fn add(&mut self, excess: Excess) {
        match self.excess.get_mut(&(excess.pattern.clone(), excess.version)) {
            Some(known) => known.add(excess),
            None => _ = self.excess.insert((excess.pattern.clone(), excess.version), excess),
        }
    }

    /// The patterns that hold more than they may, over all keys.
    fn over(&self, registry: &Registry) -> Vec<(Version, Suspension)> {
        let mut totals: BTreeMap<&Version, (Timestamp, u64, u64)> = BTreeMap::new();
        for (version, (time, sums)) in self.sums.iter().flatten() {
            // What was counted before the last change says nothing of what is there now.
            if !registry.get(&version.0).is_some_and(|pattern| applies(pattern, version.1, *time, registry)) {
                continue;
            }
            let total = totals.entry(version).or_insert((*time, 0, 0));
            total.0 = total.0.max(*time);
            total.1 += sums.partial_matches;
            total.2 += sums.bytes;
        }
        let over = |(version, (time, partial_matches, bytes)): (&Version, (Timestamp, u64, u64))| {
            let own = registry.get(&version.0)?.properties.limits;
            let limits = own.over(registry.limits().0);
            let counts = [
                ("max_partial_matches", limits.max_partial_matches, partial_matches),
                ("max_retained_bytes", limits.max_retained_bytes, bytes),
            ];
            let is_over = |&(_, most, count): &(_, Option<NonZeroU64>, u64)| {
                most.is_some_and(|most| count > most.get())
            };
            let (limit, most, reached) = counts.into_iter().find(is_over)?;
            let budget = most.map_or(0, NonZeroU64::get);
            let reason = Suspension { limit: limit.to_owned(), budget, reached, key: None, time };
            Some((version.clone(), reason))
        };
        totals.into_iter().filter_map(over).collect()
    }
}

/// Whether what happened at a time concerns a pattern as it is: it is not paused, and nothing was decided since.
fn applies(pattern: &Pattern, version: u64, time: Timestamp, registry: &Registry) -> bool {
    let since = pattern.effective_from.max(registry.limits().1);
    let is_current = pattern.current().is_some_and(|current| current.number == version);
    is_current && !pattern.properties.paused && since.is_none_or(|since| since <= time)
}

fn reason(excess: &Excess) -> Suspension {
    let hit = &excess.hit;
    Suspension {
        limit: String::from(match hit.limit {
            Limit::PartialMatchesPerKey => "max_partial_matches_per_key",
            Limit::EventsPerKey => "max_retained_events_per_key",
            Limit::BytesPerKey => "max_retained_bytes_per_key",
            Limit::MatchesPerEvent => "max_matches_per_event",
        }),
        budget: hit.budget,
        reached: hit.reached,
        key: serde_json::from_str(&hit.key).ok(),
        time: hit.time,
    }
}

impl Owner {
    /// Counts what shards have dropped, and suspends patterns that exceeded budgets.
    pub(super) fn keep_to_budgets(&mut self) {
        if !self.reports.is_new.swap(false, AcqRel) {
            return;
        }
        let reports = Arc::clone(&self.reports);
        let (excess, over) = {
            let mut told = reports.told.lock().unwrap_or_else(PoisonError::into_inner);
            (std::mem::take(&mut told.excess), told.over(&self.registry))
        };
        for ((name, version), mut excess) in excess {
            let reason = reason(&excess);
            self.count(&name, &excess, &reason);
            let registry = &self.registry;
            let is_over = |pattern: &Pattern| applies(pattern, version, reason.time, registry);
            if !excess.hit.suspends || !registry.get(&name).is_some_and(is_over) {
                continue;
            }
            if !self.suspend(&name, version, reason, OldState::Drain) {
                // What was dropped is counted; the decision is made when it can be written.
                (excess.partial_matches, excess.matches) = (0, 0);
                reports.change(|told| told.add(excess));
            }
        }
        for ((name, version), reason) in over {
            if !self.suspend(&name, version, reason, OldState::Drop) {
                reports.change(|_| {});
            }
        }
    }

    fn count(&mut self, name: &str, excess: &Excess, reason: &Suspension) {
        let is_first = !self.dropped.contains_key(name);
        let dropped = Arc::make_mut(&mut self.dropped).entry(name.to_owned()).or_default();
        dropped.partial_matches += excess.partial_matches;
        dropped.matches += excess.matches;
        if is_first && !excess.hit.suspends {
            let Suspension { limit, budget, reached, .. } = reason;
            warn!(
                pattern = name,
                limit, budget, reached, "a pattern exceeded a budget: the oldest is dropped"
            );
        }
    }

    /// Decides that a pattern begins nothing any more; false where that cannot be written now.
    fn suspend(&mut self, name: &str, version: u64, reason: Suspension, state: OldState) -> bool {
        let known = self.registry.get(name).and_then(|pattern| pattern.effective_from);
        let effective_from = self.merger.next_cut().max(known);
        let Suspension { limit, budget, reached, .. } = reason.clone();
        let what = What::Suspend { reason, state };
        let changes = vec![Change { name: name.to_owned(), version, what }];
        let is_decided = self.decides(Decision::Patterns { effective_from, changes });
        if is_decided {
            warn!(
                pattern = name,
                version, limit, budget, reached, "a pattern is suspended: it exceeded a budget"
            );
            Arc::make_mut(&mut self.dropped).entry(name.to_owned()).or_default().suspensions += 1;
        }
        is_decided
    }
}
