//! What a store should hold, kept in maps, and random changes to it.

use super::{Entries, loaded};
use sequor::state::{Entry, StateStore};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// A small random generator: the same numbers for the same seed.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x1234_5678)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

pub(super) struct Model {
    random: Random,
    pub(super) entries: Entries,
    touched: BTreeSet<(u64, Vec<u8>)>,
    /// The entries of each checkpoint.
    pub(super) committed: BTreeMap<u64, Entries>,
}

impl Model {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            entries: Entries::new(),
            touched: BTreeSet::new(),
            committed: BTreeMap::new(),
        }
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.random.below(bound)
    }

    pub(super) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    fn name(&mut self) -> (u64, Vec<u8>) {
        let number = self.below(400);
        // Keys of all lengths, the empty one and those that are longer than a chunk among them.
        let length = if number == 7 { 70_000 } else { (number % 23) as usize };
        (self.below(3), (0..length).map(|at| (number >> (at % 2 * 8)) as u8).collect())
    }

    /// Some changes of some entries.
    pub(super) fn change(&mut self) {
        for _ in 0..self.below(300) {
            let name = self.name();
            self.touched.insert(name.clone());
            if self.one_in(4) {
                self.entries.remove(&name);
                continue;
            }
            let length = match self.below(60) {
                0 => 30_000 + self.below(100_000),
                1 => 0,
                _ => self.below(200),
            };
            // Half of the values can be compressed.
            let (begin, step) = (self.random.next(), self.below(2));
            let mut random = Random::new(begin);
            let value =
                (0..length).map(|_| if step == 0 { begin as u8 } else { random.next() as u8 }).collect();
            self.entries.insert(name, value);
        }
    }

    /// Writes a checkpoint of what changed, or a full one.
    pub(super) fn checkpoint(&mut self, store: &dyn StateStore) -> u64 {
        let full = store.wants_full() || self.one_in(10);
        self.write(store, full)
    }

    pub(super) fn checkpoint_full(&mut self, store: &dyn StateStore) -> u64 {
        self.write(store, true)
    }

    fn write(&mut self, store: &dyn StateStore, full: bool) -> u64 {
        let mut writer = store.begin(full).unwrap();
        let names: Vec<_> = if full {
            self.entries.keys().cloned().collect()
        } else {
            std::mem::take(&mut self.touched).into_iter().collect()
        };
        for (pattern, key) in names {
            if self.one_in(20) {
                writer.put(Entry { pattern, key: &key, value: Some(b"given first, does not hold") }).unwrap();
            }
            let value = self.entries.get(&(pattern, key.clone())).map(Vec::as_slice);
            writer.put(Entry { pattern, key: &key, value }).unwrap();
        }
        self.touched.clear();
        let number = writer.number();
        let manifest = writer.commit(json!({ "entries": self.entries.len() })).unwrap();
        assert_eq!((manifest.number, manifest.is_full()), (number, full));
        self.committed.insert(number, self.entries.clone());
        number
    }

    /// All that the store says is what it should say.
    pub(super) fn compare(&mut self, store: &dyn StateStore) {
        let chain = store.chain();
        assert!(chain[0].is_full());
        assert!(chain.windows(2).all(|pair| pair[1].parent == Some(pair[0].number)));
        let candidates = store.candidates();
        assert!(candidates.windows(2).all(|pair| pair[0].number > pair[1].number));
        assert_eq!(candidates.first(), chain.last());
        for manifest in candidates {
            let expected = &self.committed[&manifest.number];
            assert_eq!(manifest.meta, json!({ "entries": expected.len() }));
            assert!(&loaded(store, manifest.number) == expected, "checkpoint {}", manifest.number);
        }
        for _ in 0..50 {
            let (pattern, key) = self.name();
            let found = store.get(pattern, &key).unwrap();
            assert_eq!(found.as_ref(), self.entries.get(&(pattern, key)));
        }
    }
}
