//! What a shard holds as bytes: key by key, as a whole or what changed, and how it goes on with that.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Engine;
use crate::engine::changed::{Given, Giver};
use crate::engine::life::Life;
use crate::engine::limits::put_blocked;
use crate::engine::matcher::{Matcher, Restoring};
use crate::engine::saved::{Damaged, Loader, hash_of_name};
use crate::engine::sent::{put_sent, sent_of};
use crate::engine::set::{Compiled, PatternSet};
use crate::event::{FieldPath, Timestamp};

/// What one key of one pattern held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedKey {
    /// The pattern's number.
    pub pattern: u32,
    /// The encoded state.
    pub bytes: Vec<u8>,
}

/// What a key of a pattern holds.
#[derive(Debug, Clone, Copy)]
pub struct KeyState<'a> {
    /// The pattern's number; [`KeyState::SENT`] for what suppression knows of a key, whichever the pattern, and
    /// [`KeyState::BLOCKED`] for a key that takes no part any more.
    pub pattern: u32,
    /// What names the key: equal where keys are the same by `==`, empty for a pattern without key.
    pub key: &'a [u8],
    /// The encoded state; none: it holds nothing any more.
    pub state: Option<&'a [u8]>,
}

impl KeyState<'_> {
    /// What suppression knows has no number: it goes by names.
    pub const SENT: u32 = u32::MAX;
    /// What is known of keys that take no part any more in a pattern that exceeded a budget goes by names as well.
    pub const BLOCKED: u32 = u32::MAX - 1;
}

/// What is needed besides the keys to go on after a restart: the same in all shards.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Events taken: kept events are numbered by that.
    pub events: u64,
    /// The fields of kept events, as they are numbered.
    #[serde(default)]
    pub fields: Vec<FieldPath>,
    /// The streams, as they are numbered.
    #[serde(default)]
    pub streams: Vec<String>,
}

impl Engine {
    /// Goes on with the set that [`PatternSet::compacted`] gives for the present one. All that is held is encoded and
    /// loaded again. Events have to be decoded for the new set from then on.
    pub fn renumber(&mut self, set: Arc<PatternSet>) -> Result<(), Damaged> {
        let (shard, shards) = (self.shard as u32, self.shards as u32);
        let next = Engine::new(set, self.hasher.clone(), shard, shards);
        let mut saved = self.unload_hot();
        let mut old = std::mem::replace(self, next);
        (self.sequence, self.moment, self.type_errors) = (old.sequence, old.moment, old.type_errors.clone());
        let without_key = old.without_key();
        self.counters = std::mem::take(&mut old.counters);
        self.sent = std::mem::take(&mut old.sent);
        self.kept = std::mem::take(&mut old.kept).renumbered(&self.set);
        let number = |of: &Arc<Compiled>| match of.life {
            Life::Removed => None,
            _ => self.set.number(&of.plan.name, of.version),
        };
        let numbers: Vec<Option<u32>> = old.set.patterns.iter().map(number).collect();
        self.counters.without_key = vec![0; self.set.patterns.len()];
        for (number, count) in numbers.iter().zip(without_key) {
            if let Some(number) = number {
                self.counters.without_key[*number as usize] += count;
            }
        }
        for (old_number, number) in (0..).zip(&numbers) {
            if let Some(number) = number {
                self.costs.set(*number, old.costs.of(old_number));
            }
        }
        for key in &mut saved {
            key.pattern = numbers.get(key.pattern as usize).copied().flatten().unwrap_or(u32::MAX);
        }
        let fields = &old.set.schema().fields;
        let were = self.set.schema().fields.iter();
        let were = were.map(|field| fields.iter().position(|other| other == field).unwrap_or(usize::MAX));
        let were: Vec<usize> = were.collect();
        let loader = || Loader::of_slots(were.clone());
        self.load_by(loader(), &saved).and(self.load_renumbered(old.cold, &numbers, loader))
    }

    /// Encodes the state of every key, one by one, and drops it. What is not kept by key stays: how far time has come,
    /// and what was counted.
    pub fn unload(&mut self) -> Vec<SavedKey> {
        self.load_all();
        self.unload_hot()
    }

    pub(super) fn unload_hot(&mut self) -> Vec<SavedKey> {
        let mut saved = Vec::new();
        for (pattern, runner) in (0..).zip(&mut self.runners) {
            let table = &self.tables[self.set.patterns[pattern as usize].shape as usize];
            let keys = runner.unload(table, &mut self.store).into_iter();
            saved.extend(keys.map(|bytes| SavedKey { pattern, bytes }));
        }
        saved
    }

    /// Goes on with keys that were encoded by an engine of the same patterns. What is damaged is refused by itself; the
    /// other keys are loaded all the same.
    pub fn load(&mut self, keys: &[SavedKey]) -> Result<(), Damaged> {
        self.load_by(Loader::default(), keys)
    }

    pub(in crate::engine) fn load_by(
        &mut self,
        mut loader: Loader,
        keys: &[SavedKey],
    ) -> Result<(), Damaged> {
        let mut result = Ok(());
        for SavedKey { pattern, bytes } in keys {
            let loaded = match self.runners.get_mut(*pattern as usize) {
                Some(runner) => {
                    let table = &mut self.tables[self.set.patterns[*pattern as usize].shape as usize];
                    let hasher = &self.hasher;
                    let restoring = Restoring { set: &self.set, hasher, table, given: None };
                    runner.load(bytes, &mut loader, restoring, &mut self.deadlines, &mut self.store)
                }
                None => Err(Damaged { at: 0, expected: "a pattern that is there" }),
            };
            result = result.and(loaded);
        }
        loader.finish(&mut self.store);
        result
    }

