//! The patterns as decided: every version that there ever was, which one goes for a name now, and what holds for it.
//! A fold over the control log; the engine's set follows it at the cuts.

use std::collections::BTreeMap;

use super::decision::{Change, Decision, Entry, OldState, Properties, What};
use crate::event::Timestamp;

/// All patterns by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Registry {
    patterns: BTreeMap<String, Pattern>,
    /// How many versions there ever were.
    versions: u64,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// The first event time that does not see it.
    pub from: Option<Timestamp>,
    /// What became of its partial matches.
    pub state: OldState,
}

impl Registry {
    /// A pattern by its name, also one that was removed.
    pub fn get(&self, name: &str) -> Option<&Pattern> {
        self.patterns.get(name)
    }

    /// A version of a pattern.
    pub fn version(&self, name: &str, number: u64) -> Option<&Version> {
        self.get(name)?.versions.iter().find(|version| version.number == number)
    }

    /// The patterns that are there, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Pattern)> {
        self.patterns.iter().filter(|(_, pattern)| pattern.is_there).map(|(name, pattern)| (&**name, pattern))
    }

    /// The patterns that are there behind a name, by name.
    pub fn after(&self, name: &str) -> impl Iterator<Item = (&str, &Pattern)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let behind = self.patterns.range::<str, _>((Excluded(name), Unbounded));
        behind.filter(|(_, pattern)| pattern.is_there).map(|(name, pattern)| (&**name, pattern))
    }

    /// How many patterns are there.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The version that a new text of a name gets.
    pub fn next_version(&self, name: &str) -> u64 {
        self.get(name).and_then(|pattern| pattern.versions.last()).map_or(1, |last| last.number + 1)
    }

    /// Notes what was decided.
    pub(super) fn note(&mut self, entry: &Entry) {
        let Entry { sequence, at, by, decision } = entry;
        let Decision::Patterns { effective_from, changes } = decision else { return };
        let (revision, at, from) = (*sequence, *at, *effective_from);
        for Change { name, version, what } in changes {
            let pattern = self.patterns.entry(name.clone()).or_insert_with(|| Pattern {
                versions: Vec::new(),
                is_there: false,
                properties: Properties::default(),
                revision,
                effective_from: from,
            });
            pattern.revision = revision;
            pattern.effective_from = from;
            match what {
                What::Put { source, state, properties } => {
                    pattern.end(from, state.unwrap_or(OldState::Drain));
                    pattern.is_there = true;
                    pattern.properties = properties.clone();
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
                What::Set { properties } => pattern.properties = properties.clone(),
                What::Remove { state } => {
                    pattern.end(from, *state);
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

    fn end(&mut self, from: Option<Timestamp>, state: OldState) {
        if let Some(last) = self.versions.last_mut().filter(|_| self.is_there) {
            last.ended = Some(Ended { from, state });
        }
    }
}
