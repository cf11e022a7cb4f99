//! The store of checkpoints: what goes in comes out, through reopening, killed processes, power cuts and damage.

mod model;

use model::Model;
use sequor::state::{Entry, Options, SledStore, StateStore};
use std::collections::BTreeMap;
use std::path::Path;

/// Small enough that some dozens of checkpoints go through several turns of the directories.
pub(super) const OPTIONS: Options = Options {
    full_after_ratio: 1.0,
    full_after_bytes_min: 20_000,
    full_after_checkpoints: 7,
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
            assert!(entries.insert(name, entry.value.unwrap().to_vec()).is_none(), "an entry was given twice");
        })
        .unwrap();
    assert_eq!(counts.entries, entries.len() as u64);
    entries
}

#[test]
fn random_checkpoints_are_what_a_model_says() {
    for seed in 0..12 {
        let dir = tempfile::tempdir().unwrap();
        let mut model = Model::new(seed);
        let mut store = open(dir.path());
        let mut last = 0;
        for _ in 0..40 {
            model.change();
            let number = model.checkpoint(&store);
            assert!(number > last, "checkpoint {number} after {last}");
            last = number;
            if model.one_in(4) {
                let mut left = store.begin(false).unwrap();
                last = left.number();
                left.put(Entry { pattern: 0, key: b"of a checkpoint that is left", value: Some(b"x") }).unwrap();
                left.abort();
            }
            if model.one_in(5) {
                let before = store.latest().unwrap();
                let compacted = store.compact().unwrap();
                assert!(compacted.is_full() && compacted.number > before.number && compacted.meta == before.meta);
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
