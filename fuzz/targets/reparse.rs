//! What is printed of a text without mistakes reads as the same tree, keeps all comments, and is printed the same again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sequor::pattern::parse::parse;
use sequor::pattern::print::print;
use sequor::pattern::{Limits, ast};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let limits = Limits::default();
    let parsed = parse(text, &limits);
    if parsed.diagnostics.has_errors() {
        return;
    }
    let printed = print(&parsed.file, text);
    let again = parse(&printed, &limits);
    assert!(!again.diagnostics.has_errors(), "{printed}\nis no pattern: {:?}", again.diagnostics);
    assert_eq!(print(&again.file, &printed), printed, "printing twice");
    let comments = |file: &ast::File| {
        let mut texts: Vec<String> =
            file.comments.iter().map(|c| c.text.split_whitespace().collect()).collect();
        texts.sort();
        texts
    };
    assert_eq!(comments(&again.file), comments(&parsed.file), "the comments of\n{printed}");
    let tree = |file: ast::File| ast::File { comments: Vec::new(), ..file.without_spans() };
    assert_eq!(tree(again.file), tree(parsed.file), "the tree of\n{printed}");
});
