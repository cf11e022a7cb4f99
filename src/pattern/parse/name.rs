//! Names, and what stands where one was expected; closing signs.

use super::input::{Parse, Tokens, absent, fail, unexpected};
use super::token::Kind;
use crate::pattern::ast::Name;
use crate::pattern::code;
use crate::pattern::diagnostic::{Diagnostic, Span};

/// A name.
pub(super) fn name(input: Tokens<'_>) -> Parse<'_, Name> {
    match &input.first().kind {
        Kind::Name(text) => Ok((input.skip(1), Name { text: text.clone(), span: input.span() })),
        _ => absent(),
    }
}

/// A name, or a string where one may stand for it: types and streams.
pub(super) fn name_or_string(input: Tokens<'_>) -> Parse<'_, Name> {
    match &input.first().kind {
        Kind::Name(text) | Kind::Str(text) => {
            Ok((input.skip(1), Name { text: text.clone(), span: input.span() }))
        }
        _ => absent(),
    }
}

/// Makes a parser of names that must succeed. A keyword on the line of the word before it, or a string, is taken as
/// the name that it was meant to be.
pub(super) fn expect_name<'a>(
    what: &'static str,
    parser: fn(Tokens<'a>) -> Parse<'a, Name>,
) -> impl Fn(Tokens<'a>) -> Parse<'a, Name> {
    move |input| match parser(input) {
        Err(nom::Err::Error(_)) => misused(input, what),
        other => other,
    }
}

fn misused<'a>(input: Tokens<'a>, what: &'static str) -> Parse<'a, Name> {
    match &input.first().kind {
        Kind::Keyword(_) if !input.gap().contains('\n') => Ok(keyword_name(input)),
        Kind::Str(text) => {
            let span = input.span();
            let mended = quoted(text);
            input.report(unexpected(input, what).help("a name is no string").suggest(span, mended));
            Ok((input.skip(1), Name { text: text.clone(), span }))
        }
        Kind::Int(_) | Kind::Float(_) | Kind::Duration(_) => {
            fail(unexpected(input, what).help("a name that begins with a digit stands in backticks"))
        }
        _ => fail(unexpected(input, what)),
    }
}

/// Takes a keyword as the name that it was meant to be, and reports it.
pub(super) fn keyword_name(input: Tokens<'_>) -> (Tokens<'_>, Name) {
    let span = input.span();
    let text = input.text(span);
    input.report(
        Diagnostic::new(code::KEYWORD_AS_NAME, span, format!("`{text}` is a keyword"))
            .help(keyword_as_name(input))
            .suggest(span, quoted(text)),
    );
    (input.skip(1), Name { text: text.to_owned(), span })
}

/// The way out where a keyword was meant as a name.
pub(super) fn keyword_as_name(input: Tokens<'_>) -> String {
    format!("if it is meant as a name, write it in backticks: {}", quoted(input.text(input.span())))
}

/// A name in backticks.
fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// The sign that closes what `opening` opened. Where the text goes on with something that cannot stand inside, the
/// sign was forgotten: that is reported, and parsing goes on as if it were there.
pub(super) fn close<'a>(
    input: Tokens<'a>,
    opening: Span,
    sign: &'static str,
    expected: &'static str,
) -> Parse<'a, ()> {
    if input.at_symbol(sign) {
        return Ok((input.skip(1), ()));
    }
    let opened = input.text(opening);
    if begins_clause(input) || begins_link(input) || input.is_end() {
        let message = format!("`{opened}` is never closed: expected {expected}, found {}", input.found());
        input.report(Diagnostic::new(code::UNCLOSED, input.span(), message).related(opening, "opened here"));
        return Ok((input, ()));
    }
    fail(unexpected(input, expected).related(opening, format!("`{opened}` opened here")))
}

/// Whether a clause or a pattern begins here.
pub(super) fn begins_clause(input: Tokens<'_>) -> bool {
    let Kind::Keyword(word) = input.first().kind else { return false };
    match word {
        "pattern" | "from" | "key" | "match" | "within" | "after" | "emit" | "select" => {
            !is_field_step(input)
        }
        _ => false,
    }
}

/// Whether a link begins here.
pub(super) fn begins_link(input: Tokens<'_>) -> bool {
    match input.first().kind {
        Kind::Keyword("next" | "followed") => !is_field_step(input),
        Kind::Keyword("not") => matches!(input.nth(1).kind, Kind::Keyword("next" | "followed")),
        _ => false,
    }
}

/// Whether a word stands after a dot or an `@` on its line, so that it is meant as a part of a path.
fn is_field_step(input: Tokens<'_>) -> bool {
    matches!(input.previous().kind, Kind::Symbol("." | "@")) && !input.gap().contains('\n')
}
