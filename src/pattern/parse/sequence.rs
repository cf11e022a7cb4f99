//! What `match` says: elements and the links between them.

use nom::Parser;
use nom::branch::alt;

use super::element::element;
use super::input::{Parse, Tokens, absent, keyword, unexpected};
use super::name::{begins_clause, begins_link};
use super::recover::{FOLLOWING, keyword_meant, on_new_line, report, skip_to};
use super::token::Kind;
use crate::pattern::ast::{Element, Link, LinkKind, Sequence};
use crate::pattern::code;
use crate::pattern::diagnostic::{Diagnostic, Span};

/// A sequence: of `match`, or in the parentheses of a group. Mistakes are reported and left behind; `None` where no
/// element is left.
pub(super) fn sequence(input: Tokens<'_>, in_group: bool) -> Parse<'_, Option<Sequence>> {
    let mut input = without_first_link(input);
    let mut sequence: Option<Sequence> = None;
    let mut link = Link { kind: LinkKind::FollowedBy, span: input.span() };
    loop {
        match element(input) {
            Ok((after, element)) => {
                input = after;
                append(&mut sequence, link, element);
            }
            Err(error) => {
                let mistake = report(input, error);
                input.tear();
                input = skip_to(input, mistake, |at| begins_link(at) || (in_group && at.at_symbol(")")));
            }
        }
        (input, link) = match next_link(input, in_group) {
            Ok((after, link)) => (after, link),
            Err(_) => return Ok((input, sequence)),
        };
    }
}

fn append(sequence: &mut Option<Sequence>, link: Link, element: Option<Element>) {
    let Some(element) = element else { return };
    match sequence {
        Some(sequence) => sequence.rest.push((link, element)),
        None => *sequence = Some(Sequence { first: element, rest: Vec::new() }),
    }
}

/// A sequence begins with an element: a link before it is reported and left out.
fn without_first_link(input: Tokens<'_>) -> Tokens<'_> {
    if !begins_link(input) || input.nth(1).kind == Kind::Symbol(":") {
        return input;
    }
    let Ok((after, link)) = link(input) else { return input };
    let diagnostic = match link.kind {
        LinkKind::NotNext | LinkKind::NotFollowedBy => {
            Diagnostic::new(code::NEGATION_FIRST, link.span, "a sequence cannot begin with a negation")
                .help("a negation says what must not happen after some event: put a stage before it")
        }
        _ => Diagnostic::new(code::MISSING_LINK, link.span, "there is nothing before this link")
            .help("the first element of a sequence stands without a link"),
    };
    input.report(diagnostic);
    after
}

/// The link to the next element. Where something else stands that cannot end a sequence, that is reported, and the
/// link is the one that was most likely meant; an error where the sequence ends.
fn next_link(input: Tokens<'_>, in_group: bool) -> Parse<'_, Link> {
    let mut input = input;
    loop {
        if let Ok(found) = link(input) {
            return Ok(found);
        }
        if input.is_end() || begins_clause(input) || (in_group && input.at_symbol(")")) {
            return absent();
        }
        if let Some(after) = link_left_out(input) {
            return Ok((after, Link { kind: LinkKind::FollowedBy, span: Span::default() }));
        }
        if !in_group && matches!(input.first().kind, Kind::Name(_)) && on_new_line(input) {
            // Perhaps a clause: whoever reads clauses tells.
            return absent();
        }
        let expected = match in_group {
            true => "a link (`next`, `followed by`, …), a modifier or `)`",
            false => "a link (`next`, `followed by`, …), a modifier or a clause",
        };
        let mistake = unexpected(input, expected);
        let mistake = match &input.first().kind {
            Kind::Symbol(")") => mistake.help("no parenthesis is open here"),
            Kind::Keyword("not") => mistake.help("a negation is `not next` or `not followed by`"),
            Kind::Name(found) => match input.meant(found, &FOLLOWING) {
                Some(word) => mistake.help(format!("did you mean `{word}`?")).suggest(input.span(), word),
                None => mistake,
            },
            _ => mistake,
        };
        let place = mistake.span.start;
        input.report(mistake);
        let stop = |at: Tokens<'_>| begins_link(at) || (in_group && at.at_symbol(")"));
        input = skip_to(input.skip(1), place, stop);
    }
}

/// Where an element begins without a link before it, or with another sign for it: what comes after that sign.
fn link_left_out(input: Tokens<'_>) -> Option<Tokens<'_>> {
    let (sign, element) = match input.first().kind {
        Kind::Symbol(",") | Kind::Invalid => (true, input.skip(1)),
        _ => (false, input),
    };
    let stage = matches!(element.first().kind, Kind::Name(_))
        && matches!(element.nth(1).kind, Kind::Symbol(":" | "?" | "+" | "*" | "{"));
    if !stage && !element.at_symbol("(") {
        return None;
    }
    let mistake = Diagnostic::new(code::MISSING_LINK, input.span(), "a link is missing before this element")
        .help("elements are linked by `next`, `followed by`, `followed by any`, `not next` or `not followed by`");
    let gap = Span { start: input.span().start, end: element.span().start };
    input.report(if sign {
        mistake.suggest(gap, " followed by ")
    } else {
        mistake.suggest(gap, "followed by ")
    });
    Some(element)
}

/// A link.
fn link(input: Tokens<'_>) -> Parse<'_, Link> {
    let (after, kind) = alt((negative, positive)).parse(input)?;
    Ok((after, Link { kind, span: after.since(input.span()) }))
}

fn positive(input: Tokens<'_>) -> Parse<'_, LinkKind> {
    if let Ok((after, ())) = keyword_meant("next")(input) {
        return Ok((after, LinkKind::Next));
    }
    let (after, ()) = keyword_meant("followed")(input)?;
    let after = by(after, "followed");
    match keyword("any")(after) {
        // With a colon it is meant as a stage's name.
        Ok((last, _)) if !last.at_symbol(":") => Ok((last, LinkKind::FollowedByAny)),
        _ => Ok((after, LinkKind::FollowedBy)),
    }
}

fn negative(input: Tokens<'_>) -> Parse<'_, LinkKind> {
    let (after, _) = keyword("not")(input)?;
    if let Ok((after, ())) = keyword_meant("next")(after) {
        return Ok((after, LinkKind::NotNext));
    }
    let (after, ()) = keyword_meant("followed")(after)?;
    Ok((by(after, "not followed"), LinkKind::NotFollowedBy))
}

/// The `by` after a word; where it is missing that is reported.
pub(super) fn by<'a>(input: Tokens<'a>, word: &str) -> Tokens<'a> {
    if let Ok((after, ())) = keyword_meant("by")(input) {
        return after;
    }
    let end = input.previous().span.end;
    let mistake = unexpected(input, &format!("`by` after `{word}`"));
    input.report(mistake.suggest(Span { start: end, end }, " by"));
    input
}
