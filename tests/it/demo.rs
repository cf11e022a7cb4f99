//! The first command of the README, as whoever runs it meets it: a service, a feed, matches as they come, and an end.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// Whether a service answers there.
fn answers(url: &str) -> bool {
    ureq::get(format!("{url}/livez")).call().is_ok()
}

#[test]
fn the_demo_shows_matches_as_they_come_and_ends_when_told() {
    let mut demo = Command::new("./dev")
        .args(["demo", "127.0.0.1:0"])
        .env("SEQUOR", env!("CARGO_BIN_EXE_sequor"))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map(Result::unwrap);
    let said = lines.find(|line| line.starts_with("The service runs on ")).unwrap();
    let url = said.split([' ', ',']).find(|word| word.starts_with("http://")).unwrap();
    let found = lines.by_ref().find(|line| line.contains("  match  ")).unwrap();
    assert!(
        ["card_testing", "brute_force", "unpaid_order"].iter().any(|name| found.contains(name)),
        "{found}"
    );
    assert!(answers(url));
    let interrupted = Command::new("kill").args(["-INT", &demo.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let rest: Vec<String> = lines.collect();
    assert!(rest.iter().any(|line| line.starts_with("Stopped: ")), "{rest:?}");
    assert_eq!(demo.wait().unwrap().code(), Some(0));
    assert!(!answers(url), "it has ended");
}
