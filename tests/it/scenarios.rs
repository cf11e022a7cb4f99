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

/// Runs one scenario of a pattern, both given as text.
fn run(pattern: &str, scenario: &str) -> Result<Vec<report::Entry>, String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("p.seq"), pattern).unwrap();
    let path = folder.path().join("p.scenario.toml");
    std::fs::write(&path, scenario).unwrap();
    let entries = run_all(&[path], None);
    let short = |text: String| text.replace(&format!("{}/", folder.path().display()), "");
    let entry = |mut entry: report::Entry| {
        entry.file = short(entry.file);
        entry
    };
    entries.map(|entries| entries.into_iter().map(entry).collect()).map_err(short)
}

const PAIR: &str =
    "pattern pair\n  key by k\n  match a: a\n  followed by b: b\n  within 1m\n  select count(a) as n\n";

const WRONG: &str = r#"
[[scenario]]
name = "wrong in all that can be"
events = [
  { t = "0s", as = "start", type = "a", k = 1 },
  { t = "10s", as = "end", type = "b", k = 1 },
  { t = "20s", type = "a", k = 2 },
  { t = "21s", type = "b", k = 2 },
]
matches = [
  { at = "10s", key = 1, events = { a = "start", b = "end" }, fields = { n = 1 } },
  { at = "22s", key = 2, events = { a = 2, b = 3 } },
]
none_of = ["pair"]
late = 1

[[scenario]]
name = "right & <proper>"
events = [{ t = "0s", type = "a", k = 1 }]
"#;

#[test]
fn a_failure_shows_what_is_missing_and_what_is_too_much() {
    insta::assert_snapshot!(report::human(&run(PAIR, WRONG).unwrap()));
}

#[test]
fn a_failure_in_json() {
    insta::assert_snapshot!(report::json(&run(PAIR, WRONG).unwrap()));
}

#[test]
fn a_failure_in_junit() {
    insta::assert_snapshot!(report::junit(&run(PAIR, WRONG).unwrap()));
}

#[test]
fn a_dependence_on_the_order_of_arrival_is_found() {
    // Offsets differ between orders of arrival, and this pattern looks at one.
    let pattern = "pattern first_line\n  match a: a where @offset == 0\n";
    let scenario = r#"
[[scenario]]
name = "depends on the offset"
events = [{ t = "0s", type = "a" }, { t = "1s", type = "a" }, { t = "2s", type = "a" }]
matches = [{ at = "0s", events = { a = 0 } }]
"#;
    let entries = run(pattern, scenario).unwrap();
    let failed: usize = entries[0].outcome.failures.iter().map(|failure| failure.variants.len()).sum();
    assert!(failed > 0 && failed < entries[0].outcome.variants, "{}", report::human(&entries));
}

#[test]
fn late_events_and_dead_letters_are_counted() {
    let scenario = r#"
[[scenario]]
name = "one of each"
events = [
  { t = "0s", type = "a", k = 1 },
  { t = "10s", type = "c", k = 1 },
  { t = "4s999ms", type = "b", k = 1 },
  { line = "no JSON" },
  { line = '{"type":"b","k":1}' },
]
late = 1
dead_letters = 2
none_of = ["pair"]
"#;
    let entries = run(PAIR, scenario).unwrap();
    assert!(entries[0].passed(), "{}", report::human(&entries));
    assert_eq!(entries[0].outcome.variants, 24, "no free shuffles where something is late");
}

#[test]
fn what_is_wrong_before_anything_runs_is_an_error() {
    let unknown = "[[scenario]]\nname = \"s\"\nevents = []\nnone_of = [\"pear\"]\n";
    assert_eq!(
        run(PAIR, unknown).unwrap_err(),
        "p.scenario.toml:2: scenario \"s\": there is no pattern `pear` (there is pair)"
    );
    let error = run("pattern p\n  match a: a where nope(x) == 1\n", unknown).unwrap_err();
    assert!(error.contains("p.seq:2") && error.contains("nope"), "{error}");
    assert!(
        run_all(&[PathBuf::from("no/such.scenario.toml")], None)
            .unwrap_err()
            .starts_with("cannot read no/such")
    );
    assert_eq!(run_all(&[patterns()], Some("no such name")).unwrap_err(), "there is no scenario to run");
}

#[test]
fn a_filter_selects_by_name_and_by_file() {
    let by_name = run_all(&[patterns()], Some("two probes are two matches")).unwrap();
    assert_eq!(by_name.len(), 1);
    let by_file = run_all(&[patterns()], Some("card_testing.scenario.toml")).unwrap();
    assert_eq!(by_file.len(), 3);
}

#[test]
fn every_pattern_has_a_match_and_a_near_miss() {
    let mut folders = vec![patterns()];
    let mut count = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "seq") {
                let beside = path.with_extension("scenario.toml");
                let text = std::fs::read_to_string(&beside).unwrap_or_default();
                let scenarios = sequor::cli::scenario::file::parse(&text, &beside).unwrap();
                assert!(scenarios.iter().any(|s| !s.matches.is_empty()), "{}: no match", beside.display());
                assert!(scenarios.iter().any(|s| s.matches.is_empty()), "{}: no near miss", beside.display());
                count += 1;
            }
        }
    }
    assert!(count >= 20, "only {count} patterns");
}

#[test]
fn the_exit_status_tells_failed_scenarios_from_wrong_files() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let status = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_sequor"))
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    write("p.seq", PAIR);
    write("p.scenario.toml", WRONG);
    let (code, printed, said) = status(&["test", "p.scenario.toml"]);
    assert_eq!((code, said.as_str()), (Some(1), ""), "{printed}");
    let (code, printed, _) = status(&["test", ".", "--filter", "proper", "--format", "json"]);
    assert_eq!(code, Some(0), "{printed}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).unwrap()["passed"], 1);
    write("p.scenario.toml", "[[scenario]]\n");
    let (code, printed, said) = status(&["test", "."]);
    assert_eq!((code, printed.as_str()), (Some(2), ""));
    assert!(said.contains("missing field `name`"), "{said}");
    write("p.seq", "pattern p match");
    write("p.scenario.toml", WRONG);
    assert_eq!(status(&["test", "."]).0, Some(2));
    assert_eq!(status(&["test", "--format", "yaml"]).0, Some(2));
}