    /// Gives the keys that changed since the last call, each once: with what they hold now, or that they hold nothing any
    /// more. With `all`, and at the first call, all that hold something, as if nobody had been given any.
    ///
    /// After [`Engine::install`] what changed is enough: a version that takes over gives all its keys as its own, and of a
    /// pattern that was removed nothing is told, as all of it is gone. After [`Engine::renumber`], and after
    /// [`Engine::unload`], all are needed.
    pub fn changes(&mut self, all: bool, mut take: impl FnMut(KeyState<'_>)) {
        if self.cold.is_lost() {
            return;
        }
        let mut name = Vec::new();
        for (pattern, runner) in (0..).zip(&mut self.runners) {
            if self.cold.has(pattern)
                && !self.cold.give(pattern, runner.changes_mut(), all, &mut |key, state| {
                    take(KeyState { pattern, key, state: Some(state) });
                })
            {
                return;
            }
            let compiled = &self.set.patterns[pattern as usize];
            let mut giver = Giver {
                slots: &self.set.schema().keys[compiled.key],
                table: &self.tables[compiled.shape as usize],
                store: &self.store,
                take: &mut |key, state| take(KeyState { pattern, key, state }),
                name,
            };
            runner.give(all, &mut giver);
            name = giver.name;
        }
        self.sent.give(all, |pattern, key, until| {
            let state = until.map(|until| until.0.to_le_bytes());
            let state = state.as_ref().map(|bytes| bytes.as_slice());
            take(KeyState { pattern: KeyState::SENT, key: &put_sent(pattern, key), state });
        });
        self.kept.blocked.give(all, |pattern, version, key, hit| {
            // It is plain data: it can be written.
            let state = hit.map(|hit| serde_json::to_vec(hit).unwrap_or_default());
            let key = &put_blocked(pattern, version, key);
            take(KeyState { pattern: KeyState::BLOCKED, key, state: state.as_deref() });
        });
    }

    /// Takes a key that an engine of the same patterns gave, in whatever number of shards. False: it is another shard's.
    /// Comes after [`Engine::resume`], and [`Engine::restored`] after the last one.
    pub fn restore(&mut self, key: KeyState<'_>) -> Result<bool, Damaged> {
        let KeyState { pattern, key: name, state } = key;
        if pattern == KeyState::SENT {
            return self.restore_sent(name, state);
        }
        if pattern == KeyState::BLOCKED {
            return self.restore_blocked(name, state);
        }
        let compiled = self.set.patterns.get(pattern as usize).filter(|known| known.life != Life::Removed);
        let compiled = compiled.ok_or(Damaged { at: 0, expected: "a pattern that is there" })?;
        let slots = &self.set.schema().keys[compiled.key];
        let hash = hash_of_name(name, slots.len(), &self.hasher)?;
        let shard = if slots.is_empty() { u64::from(compiled.home) } else { hash >> 32 } % self.shards;
        let Some(state) = state.filter(|_| shard == self.shard) else { return Ok(shard == self.shard) };
        let table = &mut self.tables[compiled.shape as usize];
        let given = Some(Given { name, again: self.loader.translates() });
        let restoring = Restoring { set: &self.set, hasher: &self.hasher, table, given };
        let runner = &mut self.runners[pattern as usize];
        runner.load(state, &mut self.loader, restoring, &mut self.deadlines, &mut self.store)?;
        self.note_restored();
        Ok(true)
    }

    /// The same for what suppression knows. What is known of patterns that are gone is everybody's, and left out.
    pub(super) fn restore_sent(&mut self, key: &[u8], state: Option<&[u8]>) -> Result<bool, Damaged> {
        let (pattern, name) = sent_of(key)?;
        let Some(home) = self.set.home(pattern) else { return Ok(true) };
        let is_own = self.owns(name, home);
        let (Some(state), true) = (state, is_own) else { return Ok(is_own) };
        let until = state.try_into().map_err(|_| Damaged { at: 0, expected: "a time of 8 bytes" })?;
        self.sent.restore(pattern, name, Timestamp(i64::from_le_bytes(until)))?;
        Ok(true)
    }

    /// Whether a key that is called so is this shard's.
    pub(in crate::engine) fn owns(&self, name: &[u8], home: u32) -> bool {
        // How many fields the key has is the version's matter, but names are of one number of fields only.
        let hash = |fields| hash_of_name(name, fields, &self.hasher).ok();
        let shard = match (1..=name.len()).find_map(hash) {
            Some(hash) => hash >> 32,
            None => u64::from(home),
        };
        shard % self.shards == self.shard
    }

    /// All keys are there. They count as given, but where they are encoded otherwise by now.
    pub fn restored(&mut self) {
        let loader = std::mem::take(&mut self.loader);
        self.moment = self.moment.max(loader.moment);
        loader.finish(&mut self.store);
        self.runners.iter_mut().for_each(Matcher::turn_on);
    }

    /// What is needed besides the keys to go on after a restart.
    pub fn progress(&self) -> Progress {
        let fields = self.set.schema().fields[..self.set.kept_fields].to_vec();
        Progress { events: self.sequence, fields, streams: self.set.around.streams.clone() }
    }

    /// Goes on from there: keys of that time can be restored.
    pub fn resume(&mut self, progress: &Progress) {
        self.sequence = progress.events;
        self.loader = Loader::of_progress(progress, &self.set);
    }
}
