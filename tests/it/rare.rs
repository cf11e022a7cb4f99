//! What random cases seldom show: patterns, events, and what has to be found. The naive matcher says the same.

use sequor::pattern::{Limits, compile};

use crate::harness::{Run, run_engine};
use crate::naive::{self, Input, Settings};

/// The matches for events of these types, one each second: for each match the numbers of its events, from 0.
fn matches(pattern: &str, types: &str) -> Vec<Vec<u64>> {
    let lines = (0..).zip(types.split(' ')).map(|(number, kind)| {
        format!("{{\"type\":\"{kind}\",\"ts\":{},\"n\":{number}}}", number * 1_000).into_bytes()
    });
    let inputs = [Input { stream: "events".into(), lines: lines.collect() }];
    let compiled = compile(pattern, &Limits::default());
    assert!(!compiled.diagnostics.has_errors(), "{:?}", compiled.diagnostics);
    let settings = Settings::default();
    let expected = naive::run(&[compiled.file], &inputs, &settings).unwrap();
    let run = Run { threads: 1, batch_size: 1, stretch: 1 };
    let found = run_engine(compiled.plans, &inputs, &settings, run);
    assert_eq!(
        String::from_utf8_lossy(&found.matches),
        String::from_utf8_lossy(&expected.matches),
        "{pattern}"
    );
    let numbers = |line: &str| -> Vec<u64> {
        let found: serde_json::Value = serde_json::from_str(line).unwrap();
        let stages = found["events"].as_object().unwrap().values();
        stages
            .flat_map(|events| events.as_array().unwrap())
            .map(|event| event["n"].as_u64().unwrap())
            .collect()
    };
    std::str::from_utf8(&found.matches).unwrap().lines().map(numbers).collect()
}

#[test]
fn several_negations_at_the_end_all_hold() {
    let pattern = "pattern p match a: a not followed by d: d not next c: c";
    assert_eq!(matches(pattern, "a b"), [[0]]);
    assert_eq!(matches(pattern, "a c"), [[0]; 0]);
    // Not complete by the event that is excluded: only after `not followed by` would it be.
    assert_eq!(matches(pattern, "a d"), [[0]; 0]);
    assert_eq!(matches(pattern, "a b d"), [[0]]);
}
