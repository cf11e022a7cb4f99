//! Golden files: what a text means, or what its author is told. One function turns a file into what is compared.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sequor::pattern::code;
use sequor::pattern::render::Source;
use sequor::pattern::{Limits, compile, format};

use super::summary::summary;

#[test]
fn texts_with_mistakes_are_told_so() {
    insta::with_settings!({ prepend_module_to_snapshot => false, snapshot_path => "../../language/err", omit_expression => true }, {
        insta::glob!("../../language/err", "*.seq", |path| {
            let text = fs::read_to_string(path).unwrap();
            let name = path.file_name().unwrap().to_string_lossy();
            let compiled = compile(&text, &Limits::default());
            insta::assert_snapshot!(Source::new(&name, &text).render_all(&compiled.diagnostics, false));
        });
    });
}

/// The canonical text, the tree's plans and the warnings.
#[test]
fn texts_without_mistakes_mean_this() {
    insta::with_settings!({ prepend_module_to_snapshot => false, snapshot_path => "../../language/ok", omit_expression => true }, {
        insta::glob!("../../language/ok", "*.seq", |path| {
            let text = fs::read_to_string(path).unwrap();
            let name = path.file_name().unwrap().to_string_lossy();
            let compiled = compile(&text, &Limits::default());
            let told = Source::new(&name, &text).render_all(&compiled.diagnostics, false);
            assert!(!compiled.diagnostics.has_errors(), "{told}");
            assert_eq!(compiled.plans.len(), compiled.file.patterns.len());
            let plans: Vec<String> = compiled.plans.iter().map(summary).collect();
            let canonical = format(&text, &Limits::default()).unwrap();
            insta::assert_snapshot!(std::format!("{canonical}\n--- plans\n\n{}\n--- warnings\n\n{told}", plans.join("\n")));
        });
    });
}

#[test]
fn every_code_has_a_text_that_shows_it() {
    let mut seen = BTreeSet::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/language/err");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "seq") {
            let compiled = compile(&fs::read_to_string(path).unwrap(), &Limits::default());
            seen.extend(compiled.diagnostics.iter().map(|diagnostic| diagnostic.code));
        }
    }
    // A text of more than a mebibyte is no file to keep.
    seen.extend(compile(&" ".repeat((1 << 20) + 1), &Limits::default()).diagnostics.iter().map(|d| d.code));
    let missing: Vec<_> = code::ALL.iter().filter(|(code, _)| !seen.contains(code)).collect();
    assert!(missing.is_empty(), "no text shows {missing:?}");
}

#[test]
fn the_documentation_lists_every_code() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/diagnostics.md")).unwrap();
    let listed: Vec<&str> =
        page.lines().filter(|line| line.starts_with("| E") || line.starts_with("| W")).collect();
    let known: Vec<String> =
        code::ALL.iter().map(|(code, meaning)| std::format!("| {code} | {meaning} |")).collect();
    assert_eq!(listed, known);
    assert!(code::ALL.is_sorted());
    assert!(code::ALL.windows(2).all(|two| two[0].0 != two[1].0));
}
