//! Paths: `amount`, `device.os`, `a[-1].x`, `this.x`, `a.@time`, `@type`.

use nom::Parser;
use nom::branch::alt;
use nom::combinator::opt;
use nom::multi::fold_many0;
use nom::sequence::preceded;

use super::expr::integer;
use super::input::{Parse, Tokens, fail, keyword, symbol, unexpected};
use super::name::{close, expect_name, name};
use super::token::Kind;
use crate::pattern::ast::{Name, Path, PathSegment};

/// A path; it must stand here.
pub(super) fn path(input: Tokens<'_>) -> Parse<'_, Path> {
    let (after, this) = opt(keyword("this")).parse(input)?;
    let (after, first) = match this {
        Some(_) if !after.at_symbol(".") => {
            return fail(unexpected(after, "`.` after `this`").help("name a field: `this.amount`"));
        }
        Some(_) => segment(after.skip(1))?,
        None => segment(after)?,
    };
    let step = alt((preceded(symbol("."), segment), index));
    let fill = |mut segments: Vec<PathSegment>, segment| {
        segments.push(segment);
        segments
    };
    let (after, segments) = fold_many0(step, || vec![first.clone()], fill).parse(after)?;
    Ok((after, Path { this: this.is_some(), segments, span: after.since(input.span()) }))
}

/// A step with a name: it must stand here.
fn segment(input: Tokens<'_>) -> Parse<'_, PathSegment> {
    if input.at_symbol("@") {
        return meta(input);
    }
    if let Kind::Int(_) = input.first().kind {
        return fail(
            unexpected(input, "a field's name").help("the elements of an array are reached as in `items[0]`"),
        );
    }
    let (after, name) = expect_name("a field's name", name)(input)?;
    Ok((after, PathSegment::Name(name)))
}

/// `@name`; keywords may follow the `@`.
fn meta(input: Tokens<'_>) -> Parse<'_, PathSegment> {
    let (word, _) = symbol("@").parse(input)?;
    let text = match &word.first().kind {
        Kind::Name(text) => text.clone(),
        Kind::Keyword(_) => word.text(word.span()).to_owned(),
        _ => return fail(unexpected(word, "a name after `@`").help("as in `@time` or `@type`")),
    };
    let after = word.skip(1);
    Ok((after, PathSegment::Meta(Name { text, span: after.since(input.span()) })))
}

/// `[integer]`
fn index(input: Tokens<'_>) -> Parse<'_, PathSegment> {
    let (after, opening) = symbol("[").parse(input)?;
    let (number, minus) = opt(symbol("-")).parse(after)?;
    let Kind::Int(int) = number.first().kind else {
        let help =
            "elements are counted from 0, or from the end: `[0]`, `[-1]`; a member is reached by a dot";
        return fail(unexpected(number, "a whole number").help(help));
    };
    let index = integer(number, int, minus.is_some());
    let (after, ()) = close(number.skip(1), opening, "]", "`]`")?;
    Ok((after, PathSegment::Index(index, after.since(input.span()))))
}
