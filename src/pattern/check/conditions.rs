//! Expressions with their names resolved: calls, aggregates, regular expressions.

use std::borrow::Cow;

use super::paths::{Place, Scope};
use super::regexes::{Regexes, like};
use super::{Report, kinds};
use crate::diagnostic::similar;
use crate::event::Value;
use crate::pattern::Limits;
use crate::pattern::ast::{self, CompareOp, ExprKind, Literal, Name, PathSegment};
use crate::pattern::code;
use crate::pattern::diagnostic::{Diagnostic, Span};
use crate::pattern::expr::{Aggregate, Attribute, Expr};
use crate::pattern::function::Function;

/// Resolves expressions.
pub(super) struct Conditions {
    regexes: Regexes,
}

impl Conditions {
    pub(super) fn new(limits: &Limits) -> Conditions {
        Conditions { regexes: Regexes::new(limits.regex_bytes, limits.regexes_bytes) }
    }

    /// A condition, resolved.
    pub(super) fn condition(
        &mut self,
        ast: &ast::Expr,
        scope: &mut Scope<'_, '_>,
        report: &mut Report<'_>,
    ) -> Expr {
        let condition = self.compile(ast, scope, report);
        kinds::truth(&condition, ast.span, report);
        condition
    }

    /// The expression, resolved. What is wrong is reported, and null put in its place.
    pub(super) fn compile(
        &mut self,
        ast: &ast::Expr,
        scope: &mut Scope<'_, '_>,
        report: &mut Report<'_>,
    ) -> Expr {
        let mut one = |expr: &ast::Expr| Box::new(self.compile(expr, scope, report));
        match &ast.kind {
            ExprKind::Literal(literal) => Expr::Const(constant(literal)),
            ExprKind::Path(path) => scope.value(path, report),
            ExprKind::Call { name, args } => self.call(name, args, ast.span, scope, report),
            ExprKind::Or(operands) => Expr::Or(self.conditions(operands, scope, report)),
            ExprKind::And(operands) => Expr::And(self.conditions(operands, scope, report)),
            ExprKind::Not(operand) => Expr::Not(Box::new(self.condition(operand, scope, report))),
            ExprKind::Negate(operand) => Expr::Negate(one(operand)),
            ExprKind::Chain(first, rest) => {
                let first = one(first);
                Expr::Chain(first, rest.iter().map(|(op, operand)| (*op, *one(operand))).collect())
            }
            ExprKind::Compare(left, op, right) => {
                let resolved = (one(left), one(right));
                warn_of_null(left, *op, right, ast.span, report);
                kinds::compare(&resolved.0, &resolved.1, ast.span, report);
                Expr::Compare(resolved.0, *op, resolved.1)
            }
            ExprKind::IsNull { expr, negated } => Expr::IsNull(one(expr), *negated),
            ExprKind::In { expr, list, negated } => {
                let expr = one(expr);
                let resolved = self.all(list, scope, report);
                resolved
                    .iter()
                    .zip(list)
                    .for_each(|(value, ast)| kinds::compare(&expr, value, ast.span, report));
                Expr::In(expr, resolved, *negated)
            }
            ExprKind::Between { expr, low, high, negated } => {
                let (expr, least, most) = (one(expr), one(low), one(high));
                kinds::compare(&expr, &least, low.span, report);
                kinds::compare(&expr, &most, high.span, report);
                Expr::Between(expr, least, most, *negated)
            }
            ExprKind::Like { expr, pattern, negated } => {
                let tested = one(expr);
                kinds::text(&tested, expr.span, report);
                self.regex(tested, like(&pattern.text), pattern.span, *negated, report)
            }
            ExprKind::Matches { expr, regex, negated } => {
                let tested = one(expr);
                kinds::text(&tested, expr.span, report);
                self.regex(tested, regex.text.clone(), regex.span, *negated, report)
            }
        }
    }

    fn all(&mut self, list: &[ast::Expr], scope: &mut Scope<'_, '_>, report: &mut Report<'_>) -> Vec<Expr> {
        list.iter().map(|expr| self.compile(expr, scope, report)).collect()
    }

