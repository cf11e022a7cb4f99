//! `check` and `fmt` on files: their exit status, and what they leave behind.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use sequor::cli::check::{self, CheckArgs, Format};
use sequor::cli::fmt::{self, FmtArgs};
use sequor::cli::load::Color;

const UGLY: &str = "PATTERN p match a:a // why\nnext b:b";
const CANONICAL: &str = "pattern p\n  match a: a // why\n  next b: b\n";
const BROKEN: &str = "pattern p match a: a within 5";
const BREAKS_A_RULE: &str = "pattern p match a:a not followed by b:b";
const WARNED_OF: &str = "pattern p match a: a where x == null";

/// A folder with one file in it.
fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.seq");
    fs::write(&path, text).unwrap();
    (folder, path)
}

fn is(status: ExitCode, expected: u8) -> bool {
    format!("{status:?}") == format!("{:?}", ExitCode::from(expected))
}

fn run_check(files: Vec<PathBuf>, deny_warnings: bool, format: Format) -> ExitCode {
    check::run(CheckArgs { files, format, deny_warnings, color: Color::Never })
}

fn run_fmt(path: &std::path::Path, check: bool) -> ExitCode {
    fmt::run(FmtArgs { files: vec![path.to_owned()], check, color: Color::Never })
}

#[test]
fn check_tells_by_its_exit_status() {
    for (text, deny_warnings, expected) in [
        (CANONICAL, false, 0),
        (BROKEN, false, 2),
        (BREAKS_A_RULE, false, 2),
        (WARNED_OF, false, 0),
        (WARNED_OF, true, 2),
    ] {
        for format in [Format::Human, Format::Json] {
            let (_folder, path) = file(text);
            assert!(is(run_check(vec![path], deny_warnings, format), expected), "{text}");
        }
    }
    let (_folder, path) = file(BROKEN);
    let missing = path.with_file_name("missing.seq");
    assert!(is(run_check(vec![missing, path], false, Format::Human), 1));
}

#[test]
fn fmt_changes_files_in_place_once() {
    let (_folder, path) = file(UGLY);
    assert!(is(run_fmt(&path, true), 1));
    assert_eq!(fs::read_to_string(&path).unwrap(), UGLY);
    assert!(is(run_fmt(&path, false), 0));
    assert_eq!(fs::read_to_string(&path).unwrap(), CANONICAL);
    assert!(is(run_fmt(&path, true), 0));
}

#[test]
fn fmt_leaves_files_with_mistakes_alone() {
    let (_folder, path) = file(BROKEN);
    assert!(is(run_fmt(&path, false), 2));
    assert_eq!(fs::read_to_string(&path).unwrap(), BROKEN);
    assert!(is(run_fmt(&path.with_file_name("missing.seq"), false), 1));
}

#[test]
fn fmt_puts_in_form_what_breaks_a_rule() {
    let (_folder, path) = file(BREAKS_A_RULE);
    assert!(is(run_fmt(&path, false), 0));
    assert_eq!(fs::read_to_string(&path).unwrap(), "pattern p\n  match a: a\n  not followed by b: b\n");
}
