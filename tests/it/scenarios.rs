//! The library of patterns against its own scenarios, in all variants of arrival, shards and batches.

use std::path::{Path, PathBuf};

use sequor::cli::scenario::{report, run_all};

fn patterns() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("patterns")
}

#[test]
fn the_library_of_patterns_does_what_its_scenarios_say() {
    let entries = run_all(&[patterns()], None).unwrap();
    assert!(entries.iter().all(report::Entry::passed), "\n{}", report::human(&entries));
}
