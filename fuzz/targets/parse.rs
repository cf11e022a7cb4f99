//! Any bytes as the text of patterns: compiling ends, never panics, and what it says points into the text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sequor::pattern::diagnostic::Span;
use sequor::pattern::render::Source;
use sequor::pattern::{Limits, compile, nfa};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let limits = Limits { states: 500, ..Limits::default() };
    let compiled = compile(&text, &limits);
    let check = |what: &str, span: Span| {
        assert!(text.get(span.range()).is_some(), "{what}: {span:?} is no part of {text:?}");
    };
    for diagnostic in &compiled.diagnostics {
        check(diagnostic.code, diagnostic.span);
        diagnostic.related.iter().for_each(|(span, note)| check(note, *span));
        diagnostic.suggestion.iter().for_each(|s| check("suggestion", s.span));
        assert!(!diagnostic.message.is_empty());
    }
    let shown = Source::new("fuzz.seq", &text).render_all(&compiled.diagnostics, false);
    assert_eq!(shown.is_empty(), compiled.diagnostics.is_empty());
    if !compiled.diagnostics.has_errors() {
        assert_eq!(compiled.plans.len(), compiled.file.patterns.len());
    }
    for plan in &compiled.plans {
        nfa::compile(plan, 20_000);
    }
});
