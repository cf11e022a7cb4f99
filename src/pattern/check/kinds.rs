//! Kinds of values, as far as they are plain to see: a comparison of two different ones is null whatever the events
//! are, which is hardly what was meant.

use super::Report;
use crate::event::Value;
use crate::pattern::ast::ArithmeticOp;
use crate::pattern::code;
use crate::pattern::diagnostic::{Diagnostic, Span};
use crate::pattern::expr::{Aggregate, Attribute, Expr};
use crate::pattern::function::Function;

/// A kind of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Truth,
    Number,
    Text,
    Time,
    Duration,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Truth => "a truth value",
            Kind::Number => "a number",
            Kind::Text => "text",
            Kind::Time => "a time",
            Kind::Duration => "a duration",
        }
    }
}

/// Warns where two operands of a comparison are plainly of different kinds.
pub(super) fn compare(left: &Expr, right: &Expr, span: Span, report: &mut Report<'_>) {
    let (Some(left), Some(right)) = (kind(left), kind(right)) else { return };
    if left == right {
        return;
    }
    let message =
        format!("{} is compared with {}: that is null, whatever the event", left.name(), right.name());
    let warning = Diagnostic::new(code::KINDS_DIFFER, span, message);
    report.push(match (left, right) {
        (Kind::Time, _) | (_, Kind::Time) => warning.help(
            "a time compares with a time, a difference of times with a duration: `@time - a.@time < 5s`",
        ),
        (Kind::Duration, Kind::Number) | (Kind::Number, Kind::Duration) => warning
            .help("a duration is written with its unit; divided by a duration it is a number: `x / 1ms`"),
        (Kind::Text, Kind::Number) | (Kind::Number, Kind::Text) => {
            warning.help("`to_number` and `to_string` turn one into the other")
        }
        _ => warning,
    });
}

/// Warns where something that plainly is no truth value stands where one is needed.
pub(super) fn truth(expr: &Expr, span: Span, report: &mut Report<'_>) {
    let Some(kind) = kind(expr).filter(|kind| *kind != Kind::Truth) else { return };
    let message = format!("a condition is true or false, and this is {}: that is never true", kind.name());
    report.push(Diagnostic::new(code::KINDS_DIFFER, span, message).help("compare it with something"));
}

/// Warns where something that plainly is no text is matched against a pattern.
pub(super) fn text(expr: &Expr, span: Span, report: &mut Report<'_>) {
    let Some(kind) = kind(expr).filter(|kind| *kind != Kind::Text) else { return };
    let message = format!("`like` and `matches` are for text, and this is {}", kind.name());
    report.push(Diagnostic::new(code::KINDS_DIFFER, span, message).help("`to_string` makes text of it"));
}

fn kind(expr: &Expr) -> Option<Kind> {
    match expr {
        Expr::Const(value) => match value {
            Value::Bool(_) => Some(Kind::Truth),
            Value::Int(_) | Value::UInt(_) | Value::Float(_) => Some(Kind::Number),
            Value::Str(_) => Some(Kind::Text),
            Value::Time(_) => Some(Kind::Time),
            Value::Duration(_) => Some(Kind::Duration),
            Value::Null | Value::Json(_) => None,
        },
        Expr::This(attribute) | Expr::Stage(_, _, attribute) => attribute_kind(attribute),
        Expr::Key(_) => None,
        Expr::Aggregate(aggregate, _, attribute) => match aggregate {
            Aggregate::Count | Aggregate::Sum | Aggregate::Avg => Some(Kind::Number),
            Aggregate::Min | Aggregate::Max | Aggregate::First | Aggregate::Last => {
                attribute_kind(attribute.as_ref()?)
            }
        },
        Expr::Call(function, _) => function_kind(*function),
        Expr::Not(_)
        | Expr::Or(_)
        | Expr::And(_)
        | Expr::Compare(..)
        | Expr::IsNull(..)
        | Expr::In(..)
        | Expr::Between(..)
        | Expr::Matches(..) => Some(Kind::Truth),
        Expr::Negate(operand) => kind(operand),
        Expr::Chain(first, rest) => {
            rest.iter().try_fold(kind(first)?, |left, (op, right)| arithmetic(left, *op, kind(right)?))
        }
    }
}

fn attribute_kind(attribute: &Attribute) -> Option<Kind> {
    match attribute {
        Attribute::Field(_) => None,
        Attribute::Time => Some(Kind::Time),
        Attribute::Type | Attribute::Stream | Attribute::RecordKey | Attribute::Header(_) => Some(Kind::Text),
        Attribute::Partition | Attribute::Offset => Some(Kind::Number),
    }
}

fn function_kind(function: Function) -> Option<Kind> {
    match function {
        Function::Lower
        | Function::Upper
        | Function::Trim
        | Function::Substring
        | Function::Concat
        | Function::ToString => Some(Kind::Text),
        Function::Length
        | Function::Round
        | Function::Floor
        | Function::Ceil
        | Function::Sqrt
        | Function::HourOfDay
        | Function::DayOfWeek
        | Function::ToNumber => Some(Kind::Number),
        Function::Contains | Function::StartsWith | Function::EndsWith | Function::CidrContains => {
            Some(Kind::Truth)
        }
        // As their arguments.
        Function::Abs | Function::Coalesce | Function::If => None,
    }
}

fn arithmetic(left: Kind, op: ArithmeticOp, right: Kind) -> Option<Kind> {
    use ArithmeticOp::{Add, Div, Mul, Sub};
    Some(match (left, op, right) {
        (Kind::Number, _, Kind::Number) => Kind::Number,
        (Kind::Time, Sub, Kind::Time) => Kind::Duration,
        (Kind::Time, Add | Sub, Kind::Duration) => Kind::Time,
        (Kind::Duration, Add | Sub, Kind::Duration) => Kind::Duration,
        (Kind::Duration, Mul | Div, Kind::Number) => Kind::Duration,
        (Kind::Duration, Div, Kind::Duration) => Kind::Number,
        _ => return None,
    })
}
