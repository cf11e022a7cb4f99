//! Expressions. Every parser here is committed: where it is called an expression has to stand, so what is no
//! expression is a mistake. Chains of one operator are read in loops, so only parentheses nest.

use nom::Parser;
use nom::branch::alt;
use nom::combinator::opt;
use nom::multi::{many0, separated_list0, separated_list1};
use nom::sequence::pair;

use super::input::{Mistake, Parse, Tokens, absent, expect, fail, keyword, symbol, unexpected};
use super::name::{begins_clause, begins_link, close, keyword_as_name};
use super::path::path;
use super::token::Kind;
use crate::event::TimeSpan;
use crate::pattern::ast::{ArithmeticOp, CompareOp, Expr, ExprKind, Literal, Name};
use crate::pattern::code;
use crate::pattern::diagnostic::{Diagnostic, Span};

/// An expression.
pub(super) fn expr(input: Tokens<'_>) -> Parse<'_, Expr> {
    chain(separated_list1(keyword("or"), and), ExprKind::Or).parse(input)
}

fn and(input: Tokens<'_>) -> Parse<'_, Expr> {
    chain(separated_list1(keyword("and"), not), ExprKind::And).parse(input)
}

/// One operand as it is, several as a chain.
fn chain<'a>(
    operands: impl Parser<Tokens<'a>, Output = Vec<Expr>, Error = Mistake>,
    make: fn(Vec<Expr>) -> ExprKind,
) -> impl FnMut(Tokens<'a>) -> Parse<'a, Expr> {
    let mut operands = operands;
    move |input| {
        let (after, mut operands) = operands.parse(input)?;
        if operands.len() == 1
            && let Some(only) = operands.pop()
        {
            return Ok((after, only));
        }
        Ok((after, Expr { kind: make(operands), span: after.since(input.span()) }))
    }
}

fn not(input: Tokens<'_>) -> Parse<'_, Expr> {
    let (after, not) = opt(keyword("not")).parse(input)?;
    if not.is_none() {
        return compare(input);
    }
    let (after, operand) = compare(after)?;
    Ok((after, Expr { kind: ExprKind::Not(Box::new(operand)), span: after.since(input.span()) }))
}

fn compare(input: Tokens<'_>) -> Parse<'_, Expr> {
    let (after, left) = sum(input)?;
    let (negated, operator) = match after.at_keyword("not") {
        true => (true, after.skip(1)),
        false => (false, after),
    };
    let Kind::Keyword(word) = operator.first().kind else {
        return comparison(after, left, input.span());
    };
    let expr = Box::new(left);
    let operand = operator.skip(1);
    let (after, kind) = match word {
        "is" if !negated => null_test(operand, expr)?,
        "in" => {
            let (after, list) = list(operand)?;
            (after, ExprKind::In { expr, list, negated })
        }
        "between" => {
            let (after, low) = sum(operand)?;
            let (after, _) = expect("`and` and the upper bound", keyword("and")).parse(after)?;
            let (after, high) = sum(after)?;
            (after, ExprKind::Between { expr, low: Box::new(low), high: Box::new(high), negated })
        }
        "like" => {
            let (after, pattern) = expect("a string with `%` and `_` after `like`", text).parse(operand)?;
            (after, ExprKind::Like { expr, pattern, negated })
        }
        "matches" => {
            let (after, regex) =
                expect("a regular expression as a string after `matches`", text).parse(operand)?;
            (after, ExprKind::Matches { expr, regex, negated })
        }
        // Another keyword is not the expression's: `not next` and the like.
        _ => return Ok((after, *expr)),
    };
    no_second_comparison(after, Expr { kind, span: after.since(input.span()) })
}

/// `is [not] null`, after the `is`.
fn null_test(input: Tokens<'_>, expr: Box<Expr>) -> Parse<'_, ExprKind> {
    let (after, not) = opt(keyword("not")).parse(input)?;
    let (after, _) = expect("`null` or `not null` after `is`", keyword("null")).parse(after)?;
    Ok((after, ExprKind::IsNull { expr, negated: not.is_some() }))
}

/// The list of `in`, with its parentheses.
fn list(input: Tokens<'_>) -> Parse<'_, Vec<Expr>> {
    let (inner, opening) = expect("`(` and the values after `in`", symbol("(")).parse(input)?;
    let (after, list) = inner.deeper(|inner| separated_list1(symbol(","), expr).parse(inner))?;
    let (after, _) = close(after, opening, ")", "`,` or `)`")?;
    Ok((after, list))
}

fn comparison(input: Tokens<'_>, left: Expr, start: Span) -> Parse<'_, Expr> {
    let Ok((after, operator)) = compare_op(input) else { return Ok((input, left)) };
    let (after, right) = sum(after)?;
    let kind = ExprKind::Compare(Box::new(left), operator, Box::new(right));
    no_second_comparison(after, Expr { kind, span: after.since(start) })
}

/// `a < b < c` is no comparison: reports it and leaves out what is too much.
fn no_second_comparison(input: Tokens<'_>, first: Expr) -> Parse<'_, Expr> {
    let mut input = input;
    while let Ok((operand, _)) = compare_op(input) {
        let message = "a comparison cannot be compared again";
        input.report(
            Diagnostic::new(code::CHAINED_COMPARISON, input.span(), message)
                .help("write `a < b and b < c`, or put parentheses around the inner comparison"),
        );
        (input, _) = sum(operand)?;
    }
    Ok((input, first))
}

fn compare_op(input: Tokens<'_>) -> Parse<'_, CompareOp> {
    let operator = match input.first().kind {
        Kind::Symbol("==" | "=") => CompareOp::Eq,
        Kind::Symbol("!=" | "<>") => CompareOp::Ne,
        Kind::Symbol("<") => CompareOp::Lt,
        Kind::Symbol("<=") => CompareOp::Le,
        Kind::Symbol(">") => CompareOp::Gt,
        Kind::Symbol(">=") => CompareOp::Ge,
        _ => return absent(),
    };
    Ok((input.skip(1), operator))
}

fn sum(input: Tokens<'_>) -> Parse<'_, Expr> {
    let sign = alt((symbol("+").map(|_| ArithmeticOp::Add), symbol("-").map(|_| ArithmeticOp::Sub)));
    arithmetic(input, pair(product, many0(pair(sign, product))))
}

fn product(input: Tokens<'_>) -> Parse<'_, Expr> {
    let sign = alt((
        symbol("*").map(|_| ArithmeticOp::Mul),
        symbol("/").map(|_| ArithmeticOp::Div),
        symbol("%").map(|_| ArithmeticOp::Rem),
    ));
    arithmetic(input, pair(unary, many0(pair(sign, unary))))
}

fn arithmetic<'a>(
    input: Tokens<'a>,
    mut operands: impl Parser<Tokens<'a>, Output = (Expr, Vec<(ArithmeticOp, Expr)>), Error = Mistake>,
) -> Parse<'a, Expr> {
    let (after, (first, rest)) = operands.parse(input)?;
    if rest.is_empty() {
        return Ok((after, first));
    }
    Ok((after, Expr { kind: ExprKind::Chain(Box::new(first), rest), span: after.since(input.span()) }))
}

/// A primary, or the negative of one. The negative of a number is a number, so that the smallest integer can be
/// written.
fn unary(input: Tokens<'_>) -> Parse<'_, Expr> {
    let Ok((operand, _)) = symbol("-").parse(input) else { return primary(input) };
    if let Ok((after, literal)) = number(operand, true) {
        let span = after.since(input.span());
        return Ok((after, Expr { kind: ExprKind::Literal(literal), span }));
    }
    if operand.at_symbol("-") {
        return fail(
            Diagnostic::new(code::UNEXPECTED, operand.span(), "a sign of a sign")
                .help("leave both out, or put parentheses around the inner one: `-(-x)`"),
        );
    }
    let (after, operand) = primary(operand)?;
    Ok((after, Expr { kind: ExprKind::Negate(Box::new(operand)), span: after.since(input.span()) }))
}

fn primary(input: Tokens<'_>) -> Parse<'_, Expr> {
    if let Ok((after, literal)) = alt((|i| number(i, false), constant)).parse(input) {
        return Ok((after, Expr { kind: ExprKind::Literal(literal), span: input.span() }));
    }
    match input.first().kind {
        Kind::Symbol("(") => parenthesized(input),
        Kind::Name(_) | Kind::Keyword("first" | "last") if input.skip(1).at_symbol("(") => call(input),
        Kind::Name(_) | Kind::Keyword("this") | Kind::Symbol("@") => path_expr(input),
        Kind::Keyword(_) if could_be_operand(input) => path_expr(input),
        _ => fail(not_an_expression(input)),
    }
}

fn path_expr(input: Tokens<'_>) -> Parse<'_, Expr> {
    let (after, path) = path(input)?;
    let span = path.span;
    Ok((after, Expr { kind: ExprKind::Path(path), span }))
}

fn parenthesized(input: Tokens<'_>) -> Parse<'_, Expr> {
    let (inner, opening) = symbol("(").parse(input)?;
    let (after, inner) = inner.deeper(expr)?;
    let (after, _) = close(after, opening, ")", "an operator or `)`")?;
    Ok((after, inner))
}

fn call(input: Tokens<'_>) -> Parse<'_, Expr> {
    let text = match &input.first().kind {
        Kind::Name(name) => name.clone(),
        // `first` and `last`: upper and lower case are alike in keywords.
        _ => input.text(input.span()).to_ascii_lowercase(),
    };
    let name = Name { text, span: input.span() };
    let (inner, opening) = symbol("(").parse(input.skip(1))?;
    let (after, args) = inner.deeper(|inner| match inner.at_symbol(")") {
        true => Ok((inner, Vec::new())),
        false => separated_list0(symbol(","), expr).parse(inner),
    })?;
    let (after, _) = close(after, opening, ")", "`,` or `)`")?;
    Ok((after, Expr { kind: ExprKind::Call { name, args }, span: after.since(input.span()) }))
}

/// A number or a duration, or the negative of it.
fn number(input: Tokens<'_>, negative: bool) -> Parse<'_, Literal> {
    let literal = match input.first().kind {
        Kind::Int(int) => Literal::Int(integer(input, int, negative)),
        Kind::Float(float) => Literal::Float(if negative { -float } else { float }),
        Kind::Duration(ms) => Literal::Duration(TimeSpan(if negative { -ms } else { ms })),
        _ => return absent(),
    };
    Ok((input.skip(1), literal))
}

/// A whole number of 64 bits; one that does not fit is reported.
pub(super) fn integer(input: Tokens<'_>, int: u64, negative: bool) -> i64 {
    let signed = if negative { -i128::from(int) } else { i128::from(int) };
    i64::try_from(signed).unwrap_or_else(|_| {
        input.report(
            Diagnostic::new(code::NUMBER_OUT_OF_RANGE, input.span(), "this number does not fit 64 bits")
                .help("integers go from -9223372036854775808 to 9223372036854775807; a float has a fraction: `1e19`"),
        );
        0
    })
}

fn constant(input: Tokens<'_>) -> Parse<'_, Literal> {
    let literal = match &input.first().kind {
        Kind::Str(text) => Literal::Str(text.clone()),
        Kind::Keyword("true") => Literal::Bool(true),
        Kind::Keyword("false") => Literal::Bool(false),
        Kind::Keyword("null") => Literal::Null,
        _ => return absent(),
    };
    Ok((input.skip(1), literal))
}

/// A string as a name: `like` and `matches` keep where it stands.
fn text(input: Tokens<'_>) -> Parse<'_, Name> {
    match &input.first().kind {
        Kind::Str(text) => Ok((input.skip(1), Name { text: text.clone(), span: input.span() })),
        _ => absent(),
    }
}

/// Whether a keyword stands where only an operand makes sense of what comes after it.
fn could_be_operand(input: Tokens<'_>) -> bool {
    let excluded = ["and", "or", "not", "is", "in", "like", "matches", "between", "as"];
    if excluded.iter().any(|word| input.at_keyword(word)) {
        return false;
    }
    match input.nth(1).kind {
        Kind::Symbol(symbol) => !matches!(symbol, "(" | "{" | "@" | "?" | ":" | "|"),
        Kind::Keyword(word) => matches!(word, "is" | "in" | "like" | "matches" | "as" | "and" | "or"),
        Kind::End => true,
        _ => false,
    }
}

fn not_an_expression(input: Tokens<'_>) -> Diagnostic {
    let diagnostic = unexpected(input, "an expression");
    match input.first().kind {
        Kind::Keyword("not") => {
            diagnostic.help("`not` stands once, before a comparison; put the inner one in parentheses")
        }
        Kind::Symbol("+") => diagnostic.help("a number needs no `+` before it"),
        Kind::Symbol(".") => diagnostic.help("a path begins with a name, a number with a digit: `0.5`"),
        Kind::Symbol("[") => diagnostic.help("there are no lists but in `x in (1, 2, 3)`"),
        Kind::Symbol(")") => diagnostic.help("something has to stand in the parentheses, and after a comma"),
        Kind::Keyword(_) if !begins_clause(input) && !begins_link(input) => {
            diagnostic.help(keyword_as_name(input))
        }
        _ => diagnostic,
    }
}
