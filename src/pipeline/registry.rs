//! The patterns as decided: every version that there ever was, which one goes for a name now, and what holds for it.
//! A fold over the control log; the engine's set follows it at the cuts.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::decision::{Budgets, Change, Decision, Entry, OldState, Properties, Suspension, What};
use super::merger::plan_of;
use crate::event::Timestamp;

/// All patterns by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Registry {
    patterns: BTreeMap<String, Arc<Pattern>>,
    /// Grows with each entry that changes a pattern; 0 before the first.
    revision: u64,
    /// How many versions there ever were.
    versions: u64,
    /// The budgets of patterns that have none of their own, and since when.
    limits: (Budgets, Option<Timestamp>),
}

/// A pattern and its history.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern {
    /// Every version, the first one first. Numbers go on after a pattern was removed.
    pub versions: Vec<Version>,
    /// Whether the last version is there, and not removed.
    pub is_there: bool,
    /// What holds for the last version.
    pub properties: Properties,
    /// Why it was suspended, if it is.
    pub suspended: Option<Suspension>,
    /// The control-log entry that changed it last: its revision.
    pub revision: u64,
    /// When its last change takes effect.
    pub effective_from: Option<Timestamp>,
}

/// A version of a pattern. It never changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// Its number among all versions of all patterns, in the order of the control log.
    pub id: u64,
    /// Its number, from 1.
    pub number: u64,
    /// Its text.
    pub source: String,
    /// The first event time that sees it; none: before any event.
    pub effective_from: Option<Timestamp>,
    /// The first event time that does not see it any more, if it has ended.
    pub ended: Option<Ended>,
    /// When it was decided, by the wall clock, in epoch milliseconds.
    pub at: i64,
    /// Who asked for it.
    pub by: String,
}

/// How a version ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The first event time that does not see it.
    pub from: Option<Timestamp>,
    /// What became of its partial matches.
    pub state: OldState,
    /// When that was decided, by the wall clock, in epoch milliseconds.
    pub at: i64,
    /// Who asked for it.
    pub by: String,
}

/// Where a version stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It takes events.
    Active,
    /// It begins no partial match; those that it has go on.
    Paused,
    /// It begins at an event time that has not come.
    Scheduled,
    /// It has ended; its partial matches go on until their windows end.
    Draining,
    /// It has ended.
    Removed,
    /// It was stopped because it reached a limit.
    Suspended,
}

impl Registry {
    /// A pattern by its name, also one that was removed.
    pub fn get(&self, name: &str) -> Option<&Pattern> {
        self.patterns.get(name).map(|pattern| &**pattern)
    }

    /// A version of a pattern.
    pub fn version(&self, name: &str, number: u64) -> Option<&Version> {
        self.get(name)?.versions.iter().find(|version| version.number == number)
    }

    /// The patterns that are there, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Pattern)> {
        self.patterns
            .iter()
            .filter(|(_, pattern)| pattern.is_there)
            .map(|(name, pattern)| (&**name, &**pattern))
    }

    /// The patterns that are there behind a name, by name.
    pub fn after(&self, name: &str) -> impl Iterator<Item = (&str, &Pattern)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let behind = self.patterns.range::<str, _>((Excluded(name), Unbounded));
        behind.filter(|(_, pattern)| pattern.is_there).map(|(name, pattern)| (&**name, &**pattern))
    }

    /// The revision of all patterns together: it grows with each entry that changes one, and is 0 before the first.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// How many patterns are there.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The budgets of patterns that have none of their own, and the first event time that sees them.
    pub fn limits(&self) -> (Budgets, Option<Timestamp>) {
        self.limits
    }

    /// Notes what was decided.
    pub(super) fn note(&mut self, entry: &Entry) {
        let Entry { sequence, at, by, decision } = entry;
        if let Decision::Limits { effective_from, limits } = decision {
            self.limits = (*limits, *effective_from);
        }
        let Decision::Patterns { effective_from, changes } = decision else { return };
        let (revision, at, from) = (*sequence, *at, *effective_from);
        self.revision = revision + 1;
        for Change { name, version, what } in changes {
            let pattern = self.patterns.entry(name.clone()).or_insert_with(|| {
                Arc::new(Pattern {
                    versions: Vec::new(),
                    is_there: false,
                    properties: Properties::default(),
                    suspended: None,
                    revision,
                    effective_from: from,
                })
            });
            let pattern = Arc::make_mut(pattern);
            let ended = |state| Ended { from, state, at, by: by.to_owned() };
            pattern.revision = revision;
            pattern.effective_from = from;
            match what {
                What::Put { source, state, properties } => {
                    pattern.end(ended(state.unwrap_or(OldState::Drain)));
                    pattern.is_there = true;
                    pattern.properties = properties.clone();
                    pattern.suspended = None;
                    self.versions += 1;
                    pattern.versions.push(Version {
                        id: self.versions,
                        number: *version,
                        source: source.clone(),
                        effective_from: from,
                        ended: None,
                        at,
                        by: by.clone(),
                    });
                }
                What::Set { properties } => {
                    pattern.properties = properties.clone();
                    pattern.suspended.take_if(|_| !properties.paused);
                }
                What::Suspend { reason, .. } => {
                    pattern.properties.paused = true;
                    pattern.suspended = Some(reason.clone());
                }
                What::Remove { state } => {
                    pattern.end(ended(*state));
                    pattern.is_there = false;
                }
            }
        }
    }
}

impl Pattern {
    /// The version that goes for the name.
    pub fn current(&self) -> Option<&Version> {
        self.versions.last().filter(|_| self.is_there)
    }

    /// The number of its last version, whether that is there or not.
    pub fn last(&self) -> u64 {
        self.versions.last().map_or(0, |version| version.number)
    }

    /// Where a version of it stands when time has come so far.
    pub fn standing(&self, name: &str, version: &Version, frontier: Option<Timestamp>) -> Standing {
        match &version.ended {
            _ if !has_come(version.effective_from, frontier) => Standing::Scheduled,
            None if self.suspended.is_some() => Standing::Suspended,
            None if self.properties.paused => Standing::Paused,
            None => Standing::Active,
            Some(ended) if !has_come(ended.from, frontier) => Standing::Active,
            Some(ended) if ended.state == OldState::Drain => {
                let within = plan_of(&version.source, name).and_then(|plan| plan.within);
                match ended.from.zip(within) {
                    // Each event may prolong such a window.
                    Some((_, within)) if within.between_events => Standing::Draining,
                    Some((from, within)) if !has_come(Some(from.plus(within.span)), frontier) => {
                        Standing::Draining
                    }
                    _ => Standing::Removed,
                }
            }
            Some(_) => Standing::Removed,
        }
    }

    fn end(&mut self, ended: Ended) {
        if let Some(last) = self.versions.last_mut().filter(|_| self.is_there) {
            last.ended = Some(ended);
        }
    }
}

/// Whether the cut at a time is passed: all before it has been taken.
fn has_come(at: Option<Timestamp>, frontier: Option<Timestamp>) -> bool {
    at.is_none() || at <= frontier.map(|frontier| Timestamp(frontier.0.saturating_add(1)))
}
