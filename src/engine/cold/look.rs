//! Cold keys to be looked at, without changing anything: as hot keys of an engine that holds nothing else.

use std::cell::RefCell;
use std::sync::Arc;

use super::Record;
use crate::engine::shard::{Engine, SavedKey};

impl Engine {
    /// An engine that holds the cold keys of a pattern that may have a hash, if there are any.
    pub(in crate::engine) fn with_cold(&self, pattern: u32, hash: u32) -> Option<Engine> {
        let places = RefCell::new(Vec::new());
        let none = self.cold.of.get(pattern as usize)?.table.find(hash, |place| {
            places.borrow_mut().push(place);
            false
        });
        debug_assert!(none.is_none());
        self.with(pattern, places.into_inner())
    }

    /// An engine that holds so many cold keys of a pattern, if there are any.
    pub(in crate::engine) fn with_some_cold(&self, pattern: u32, keys: usize) -> Option<Engine> {
        self.with(pattern, self.cold.of.get(pattern as usize)?.table.iter().take(keys).collect())
    }

    fn with(&self, pattern: u32, mut places: Vec<u32>) -> Option<Engine> {
        places.sort_unstable();
        let saved = |record: Record<'_>| SavedKey { pattern, bytes: record.state.to_vec() };
        let saved: Vec<SavedKey> = places.into_iter().filter_map(|place| self.record(place, saved)).collect();
        let mut engine = (!saved.is_empty()).then(|| self.empty())?;
        engine.load(&saved).ok().map(|()| engine)
    }

    /// The names of a pattern's cold keys with hashes that are wanted.
    pub(in crate::engine) fn cold_names(
        &self,
        pattern: u32,
        wanted: impl Fn(u32) -> bool,
        mut give: impl FnMut(Vec<u8>),
    ) {
        let Some(keys) = self.cold.of.get(pattern as usize) else { return };
        let wanted = keys.table.hashes().filter(|(hash, _)| wanted(*hash));
        let mut places: Vec<u32> = wanted.map(|(_, place)| place).collect();
        places.sort_unstable();
        let names = places.into_iter().filter_map(|place| self.record(place, |record| record.name.to_vec()));
        names.for_each(&mut give);
    }

    /// A record, where it can be read: that it cannot stops the shard when it is needed, not when it is looked at.
    fn record<T>(&self, place: u32, with: impl FnOnce(Record<'_>) -> T) -> Option<T> {
        let mut bytes = Vec::new();
        self.cold.spill.as_ref()?.get(place, &mut bytes).ok()?;
        Record::read(&bytes).ok().map(with)
    }

    fn empty(&self) -> Engine {
        Engine::new(Arc::clone(&self.set), self.hasher.clone(), self.shard as u32, self.shards as u32)
    }
}
