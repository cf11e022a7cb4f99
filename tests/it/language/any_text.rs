//! Whatever the text: nothing panics, and what is told holds together.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use sequor::pattern::diagnostic::Diagnostic;
use sequor::pattern::render::Source;
use sequor::pattern::{Limits, code, compile, format};

fn holds_together(text: &str) {
    let limits = Limits::default();
    let compiled = compile(text, &limits);
    for diagnostic in &compiled.diagnostics {
        let Diagnostic { code, span, message, related, suggestion, .. } = diagnostic;
        let spans =
            related.iter().map(|(span, _)| span).chain(suggestion.iter().map(|s| &s.span)).chain([span]);
        for span in spans {
            assert!(text.get(span.range()).is_some(), "{diagnostic:?} of {text:?}");
        }
        assert!(code::ALL.iter().any(|(known, _)| known == code), "{diagnostic:?}");
        assert!(!message.is_empty(), "{diagnostic:?}");
    }
    assert!(compiled.diagnostics.iter().is_sorted_by_key(|diagnostic| diagnostic.span));
    let patterns = compiled.file.patterns.len();
    assert!(compiled.plans.len() <= patterns);
    assert!(
        compiled.diagnostics.has_errors() || compiled.plans.len() == patterns,
        "a plan is missing: {text:?}"
    );
    Source::new("text", text).render_all(&compiled.diagnostics, true);
    if let Ok(canonical) = format(text, &limits) {
        let again = format(&canonical, &limits);
        assert_eq!(again.as_deref(), Ok(canonical.as_str()), "of {text:?}");
        let told = |text| {
            compile(text, &limits).diagnostics.iter().map(|d| (d.code, d.message.clone())).collect::<Vec<_>>()
        };
        assert_eq!(told(text), told(&canonical), "canonical form means something else: {text:?}");
    }
}

/// All texts of the corpus.
fn corpus() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/language");
    let mut paths: Vec<_> = ["ok", "err"]
        .iter()
        .flat_map(|folder| fs::read_dir(root.join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "seq"))
        .collect();
    paths.sort();
    paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// Words and signs that patterns are made of, and what may be mistaken for them.
const KNOWN: &[&str] = &[
    "pattern",
    "p",
    "match",
    "a",
    "b",
    ":",
    "tx",
    "where",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    "next",
    "followed",
    "by",
    "any",
    "not",
    "within",
    "5m",
    "5",
    "1.5",
    "\"s\"",
    "'",
    "\"",
    "`",
    "`n`",
    "and",
    "or",
    "==",
    "<",
    "-",
    "+",
    "*",
    "?",
    ",",
    ".",
    "@",
    "@time",
    "select",
    "as",
    "key",
    "count",
    "first",
    "last",
    "in",
    "is",
    "null",
    "like",
    "matches",
    "between",
    "until",
    "optional",
    "greedy",
    "consecutive",
    "combinations",
    "after",
    "skip",
    "to",
    "emit",
    "timeouts",
    "from",
    "//",
    "/*",
    "*/",
    "\n",
    "é",
    "\\",
    "r\"",
    "this",
    "|",
    "$",
    "->",
    "&&",
    "2",
    "{2,3}",
    "{0,",
    "0ms",
    "\u{feff}",
];

/// One of them, or any character.
fn scrap() -> impl Strategy<Value = String> {
    prop_oneof![8 => proptest::sample::select(KNOWN).prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_characters(text in any::<String>()) {
        holds_together(&text);
    }

    #[test]
    fn any_scraps(scraps in proptest::collection::vec(scrap(), 0..60), spaced in any::<bool>()) {
        holds_together(&scraps.join(if spaced { " " } else { "" }));
    }

    #[test]
    fn changed_patterns(
        which in any::<proptest::sample::Index>(),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), 0_usize..12, scrap()), 1..5),
    ) {
        let corpus = corpus();
        let mut chars: Vec<char> = which.get(&corpus).chars().take(1_500).collect();
        for (place, removed, scrap) in changes {
            let at = place.index(chars.len() + 1);
            let end = (at + removed).min(chars.len());
            chars.splice(at..end, scrap.chars());
        }
        holds_together(&chars.into_iter().collect::<String>());
    }
}

#[test]
fn the_corpus_holds_together() {
    corpus().iter().for_each(|text| holds_together(text));
}

#[test]
fn cut_patterns_hold_together() {
    for text in corpus() {
        let text: String = text.chars().take(400).collect();
        for (at, _) in text.char_indices() {
            holds_together(&text[..at]);
        }
    }
}

#[test]
fn suggestions_put_right_what_they_are_about() {
    let mut applied = 0;
    for text in corpus() {
        for diagnostic in &compile(&text, &Limits::default()).diagnostics {
            let Some(suggestion) = &diagnostic.suggestion else { continue };
            let mut changed = text.clone();
            changed.replace_range(suggestion.span.range(), &suggestion.replacement);
            let again = compile(&changed, &Limits::default());
            let same = |other: &Diagnostic| {
                other.code == diagnostic.code && other.span.start == diagnostic.span.start
            };
            assert!(!again.diagnostics.iter().any(same), "{diagnostic:?} stays in\n{changed}");
            applied += 1;
        }
    }
    assert!(applied > 40, "{applied}");
}
