//! Clauses. The elements of `match` are read in `sequence`.

use nom::Parser;
use nom::combinator::opt;
use nom::multi::separated_list1;
use nom::sequence::preceded;

use super::expr::expr;
use super::input::{Parse, Tokens, absent, expect, fail, keyword, symbol, unexpected};
use super::name::{begins_clause, expect_name, name, name_or_string};
use super::number::unit_meant;
use super::path::path;
use super::recover::{keyword_meant, on_new_line, report, skip_to};
use super::sequence::{by, sequence};
use super::token::Kind;
use crate::event::TimeSpan;
use crate::pattern::ast::{Clause, ClauseKind, Item, Skip};
use crate::pattern::code;
use crate::pattern::diagnostic::Diagnostic;

/// What reads a clause after its first word.
type Body<'a> = fn(Tokens<'a>) -> Parse<'a, Option<ClauseKind>>;

/// A clause; an error where none begins. `None` for one of which nothing is left.
pub(super) fn clause(input: Tokens<'_>) -> Parse<'_, Option<Clause>> {
    let parsers: [(&'static str, Body<'_>); 7] = [
        ("from", from),
        ("key", key_by),
        ("match", match_clause),
        ("within", within),
        ("after", after_match),
        ("emit", emit),
        ("select", select),
    ];
    for (word, parser) in parsers {
        if let Ok((after, ())) = keyword_meant(word)(input) {
            let (after, kind) = parser(after)?;
            let span = after.since(input.span());
            return Ok((after, kind.map(|kind| Clause { kind, span })));
        }
    }
    absent()
}

fn from(input: Tokens<'_>) -> Parse<'_, Option<ClauseKind>> {
    separated_list1(symbol(","), expect_name("a stream's name", name_or_string))
        .map(|streams| Some(ClauseKind::From(streams)))
        .parse(input)
}

fn key_by(input: Tokens<'_>) -> Parse<'_, Option<ClauseKind>> {
    match separated_list1(symbol(","), path).parse(by(input, "key")) {
        Ok((after, paths)) => Ok((after, Some(ClauseKind::KeyBy(paths)))),
        Err(error) => {
            // Whether a bare path of `select` is a key cannot be told now.
            input.tear();
            Err(error)
        }
    }
}

fn match_clause(input: Tokens<'_>) -> Parse<'_, Option<ClauseKind>> {
    let (after, sequence) = sequence(input, false)?;
    Ok((after, sequence.map(ClauseKind::Match)))
}

/// `duration [between events]`. A duration that cannot be read is reported and some other taken, so that it does not
/// look as if there were no window.
fn within(input: Tokens<'_>) -> Parse<'_, Option<ClauseKind>> {
    let (after, span) = match duration(input) {
        Ok(found) => found,
        Err(error) => {
            let mistake = report(input, error);
            (skip_to(input, mistake, |at| at.at_keyword("between")), TimeSpan(1))
        }
    };
    let (after, between) = opt(keyword_meant("between")).parse(after)?;
    let (after, between_events) = match between {
        Some(()) => {
            expect("`events` after `between`", keyword_meant("events")).map(|()| true).parse(after)?
        }
        None => (after, false),
    };
    Ok((after, Some(ClauseKind::Within { span, between_events })))
}

fn duration(input: Tokens<'_>) -> Parse<'_, TimeSpan> {
    let after = input.skip(1);
    let number = input.text(input.span());
    match &input.first().kind {
        Kind::Duration(ms) => Ok((after, TimeSpan(*ms))),
        Kind::Int(_) | Kind::Float(_) => {
            let mistake =
                Diagnostic::new(code::DURATION_WITHOUT_UNIT, input.span(), "a duration needs a unit");
            let unit = match &after.first().kind {
                Kind::Name(word) => unit_meant(word),
                _ => None,
            };
            let (after, mistake) = match unit {
                Some(unit) => {
                    let text = format!("{number}{unit}");
                    let mistake = mistake.help(format!("the unit is a part of it: `{text}`"));
                    (after.skip(1), mistake.suggest(input.span().to(after.span()), text))
                }
                None => {
                    let help = format!("`{number}s`, `{number}m`, …: the units are ms, s, m, h, d and w");
                    (after, mistake.help(help))
                }
            };
            input.report(mistake);
            Ok((after, TimeSpan(1)))
        }
        _ => {
            fail(unexpected(input, "a duration").help("as in `within 10s`, `within 1h30m` or `within 500ms`"))
        }
    }
}

fn after_match(input: Tokens<'_>) -> Parse<'_, Option<ClauseKind>> {
    let (input, ()) = expect("`match` after `after`", keyword_meant("match")).parse(input)?;
    if let Ok((after, _)) = keyword("no")(input) {
        let (after, ()) = expect("`skip` after `no`", keyword_meant("skip")).parse(after)?;
        return Ok((after, Some(ClauseKind::AfterMatch(Skip::NoSkip))));
    }
    let (after, ()) = match keyword_meant("skip")(input) {
        Ok(found) => found,
        Err(_) => return fail(skip_expected(input)),
    };
    if let Ok((after, ())) = keyword_meant("past")(after) {
        let (after, _) = expect("`last` after `skip past`", keyword("last")).parse(after)?;
        return Ok((after, Some(ClauseKind::AfterMatch(Skip::PastLast))));
    }
    let Ok((after, _)) = keyword("to")(after) else { return fail(skip_expected(after)) };
    if let Ok((after, _)) = keyword("next")(after) {
        return Ok((after, Some(ClauseKind::AfterMatch(Skip::ToNext))));
    }
    let make: fn(_) -> Skip = match after.first().kind {
        Kind::Keyword("first") => Skip::ToFirst,
        Kind::Keyword("last") => Skip::ToLast,
        _ => return fail(skip_expected(after)),
    };
    let (after, stage) = expect_name("the name of a stage", name)(after.skip(1))?;
    Ok((after, Some(ClauseKind::AfterMatch(make(stage)))))
}

fn skip_expected(input: Tokens<'_>) -> Diagnostic {
    unexpected(input, "what a match skips")
        .help("`no skip`, `skip to next`, `skip past last`, `skip to first NAME` or `skip to last NAME`")
}

fn emit(input: Tokens<'_>) -> Parse<'_, Option<ClauseKind>> {
    expect("`timeouts` after `emit`", keyword_meant("timeouts"))
        .map(|()| Some(ClauseKind::EmitTimeouts))
        .parse(input)
}

/// The items of `select`; one with a mistake is reported and left out.
fn select(input: Tokens<'_>) -> Parse<'_, Option<ClauseKind>> {
    let (input, first) = mended_item(input)?;
    let (after, others) = nom::multi::many0(preceded(symbol(","), mended_item)).parse(input)?;
    let items: Vec<Item> = first.into_iter().chain(others.into_iter().flatten()).collect();
    Ok((after, (!items.is_empty()).then_some(ClauseKind::Select(items))))
}

fn mended_item(input: Tokens<'_>) -> Parse<'_, Option<Item>> {
    match item(input) {
        Ok((after, item)) => Ok((after, Some(item))),
        Err(error) => {
            let mistake = report(input, error);
            Ok((skip_to(input, mistake, |at| at.at_symbol(",")), None))
        }
    }
}

fn item(input: Tokens<'_>) -> Parse<'_, Item> {
    if input.at_symbol("*") {
        let mistake = unexpected(input, "what to select");
        return fail(
            mistake
                .help("every match has its whole events besides; name the values that you want to compute"),
        );
    }
    if input.at_symbol(",") || input.is_end() || begins_clause(input) {
        return fail(unexpected(input, "what to select").help("as in `select a.x, count(a) as attempts`"));
    }
    let (after, expr) = expr(input)?;
    let (after, alias) = opt(preceded(keyword("as"), expect_name("a name after `as`", name))).parse(after)?;
    let next = after.first();
    // `count(a) attempts`: the `as` was forgotten.
    if alias.is_none() && matches!(next.kind, Kind::Name(_)) && !on_new_line(after) {
        return fail(unexpected(after, "`as` and a name, `,` or a clause"));
    }
    Ok((after, Item { expr, alias }))
}
