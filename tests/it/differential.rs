//! The engine against the naive matcher: random patterns over random inputs, and the same bytes from both, whatever
//! the number of threads and the size of batches.
//!
//! `SEQUOR_CASES` says how many cases, `SEQUOR_SEED` with which seed they begin; a failure names the seed of its case.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use sequor::engine::PatternSet;
use sequor::event::record::StreamSettings;
use sequor::pattern::nfa;

use crate::generate::{Case, shrink};
use crate::harness::{Run, run_engine};
use crate::naive::{self, Outputs};

const CASES: u64 = 20_000;

/// After so many failures no more are looked for.
const FAILURES_MAX: usize = 5;

/// The ways in which each case is run.
const RUNS: [Run; 3] = [
    Run { threads: 1, batch_size: 1_000, stretch: 1_000 },
    Run { threads: 1, batch_size: 1, stretch: 1 },
    Run { threads: 3, batch_size: 3, stretch: 2 },
];

/// What was counted over all cases.
#[derive(Default)]
struct Tally {
    cases: u64,
    with_matches: u64,
    skipped: u64,
    features: BTreeMap<&'static str, [u64; 2]>,
}

#[test]
fn the_engine_says_what_the_naive_matcher_says() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let (first, count) = (number("SEQUOR_SEED", 0), number("SEQUOR_CASES", CASES));
    let next = AtomicU64::new(0);
    let tally = Mutex::new(Tally::default());
    let failures = Mutex::new(Vec::<String>::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = first + next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count || failures.lock().unwrap().len() >= FAILURES_MAX {
                        return;
                    }
                    if let Err(report) = check(seed, &tally) {
                        failures.lock().unwrap().push(report);
                    }
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap();
    print_tally(&tally);
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    if count >= CASES {
        check_breadth(&tally);
    }
}

/// Runs the case of a seed both ways.
fn check(seed: u64, tally: &Mutex<Tally>) -> Result<(), String> {
    let (case, mut features) = Case::new(seed);
    let expected = naive_outputs(&case);
    let compiled = case.compile().expect("generated patterns are accepted");
    let storage = |plan| nfa::compile(plan, usize::MAX).map(|automaton| nfa::storage(plan, &automaton));
    for (held, feature) in
        [(nfa::Storage::Sets, "held as sets"), (nfa::Storage::StartGroups, "held as start groups")]
    {
        if compiled.plans.iter().any(|plan| storage(plan) == Some(held)) {
            features.insert(feature);
        }
    }
    if PatternSet::new(compiled.plans.clone(), &StreamSettings::default(), &[]).carried() > 0 {
        features.insert("values carried by steps");
    }
    {
        let mut tally = tally.lock().unwrap();
        tally.cases += 1;
        let outputs = expected.clone().unwrap_or_default();
        let holds = |part: &str| outputs.matches.windows(part.len()).any(|bytes| bytes == part.as_bytes());
        let found = holds("\"kind\":\"match\"");
        if holds("\"kind\":\"timeout\"") {
            features.insert("timeouts found");
        }
        if !outputs.late.is_empty() {
            features.insert("late events found");
        }
        tally.skipped += u64::from(expected.is_none());
        tally.with_matches += u64::from(found);
        for feature in features {
            let [all, matched] = tally.features.entry(feature).or_default();
            *all += 1;
            *matched += u64::from(found);
        }
    }
    if differs(&case).is_none() {
        return Ok(());
    }
    // Who only asks whether there is a difference (`./dev mutants`) does not wait for the smallest case of it.
    let smallest = match std::env::var_os("SEQUOR_NO_SHRINK") {
        Some(_) => case,
        None => shrink(&case, &mut |case| differs(case).is_some()),
    };
    let (run, expected, found) = differs(&smallest).expect("shrinking keeps the difference");
    Err(describe(seed, &smallest, run, &expected, &found))
}

fn naive_outputs(case: &Case) -> Option<Outputs> {
    let compiled = case.compile().expect("generated patterns are accepted");
    naive::run(&[compiled.file], &case.inputs, &case.settings).ok().map(comparable)
}

/// The first way of running the case whose outputs are not those of the naive matcher.
fn differs(case: &Case) -> Option<(Run, Outputs, Outputs)> {
    let expected = naive_outputs(case)?;
    RUNS.into_iter().find_map(|run| {
        let plans = case.compile()?.plans;
        let found = comparable(run_engine(plans, &case.inputs, &case.settings, run));
        (found != expected).then(|| (run, expected.clone(), found))
    })
}

/// The outputs without the JSON parser's words.
fn comparable(mut outputs: Outputs) -> Outputs {
    static WORDS: std::sync::LazyLock<regex::bytes::Regex> = std::sync::LazyLock::new(|| {
        regex::bytes::Regex::new(r#"(?m)^(\{"reason":"invalid JSON: )[^"]*"#).unwrap()
    });
    outputs.dead = WORDS.replace_all(&outputs.dead, &b"$1"[..]).into_owned();
    outputs
}

fn describe(seed: u64, case: &Case, run: Run, expected: &Outputs, found: &Outputs) -> String {
    let mut text = format!("seed {seed}, {run:?}, {:?}\n\n{}\n", case.settings, case.text());
    for (partition, input) in case.inputs.iter().enumerate() {
        text.push_str(&format!("partition {partition} of stream {}:\n", input.stream));
        for line in &input.lines {
            text.push_str(&format!(
                "  {}\n",
                String::from_utf8_lossy(line).escape_debug().to_string().replace("\\\"", "\"")
            ));
        }
    }
    for (what, expected, found) in [
        ("matches", &expected.matches, &found.matches),
        ("late events", &expected.late, &found.late),
        ("dead letters", &expected.dead, &found.dead),
    ] {
        if expected != found {
            text.push_str(&format!("{what} (- naive, + engine):\n{}", difference(expected, found)));
        }
    }
    text
}

fn difference(expected: &[u8], found: &[u8]) -> String {
    let (expected, found) = (String::from_utf8_lossy(expected), String::from_utf8_lossy(found));
    let (expected, found): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    let mut text = String::new();
    for line in &expected {
        text.push_str(&format!("  {} {line}\n", if found.contains(line) { ' ' } else { '-' }));
    }
    for line in found.iter().filter(|line| !expected.contains(line)) {
        text.push_str(&format!("  + {line}\n"));
    }
    if expected.iter().all(|line| found.contains(line)) && expected.len() == found.len() {
        text.push_str(&format!("the same lines in another order:\n  {}\n", found.join("\n  ")));
    }
    text
}

fn print_tally(tally: &Tally) {
    println!("{} cases, {} with matches, {} skipped", tally.cases, tally.with_matches, tally.skipped);
    for (feature, [all, matched]) in &tally.features {
        println!("{all:7} {matched:7}  {feature}");
    }
}

/// The cases are worth their time: most have matches, few are skipped, and every part of the language comes often,
/// in cases with matches too.
fn check_breadth(tally: &Tally) {
    assert!(tally.with_matches * 10 >= tally.cases * 6, "{} cases have matches", tally.with_matches);
    assert!(tally.skipped * 50 <= tally.cases, "{} cases were skipped", tally.skipped);
    let rare: Vec<_> =
        tally.features.iter().filter(|(_, [_, matched])| matched * 100 < tally.cases).collect();
    assert!(rare.is_empty(), "rare: {rare:?}");
    assert!(tally.features.len() >= 50, "only {} features", tally.features.len());
}
