//! The conformance cases say of every pattern whether it is to be accepted.

use std::fs;
use std::path::Path;

use sequor::pattern::{Limits, compile};

#[test]
fn conformance_patterns_are_accepted_or_refused_as_the_cases_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/conformance");
    if !folder.is_dir() {
        println!("skipped: the conformance cases are not beside this repository");
        return;
    }
    let mut wrong = Vec::new();
    let mut seen = 0;
    for file in ["hand.jsonl", "random.jsonl"] {
        for line in fs::read_to_string(folder.join(file)).unwrap().lines() {
            let case: serde_json::Value = serde_json::from_str(line).unwrap();
            let text = case["pattern"].as_str().unwrap();
            let reject = case["reject"].as_bool().unwrap_or(false);
            let compiled = compile(text, &Limits::default());
            let rejected = compiled.diagnostics.has_errors();
            seen += 1;
            if rejected != reject || rejected != compiled.plans.is_empty() {
                wrong.push(format!("{}: {text}\n{:#?}", case["name"], compiled.diagnostics));
            }
        }
    }
    assert!(seen > 0);
    assert!(wrong.is_empty(), "{} of {seen}:\n{}", wrong.len(), wrong.join("\n"));
}
