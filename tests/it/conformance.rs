//! The conformance cases: patterns, events, and what has to come out. The naive matcher must agree with all of them, and
//! the engine with the naive matcher byte by byte, so with the cases as well.
//!
//! They stand beside the repository; `SEQUOR_SHARED` names another folder that has them in `conformance/`.

use std::fs;
use std::path::{Path, PathBuf};

use sequor::pattern::{Limits, compile};
use serde_json::Value;

use crate::harness::{Run, run_engine};
use crate::naive::{self, Input, Outputs, Settings};

/// The folder with the cases; where it is absent this says so, and the test has nothing to do.
fn folder() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared = std::env::var_os("SEQUOR_SHARED").map_or_else(|| root.join("../shared"), PathBuf::from);
    let folder = shared.join("conformance");
    if !folder.is_dir() {
        println!("skipped: the conformance cases are not beside this repository");
        return None;
    }
    Some(folder)
}

fn cases(folder: &Path) -> Vec<Value> {
    let files = ["hand.jsonl", "random.jsonl"].map(|file| fs::read_to_string(folder.join(file)).unwrap());
    files.iter().flat_map(|text| text.lines()).map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_naive_matcher_and_the_engine_agree_with_every_case() {
    let Some(folder) = folder() else { return };
    let cases = cases(&folder);
    let mut wrong = Vec::new();
    for case in &cases {
        let compiled = compile(case["pattern"].as_str().unwrap(), &Limits::default());
        if case["reject"] == true {
            if !compiled.diagnostics.has_errors() {
                wrong.push(describe(case, "must be refused"));
            }
            continue;
        }
        let settings = Settings {
            out_of_orderness_ms: case["out_of_orderness_ms"].as_i64().unwrap(),
            ..Settings::default()
        };
        let lines =
            case["events"].as_array().unwrap().iter().map(|event| event.to_string().into_bytes()).collect();
        let inputs = [Input { stream: "events".into(), lines }];
        match naive::run(&[compiled.file], &inputs, &settings) {
            Ok(outputs) => {
                wrong.extend(differences(case, &outputs).map(|what| describe(case, &what)));
                for threads in [1, 3] {
                    let run = Run { threads, batch_size: 4, stretch: 3 };
                    let found = run_engine(compiled.plans.clone(), &inputs, &settings, run);
                    if found != outputs {
                        let found = String::from_utf8_lossy(&found.matches).into_owned();
                        wrong.push(describe(case, &format!("the engine, with {threads} threads:\n{found}")));
                    }
                }
            }
            Err(naive::TooMany) => wrong.push(describe(case, "too many partial matches")),
        }
    }
    assert!(cases.len() > 900);
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn describe(case: &Value, what: &str) -> String {
    let events: Vec<String> = case["events"].as_array().into_iter().flatten().map(Value::to_string).collect();
    format!(
        "{}\n{}\n  {}\n{what}\n",
        case["name"],
        case["pattern"].as_str().unwrap().trim(),
        events.join("\n  ")
    )
}

/// What is missing and what is too much, in matches and late events; nothing where the outputs agree with the case.
fn differences(case: &Value, outputs: &Outputs) -> Option<String> {
    let found = lines(&outputs.matches).into_iter().map(|found| {
        let ids =
            |events: &Value| events.as_array().unwrap().iter().map(|event| event["id"].clone()).collect();
        let stages = found["events"].as_object().unwrap().iter();
        let events: serde_json::Map<String, Value> =
            stages.map(|(stage, events)| (stage.clone(), Value::Array(ids(events)))).collect();
        let (kind, key, end) = (&found["kind"], &found["key"], &found["end"]);
        serde_json::json!({"kind": kind, "key": key, "events": events, "end": end})
    });
    let late = lines(&outputs.late).into_iter().map(|late| late["event"]["id"].clone());
    let report = [
        multiset_difference(case["expect"].as_array().unwrap().clone(), found.collect()),
        multiset_difference(case["late"].as_array().unwrap().clone(), late.collect()),
    ]
    .concat();
    (!report.is_empty()).then_some(report)
}

fn lines(output: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(output).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn multiset_difference(mut missing: Vec<Value>, found: Vec<Value>) -> String {
    let mut report = String::new();
    for found in found {
        match missing.iter().position(|expected| *expected == found) {
            Some(at) => drop(missing.remove(at)),
            None => report.push_str(&format!("unexpected {found}\n")),
        }
    }
    report.extend(missing.iter().map(|expected| format!("missing    {expected}\n")));
    report
}
