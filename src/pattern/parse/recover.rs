//! Going on after a mistake: where to, and which words were meant.

use super::input::{Mistake, Parse, Tokens, absent, keyword};
use super::name::{begins_clause, begins_link};
use super::token::Kind;
use crate::diagnostic::similar;
use crate::pattern::code;
use crate::pattern::diagnostic::Diagnostic;

/// The words that may come after an element or a clause: the nearest of them is the one that was meant.
pub(super) const FOLLOWING: [&str; 16] = [
    "after",
    "combinations",
    "consecutive",
    "emit",
    "followed",
    "from",
    "greedy",
    "key",
    "match",
    "next",
    "optional",
    "pattern",
    "select",
    "until",
    "where",
    "within",
];

/// A keyword, or a misspelt one, which is reported. Only for places where no name can stand.
pub(super) fn keyword_meant<'a>(word: &'static str) -> impl Fn(Tokens<'a>) -> Parse<'a, ()> {
    move |input| {
        if let Ok((after, _)) = keyword(word)(input) {
            return Ok((after, ()));
        }
        let Kind::Name(found) = &input.first().kind else { return absent() };
        // What a colon or a quantifier follows is a stage.
        if matches!(input.nth(1).kind, Kind::Symbol(":" | "?" | "+" | "*" | "{")) {
            return absent();
        }
        let meant = match FOLLOWING.contains(&word) {
            true => input.meant(found, &FOLLOWING),
            false => similar(found, [word]),
        };
        if meant != Some(word) {
            return absent();
        }
        input.report(
            Diagnostic::new(code::MISSPELT_KEYWORD, input.span(), format!("unknown word `{found}`"))
                .help(format!("did you mean `{word}`?"))
                .suggest(input.span(), word),
        );
        Ok((input.skip(1), ()))
    }
}

/// Reports a mistake that nom carried up to here, and says where it is. Only failures come this far.
pub(super) fn report(input: Tokens<'_>, error: nom::Err<Mistake>) -> u32 {
    match error {
        nom::Err::Failure(Mistake(Some(diagnostic))) | nom::Err::Error(Mistake(Some(diagnostic))) => {
            let start = diagnostic.span.start;
            input.report(*diagnostic);
            start
        }
        _ => input.span().start,
    }
}

/// Skips from the start of something that failed to the place of its mistake, and on to where `stop` says that
/// something else begins. Parentheses that are opened on the way are closed first; but clauses begin anywhere.
pub(super) fn skip_to<'a>(start: Tokens<'a>, mistake: u32, stop: impl Fn(Tokens<'a>) -> bool) -> Tokens<'a> {
    let mut input = start;
    let mut depth = 0_usize;
    while !input.is_end() {
        let here = input.span().start;
        if here >= mistake {
            let at_mistake = here == mistake;
            let closed = depth == 0 || (at_mistake && !input.at_symbol("(") && !input.at_symbol(")"));
            if begins_clause(input) || (closed && stop(input)) || (begins_link(input) && on_new_line(input)) {
                return input;
            }
        }
        match input.first().kind {
            Kind::Symbol("(") => depth += 1,
            Kind::Symbol(")") => depth = depth.saturating_sub(1),
            _ => {}
        }
        input = input.skip(1);
    }
    input
}

/// Whether the next token is the first of its line.
pub(super) fn on_new_line(input: Tokens<'_>) -> bool {
    input.index() == 0 || input.gap().contains('\n')
}
