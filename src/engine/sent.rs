//! Suppression: of a pattern that gives at most one match per key in some length of event time, until when each key has
//! had its match. It goes by the pattern's name, so it holds across versions.

use std::collections::{BTreeMap, BTreeSet};

use super::saved::{Damaged, Reader, put};
use crate::event::Timestamp;

/// A key, by what it is called outside.
type Name = Box<[u8]>;

/// The keys that have had their match.
#[derive(Debug, Default)]
pub(super) struct Sent {
    patterns: BTreeMap<String, OfPattern>,
    /// What changed since it was last given; none: nobody has asked yet.
    changed: Option<BTreeSet<(String, Name)>>,
    suppressed: u64,
}

#[derive(Debug, Default)]
struct OfPattern {
    until: BTreeMap<Name, Timestamp>,
    /// The same by time, so that what has passed goes.
    ends: BTreeSet<(Timestamp, Name)>,
}

impl Sent {
    /// Whether a match may leave at a time. If so, those of its key do not leave before `until`.
    pub(super) fn passes(&mut self, pattern: &str, key: &[u8], time: Timestamp, until: Timestamp) -> bool {
        self.pass(pattern, time);
        let of = match self.patterns.get_mut(pattern) {
            Some(of) => of,
            None => self.patterns.entry(pattern.to_owned()).or_default(),
        };
        if of.until.contains_key(key) {
            self.suppressed += 1;
            return false;
        }
        of.until.insert(key.into(), until);
        of.ends.insert((until, key.into()));
        note(&mut self.changed, pattern, key);
        true
    }

    /// Lets go of what has ended. What is there past its end holds nothing up, so when that happens does not matter.
    fn pass(&mut self, pattern: &str, time: Timestamp) {
        let Some(of) = self.patterns.get_mut(pattern) else { return };
        while let Some((_, key)) = of.ends.first().filter(|(until, _)| *until <= time) {
            of.until.remove(key);
            note(&mut self.changed, pattern, key);
            of.ends.pop_first();
        }
    }

    /// Forgets patterns that are gone.
    pub(super) fn keep(&mut self, is_there: impl Fn(&str) -> bool) {
        let Sent { patterns, changed, .. } = self;
        patterns.retain(|name, of| {
            let stays = is_there(name);
            if !stays {
                of.until.keys().for_each(|key| note(changed, name, key));
            }
            stays
        });
    }

    /// How many matches did not leave.
    pub(super) fn suppressed(&self) -> u64 {
        self.suppressed
    }

    /// Gives what changed since the last call, or all: pattern, key, and until when nothing leaves.
    pub(super) fn give(&mut self, all: bool, mut take: impl FnMut(&str, &[u8], Option<Timestamp>)) {
        match self.changed.replace(BTreeSet::new()).filter(|_| !all) {
            Some(changed) => {
                for (pattern, key) in changed {
                    let until = self.patterns.get(&pattern).and_then(|of| of.until.get(&key));
                    take(&pattern, &key, until.copied());
                }
            }
            None => {
                for (pattern, of) in &self.patterns {
                    of.until.iter().for_each(|(key, until)| take(pattern, key, Some(*until)));
                }
            }
        }
    }

    /// Takes what was given. It counts as given.
    pub(super) fn restore(&mut self, pattern: &str, key: &[u8], until: Timestamp) -> Result<(), Damaged> {
        self.changed.get_or_insert_default();
        let of = self.patterns.entry(pattern.to_owned()).or_default();
        if of.until.insert(key.into(), until).is_some() {
            return Err(Damaged { at: 0, expected: "a key that is not there yet" });
        }
        of.ends.insert((until, key.into()));
        Ok(())
    }
}

/// What a key of a pattern is called where all patterns are together.
pub(super) fn put_sent(pattern: &str, key: &[u8]) -> Vec<u8> {
    let mut name = Vec::new();
    put(pattern.len(), &mut name);
    name.extend_from_slice(pattern.as_bytes());
    name.extend_from_slice(key);
    name
}

/// The pattern and the key that are called so.
pub(super) fn sent_of(name: &[u8]) -> Result<(&str, &[u8]), Damaged> {
    let mut read = Reader::new(name);
    let pattern = read.text()?;
    Ok((pattern, read.rest()))
}

fn note(changed: &mut Option<BTreeSet<(String, Name)>>, pattern: &str, key: &[u8]) {
    if let Some(changed) = changed {
        changed.insert((pattern.to_owned(), key.into()));
    }
}
