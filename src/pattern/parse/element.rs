//! Stages and groups, with their quantifiers and modifiers.

use nom::Parser;
use nom::combinator::opt;
use nom::multi::many0;

use super::expr::expr;
use super::input::{Parse, Tokens, absent, expect, fail, keyword, symbol, unexpected};
use super::name::{begins_clause, begins_link, close, expect_name, keyword_name, name, name_or_string};
use super::recover::{keyword_meant, report, skip_to};
use super::sequence::sequence;
use super::token::Kind;
use crate::pattern::ast::{
    Element, Expr, ExprKind, Group, Literal, Modifier, ModifierKind, Name, Quantifier, QuantifierKind, Stage,
    Types,
};
use crate::pattern::code;
use crate::pattern::diagnostic::Diagnostic;

/// A stage or a group; `None` for a group of which nothing is left.
pub(super) fn element(input: Tokens<'_>) -> Parse<'_, Option<Element>> {
    if input.at_symbol("(") {
        return group(input);
    }
    let names_stage = matches!(input.nth(1).kind, Kind::Symbol(":" | "?" | "+" | "*" | "{"));
    let (after, name) = match input.first().kind {
        Kind::Name(_) => name(input)?,
        Kind::Keyword(_) if names_stage => keyword_name(input),
        Kind::Str(_) if names_stage => expect_name("a stage's name", name)(input)?,
        _ => {
            let mistake = unexpected(input, "a stage or a group");
            return fail(mistake.help(
                "a stage is written `name: type`, as in `paid: payment`; a group stands in parentheses",
            ));
        }
    };
    let (after, stage) = stage(after, name)?;
    Ok((after, Some(Element::Stage(stage))))
}

/// A stage, after its name.
fn stage<'a>(input: Tokens<'a>, name: Name) -> Parse<'a, Stage> {
    let (after, mut quantifier) = opt(quantifier).parse(input)?;
    let (after, types) = types_of(after, &name)?;
    let (after, misplaced) = opt(misplaced_quantifier).parse(after)?;
    quantifier = quantifier.or(misplaced);
    let (after, modifiers) = many0(stage_modifier).parse(after)?;
    let span = after.since(name.span);
    Ok((after, Stage { name, quantifier, types, modifiers, span }))
}

/// The colon and the types. A stage without them is reported, and taken as one that takes any event.
fn types_of<'a>(input: Tokens<'a>, stage: &Name) -> Parse<'a, Types> {
    let (after, colon) = opt(symbol(":")).parse(input)?;
    let missing = match after.first().kind {
        Kind::Keyword("any") | Kind::Name(_) | Kind::Str(_) => false,
        Kind::Keyword("where" | "until" | "consecutive" | "combinations" | "greedy" | "optional") => true,
        _ => begins_clause(after) || begins_link(after) || after.is_end(),
    };
    if colon.is_none() || missing {
        let message = format!("stage `{}` does not say which types of event it takes", stage.text);
        let help = format!("write `{0}: type`, or `{0}: any` for every type", stage.text);
        after.report(Diagnostic::new(code::STAGE_WITHOUT_TYPES, input.since(stage.span), message).help(help));
        return Ok((after, Types::Any(after.previous().span)));
    }
    types(after)
}