    fn conditions(
        &mut self,
        list: &[ast::Expr],
        scope: &mut Scope<'_, '_>,
        report: &mut Report<'_>,
    ) -> Vec<Expr> {
        list.iter().map(|expr| self.condition(expr, scope, report)).collect()
    }

    fn regex(
        &mut self,
        expr: Box<Expr>,
        source: String,
        span: Span,
        negated: bool,
        report: &mut Report<'_>,
    ) -> Expr {
        match self.regexes.compile(source, span) {
            Ok(regex) => Expr::Matches(expr, regex, negated),
            Err(mistake) => {
                report.push(*mistake);
                Expr::Const(Value::Null)
            }
        }
    }

    fn call(
        &mut self,
        name: &Name,
        args: &[ast::Expr],
        span: Span,
        scope: &mut Scope<'_, '_>,
        report: &mut Report<'_>,
    ) -> Expr {
        if let Some((_, aggregate)) = Aggregate::ALL.iter().find(|(known, _)| *known == name.text) {
            let resolved = aggregate_of(*aggregate, name, args, span, scope, report);
            return resolved.unwrap_or(Expr::Const(Value::Null));
        }
        if name.text == "header" {
            return header(args, span, scope, report).unwrap_or(Expr::Const(Value::Null));
        }
        let resolved = self.all(args, scope, report);
        let Some((_, function, least, most)) = Function::ALL.iter().find(|(known, ..)| *known == name.text)
        else {
            report.push(unknown_function(name));
            return Expr::Const(Value::Null);
        };
        if !(*least..=*most).contains(&args.len()) {
            report.push(wrong_number(name, *least, *most, args.len(), span));
        }
        Expr::Call(*function, resolved)
    }
}

fn constant(literal: &Literal) -> Value<'static> {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(b) => Value::Bool(*b),
        Literal::Int(i) => Value::Int(*i),
        Literal::Float(f) => Value::Float(*f),
        Literal::Str(s) => Value::Str(Cow::Owned(s.clone())),
        Literal::Duration(span) => Value::Duration(span.0),
    }
}

fn warn_of_null(left: &ast::Expr, op: CompareOp, right: &ast::Expr, span: Span, report: &mut Report<'_>) {
    let is_null = |expr: &ast::Expr| matches!(expr.kind, ExprKind::Literal(Literal::Null));
    if !is_null(left) && !is_null(right) {
        return;
    }
    let warning = Diagnostic::new(code::COMPARED_WITH_NULL, span, "a comparison with `null` is never true");
    report.push(match op {
        CompareOp::Eq => warning.help("write `is null`"),
        CompareOp::Ne => warning.help("write `is not null`"),
        _ => warning,
    });
}

fn unknown_function(name: &Name) -> Diagnostic {
    let mistake =
        Diagnostic::new(code::UNKNOWN_FUNCTION, name.span, format!("there is no function `{}`", name.text));
    let known = Function::ALL.iter().map(|(known, ..)| *known);
    let known = known.chain(Aggregate::ALL.iter().map(|(known, _)| *known)).chain(["header"]);
    match function_meant(&name.text).or_else(|| similar(&name.text, known)) {
        Some(near) => mistake.help(format!("did you mean `{near}`?")).suggest(name.span, near),
        None => {
            let names: Vec<&str> = Function::ALL.iter().map(|(known, ..)| *known).collect();
            mistake.help(format!(
                "the functions are {}, header; over a stage's events count, sum, avg, min, max, first, last",
                names.join(", ")
            ))
        }
    }
}

/// The function that other languages call so.
fn function_meant(name: &str) -> Option<&'static str> {
    Some(match name.to_lowercase().as_str() {
        "len" | "char_length" | "strlen" => "length",
        "lcase" | "tolower" | "to_lower" | "lowercase" => "lower",
        "ucase" | "toupper" | "to_upper" | "uppercase" => "upper",
        "ifnull" | "nvl" | "isnull" => "coalesce",
        "iif" | "case" => "if",
        "average" | "mean" => "avg",
        "hour" => "hour_of_day",
        "dayofweek" | "weekday" => "day_of_week",
        "ceiling" => "ceil",
        "cidr_match" | "cidrmatch" | "in_cidr" => "cidr_contains",
        "int" | "float" | "number" => "to_number",
        "str" | "string" => "to_string",
        _ => return None,
    })
}

