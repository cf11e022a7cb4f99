//! The store of checkpoints: what goes in comes out, through reopening, killed processes, power cuts and damage.

mod crash;
mod damage;
mod model;

use model::Model;
use sequor::state::{Entry, Options, SledStore, StateStore};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

/// Small enough that some dozens of checkpoints go through several turns of the directories.
pub(super) const OPTIONS: Options = Options {
    full_after_ratio: 1.0,
    full_after_bytes_min: 20_000,
    full_after_checkpoints: 7,
    small_after_checkpoints: 7,
    cache_bytes_max: 200_000,
};

pub(super) type Entries = BTreeMap<(u64, Vec<u8>), Vec<u8>>;

pub(super) fn open(root: &Path) -> SledStore {
    SledStore::open(root, OPTIONS).unwrap().0
}

pub(super) fn loaded(store: &dyn StateStore, number: u64) -> Entries {
    let mut entries = Entries::new();
    let counts = store
        .load(number, &mut |entry| {
            let name = (entry.pattern, entry.key.to_vec());
            assert!(
                entries.insert(name, entry.value.unwrap().to_vec()).is_none(),
                "an entry was given twice"
            );
        })
        .unwrap();
    assert_eq!(counts.entries, entries.len() as u64);
    entries
}

#[test]
fn random_checkpoints_are_what_a_model_says() {
    for seed in 0..6 {
        let dir = tempfile::tempdir().unwrap();
        let mut model = Model::new(seed);
        let mut store = open(dir.path());
        let mut last = 0;
        for _ in 0..25 {
            model.change();
            let number = model.checkpoint(&store);
            assert!(number > last, "checkpoint {number} after {last}");
            last = number;
            if model.one_in(4) {
                let mut left = store.begin(false).unwrap();
                last = left.number();
                left.put(Entry { pattern: 0, key: b"of a checkpoint that is left", value: Some(b"x") })
                    .unwrap();
                left.abort();
            }
            if model.one_in(5) {
                let before = store.latest().unwrap();
                let compacted = store.compact().unwrap();
                assert!(
                    compacted.is_full() && compacted.number > before.number && compacted.meta == before.meta
                );
                last = compacted.number;
                model.committed.insert(last, model.entries.clone());
            }
            if model.one_in(5) {
                drop(store);
                store = open(dir.path());
            }
            model.compare(&store);
            if model.one_in(6) {
                let candidates = store.candidates();
                let back = &candidates[model.below(candidates.len() as u64) as usize];
                store.resume(Some(back.number)).unwrap();
                model.entries = model.committed[&back.number].clone();
                assert_eq!(store.latest().as_ref(), Some(back));
                model.compare(&store);
            }
            if model.one_in(8) {
                let below = store.latest().unwrap().number.saturating_sub(model.below(6));
                store.prune(below).unwrap();
                assert!(store.candidates().iter().all(|manifest| manifest.number >= below));
            }
        }
    }
}

#[test]
fn disk_space_stays_bounded() {
    const KEYS: u32 = 20_000;
    let dir = tempfile::tempdir().unwrap();
    let options = Options { full_after_bytes_min: 1 << 20, ..Options::default() };
    let store = SledStore::open(dir.path(), options).unwrap().0;
    let mut random = model::Random::new(3);
    let (mut largest, mut written) = (0, 0);
    for step in 0..500 {
        let mut writer = store.begin(store.wants_full()).unwrap();
        for key in 0..KEYS {
            let value = random.next().to_le_bytes();
            writer.put(Entry { pattern: 0, key: &key.to_le_bytes(), value: Some(&value) }).unwrap();
        }
        written += writer.commit(json!(step)).unwrap().bytes;
        largest = largest.max(space(dir.path()));
    }
    assert!(written > 100 << 20, "only {written} bytes were written");
    assert!(largest < 20 << 20, "{largest} bytes on disk, {written} written");
    assert_eq!(loaded(&store, store.latest().unwrap().number).len(), KEYS as usize);
}

fn space(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => space(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        })
        .sum()
}