/// `any`, or types with `|` between them.
fn types(input: Tokens<'_>) -> Parse<'_, Types> {
    if let Ok((after, span)) = keyword("any")(input) {
        return Ok((after, Types::Any(span)));
    }
    let one = expect_name("a type or `any`", name_or_string);
    let (mut input, first) = one(input)?;
    let mut types = vec![first];
    while let Ok((after, ())) = another_type(input) {
        let (after, next) = one(after)?;
        types.push(next);
        input = after;
    }
    Ok((input, Types::OneOf(types)))
}

/// What stands between two types; another sign than `|` is reported.
fn another_type(input: Tokens<'_>) -> Parse<'_, ()> {
    let after = input.skip(1);
    match input.first().kind {
        Kind::Symbol("|") => Ok((after, ())),
        Kind::Symbol(",") | Kind::Keyword("or")
            if matches!(after.first().kind, Kind::Name(_) | Kind::Str(_))
                && !after.skip(1).at_symbol(":") =>
        {
            input.report(unexpected(input, "`|` between types").suggest(input.span(), "|"));
            Ok((after, ()))
        }
        _ => absent(),
    }
}

/// A group.
fn group(input: Tokens<'_>) -> Parse<'_, Option<Element>> {
    let (inner, opening) = symbol("(").parse(input)?;
    let (after, sequence) = inner.deeper(|inner| sequence(inner, true))?;
    let (after, ()) = close(after, opening, ")", "a link or `)`")?;
    let (after, quantifier) = opt(quantifier).parse(after)?;
    let (after, modifiers) = many0(group_modifier).parse(after)?;
    let modifiers = modifiers.into_iter().flatten().collect();
    let span = after.since(input.span());
    let group = sequence.map(|sequence| Group { sequence: Box::new(sequence), quantifier, modifiers, span });
    Ok((after, group.map(Element::Group)))
}

/// A quantifier.
fn quantifier(input: Tokens<'_>) -> Parse<'_, Quantifier> {
    let Kind::Symbol(sign) = input.first().kind else { return absent() };
    let after = input.skip(1);
    let (after, kind) = match sign {
        "?" => (after, QuantifierKind::Optional),
        "+" => (after, QuantifierKind::Plus),
        "*" => (after, QuantifierKind::Star),
        "{" => counts(input)?,
        _ => return absent(),
    };
    Ok((after, Quantifier { kind, span: after.since(input.span()) }))
}

/// `{n}`, `{n,}` or `{n,m}`
fn counts(input: Tokens<'_>) -> Parse<'_, QuantifierKind> {
    let (after, opening) = symbol("{").parse(input)?;
    if after.at_symbol(",") {
        return fail(
            unexpected(after, "a whole number")
                .help("counts are written `{3}`, `{2,}` or `{2,4}`; for none or more: `{0,4}`"),
        );
    }
    let (after, least) = expect("a whole number", count).parse(after)?;
    let (after, comma) = opt(symbol(",")).parse(after)?;
    let (after, most) = match comma {
        Some(_) => opt(count).parse(after)?,
        None => (after, None),
    };
    let (after, ()) =
        close(after, opening, "}", if comma.is_some() { "a whole number or `}`" } else { "`,` or `}`" })?;
    let kind = match (comma, most) {
        (None, _) => QuantifierKind::Exactly(least),
        (Some(_), None) => QuantifierKind::AtLeast(least),
        (Some(_), Some(most)) => QuantifierKind::Between(least, most),
    };
    Ok((after, kind))
}

fn count(input: Tokens<'_>) -> Parse<'_, u64> {
    match input.first().kind {
        Kind::Int(count) => Ok((input.skip(1), count)),
        _ => absent(),
    }
}

/// A quantifier after the types, where other languages have it.
fn misplaced_quantifier(input: Tokens<'_>) -> Parse<'_, Quantifier> {
    let (after, quantifier) = quantifier(input)?;
    let text = input.text(quantifier.span);
    input.report(
        Diagnostic::new(
            code::MISPLACED_QUANTIFIER,
            quantifier.span,
            "a quantifier stands after the stage's name",
        )
        .help(format!("write `name{text}: type`")),
    );
    Ok((after, quantifier))
}

fn stage_modifier(input: Tokens<'_>) -> Parse<'_, Modifier> {
    if let Ok(found) = word_modifier(input) {
        return Ok(found);
    }
    let (after, kind) = condition(input)?;
    Ok((after, Modifier { kind, span: after.since(input.span()) }))
}

/// A modifier of a group; `None` for a condition, which groups cannot have, and which is reported.
fn group_modifier(input: Tokens<'_>) -> Parse<'_, Option<Modifier>> {
    if let Ok((after, modifier)) = word_modifier(input) {
        return Ok((after, Some(modifier)));
    }
    if keyword_meant("where")(input).is_ok() || keyword_meant("until")(input).is_ok() {
        input.report(
            Diagnostic::new(code::CONDITION_ON_GROUP, input.span(), "a group has no condition of its own")
                .help("put the condition on the stages in the group"),
        );
    }
    let (after, _) = condition(input)?;
    Ok((after, None))
}

fn word_modifier(input: Tokens<'_>) -> Parse<'_, Modifier> {
    let words = [
        ("consecutive", ModifierKind::Consecutive),
        ("combinations", ModifierKind::Combinations),
        ("greedy", ModifierKind::Greedy),
        ("optional", ModifierKind::Optional),
    ];
    for (word, kind) in words {
        if let Ok((after, ())) = keyword_meant(word)(input) {
            return Ok((after, Modifier { kind, span: input.span() }));
        }
    }
    absent()
}

/// `where expr` or `until expr`. A mistake in the expression is reported, and the condition taken as one that says
/// nothing.
fn condition(input: Tokens<'_>) -> Parse<'_, ModifierKind> {
    let (after, make) = match keyword_meant("where")(input) {
        Ok((after, ())) => (after, ModifierKind::Where as fn(Expr) -> ModifierKind),
        Err(_) => {
            let (after, ()) = keyword_meant("until")(input)?;
            (after, ModifierKind::Until as fn(Expr) -> ModifierKind)
        }
    };
    match expr(after) {
        Ok((after, expr)) => Ok((after, make(expr))),
        Err(error) => {
            let mistake = report(after, error);
            let next = skip_to(after, mistake, |at| {
                let modifier = ["where", "until", "consecutive", "combinations", "greedy", "optional"];
                begins_link(at) || at.at_symbol(")") || modifier.iter().any(|word| at.at_keyword(word))
            });
            let nothing = Expr { kind: ExprKind::Literal(Literal::Bool(true)), span: after.span() };
            Ok((next, make(nothing)))
        }
    }
}