fn wrong_number(name: &Name, least: usize, most: usize, found: usize, span: Span) -> Diagnostic {
    let takes = match (least, most) {
        (1, 1) => "1 argument".to_owned(),
        (least, most) if least == most => format!("{least} arguments"),
        (least, usize::MAX) => format!("{least} or more arguments"),
        (least, most) => format!("{least} to {most} arguments"),
    };
    Diagnostic::new(code::BAD_ARGUMENTS, span, format!("`{}` takes {takes}, not {found}", name.text))
}

/// `count(a)`, `sum(a.x)` and the like.
fn aggregate_of(
    aggregate: Aggregate,
    name: &Name,
    args: &[ast::Expr],
    span: Span,
    scope: &mut Scope<'_, '_>,
    report: &mut Report<'_>,
) -> Option<Expr> {
    let stage = scope.structure.names.keys().next().copied().unwrap_or("a");
    let example = match aggregate {
        Aggregate::Count => format!("`count` takes a stage, as in `count({stage})`"),
        _ => format!("`{0}` takes a field of a stage's events, as in `{0}({stage}.amount)`", name.text),
    };
    let [arg] = args else { return report.refuse(wrong_number(name, 1, 1, args.len(), span).help(example)) };
    let bad =
        |span, message: &str, help: &str| Diagnostic::new(code::BAD_ARGUMENTS, span, message).help(help);
    let ExprKind::Path(path) = &arg.kind else {
        return report.refuse(bad(arg.span, "an aggregate is over the events of a stage", &example));
    };
    if let (false, [PathSegment::Name(first)]) = (path.this, &path.segments[..]) {
        let Some(stage) = scope.stage(first) else { return report.refuse(no_stage(first, &example, scope)) };
        if aggregate != Aggregate::Count {
            return report.refuse(bad(arg.span, "a stage's event is no value", &example));
        }
        scope.warn_of_absence(stage, path.span, report);
        return Some(Expr::Aggregate(aggregate, stage, None));
    }
    let Some(of) = scope.stage_path(path) else {
        let mistake = scope.misspelt_stage(path);
        let unknown = || bad(arg.span, "an aggregate is over the events of a stage", &example);
        return report.refuse(mistake.unwrap_or_else(unknown));
    };
    if let Some((_, index)) = of.index {
        return report.refuse(bad(
            index,
            "an aggregate is over all events of a stage",
            "leave the number out",
        ));
    }
    if aggregate == Aggregate::Count {
        return report.refuse(bad(arg.span, "`count` counts events, not values", &example));
    }
    scope.warn_of_absence(of.stage, path.span, report);
    let attribute = scope.attribute(of.rest, path.span, report)?;
    Some(Expr::Aggregate(aggregate, of.stage, Some(attribute)))
}

fn no_stage(name: &Name, help: &str, scope: &mut Scope<'_, '_>) -> Diagnostic {
    let message = format!("there is no stage `{}`", name.text);
    match scope.stage_meant(&name.text) {
        Some(near) => Diagnostic::new(code::UNKNOWN_STAGE, name.span, message)
            .help(format!("did you mean `{near}`?"))
            .suggest(name.span, near),
        None => Diagnostic::new(code::BAD_ARGUMENTS, name.span, message).help(help),
    }
}

/// `header("x")`
fn header(args: &[ast::Expr], span: Span, scope: &Scope<'_, '_>, report: &mut Report<'_>) -> Option<Expr> {
    let [ast::Expr { kind: ExprKind::Literal(Literal::Str(name)), .. }] = args else {
        let message = "`header` takes the name of a record header as a string";
        return report.refuse(
            Diagnostic::new(code::BAD_ARGUMENTS, span, message).help("as in `header(\"trace-id\")`"),
        );
    };
    if scope.place == Place::Select {
        let message = "`header` of which event? In `select` no event is being tested";
        return report.refuse(Diagnostic::new(code::NO_EVENT, span, message));
    }
    Some(Expr::This(Attribute::Header(name.clone())))
}
