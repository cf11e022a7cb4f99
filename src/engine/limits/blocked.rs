//! Keys that take no part any more in a pattern that is to be suspended, from the event on at which they exceeded a
//! budget, until the next decision about the pattern takes effect.

use std::collections::{BTreeMap, BTreeSet};

use super::Hit;
use crate::engine::saved::{Damaged, Reader, put};

/// A key, by what it is called outside.
type Name = Box<[u8]>;

/// The keys by pattern (name and version), each with what it exceeded: whoever is to be told of it may not have heard
/// when a restart comes.
#[derive(Debug, Default)]
pub(in crate::engine) struct Blocked {
    patterns: BTreeMap<(String, u64), BTreeMap<Name, Hit>>,
    /// What changed since it was last given; none: nobody has asked yet.
    changed: Option<BTreeSet<(String, u64, Name)>>,
}

impl Blocked {
    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether a key takes no part.
    pub(in crate::engine) fn has(&self, pattern: &str, version: u64, key: impl FnOnce() -> Vec<u8>) -> bool {
        let keys = self.patterns.get(&(pattern.to_owned(), version));
        keys.is_some_and(|keys| keys.contains_key(key().as_slice()))
    }

    /// A key takes no part from now on.
    pub(super) fn add(&mut self, pattern: &str, version: u64, key: &[u8], hit: Hit) {
        self.patterns.entry((pattern.to_owned(), version)).or_default().insert(key.into(), hit);
        note(&mut self.changed, pattern, version, key);
    }

    /// Lets all keys take part again of patterns of which `is_over` says so.
    pub(in crate::engine) fn free(&mut self, is_over: impl Fn(&str, u64) -> bool) {
        let Blocked { patterns, changed } = self;
        patterns.retain(|(name, version), keys| {
            let goes = is_over(name, *version);
            if goes {
                keys.keys().for_each(|key| note(changed, name, *version, key));
            }
            !goes
        });
    }

    /// Gives what changed since the last call, or all: pattern, version, key, and what it exceeded if it is there.
    pub(in crate::engine) fn give(
        &mut self,
        all: bool,
        mut take: impl FnMut(&str, u64, &[u8], Option<&Hit>),
    ) {
        match self.changed.replace(BTreeSet::new()).filter(|_| !all) {
            Some(changed) => {
                for (name, version, key) in changed {
                    let of = self.patterns.get(&(name.clone(), version));
                    take(&name, version, &key, of.and_then(|keys| keys.get(&key)));
                }
            }
            None => {
                for ((name, version), keys) in &self.patterns {
                    keys.iter().for_each(|(key, hit)| take(name, *version, key, Some(hit)));
                }
            }
        }
    }

    /// Takes what was given. It counts as given.
    pub(in crate::engine) fn restore(
        &mut self,
        pattern: &str,
        version: u64,
        key: &[u8],
        hit: Hit,
    ) -> Result<(), Damaged> {
        self.changed.get_or_insert_default();
        let keys = self.patterns.entry((pattern.to_owned(), version)).or_default();
        if keys.insert(key.into(), hit).is_some() {
            return Err(Damaged { at: 0, expected: "a key that is not there yet" });
        }
        Ok(())
    }
}

/// What a key of a pattern is called where all patterns are together.
pub(in crate::engine) fn put_blocked(pattern: &str, version: u64, key: &[u8]) -> Vec<u8> {
    let mut name = version.to_le_bytes().to_vec();
    put(pattern.len(), &mut name);
    name.extend_from_slice(pattern.as_bytes());
    name.extend_from_slice(key);
    name
}

/// The pattern, the version and the key that are called so.
pub(in crate::engine) fn blocked_of(name: &[u8]) -> Result<(&str, u64, &[u8]), Damaged> {
    let (version, rest) =
        name.split_first_chunk().ok_or(Damaged { at: 0, expected: "a version of 8 bytes" })?;
    let mut read = Reader::new(rest);
    let pattern = read.text()?;
    Ok((pattern, u64::from_le_bytes(*version), read.rest()))
}

fn note(changed: &mut Option<BTreeSet<(String, u64, Name)>>, pattern: &str, version: u64, key: &[u8]) {
    if let Some(changed) = changed {
        changed.insert((pattern.to_owned(), version, key.into()));
    }
}
