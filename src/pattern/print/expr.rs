//! Expressions as canonical text on one line, with the fewest parentheses that keep their meaning.

use crate::pattern::ast::{ArithmeticOp, CompareOp, Expr, ExprKind, Literal, Path, PathSegment};
use crate::pattern::parse::token::{is_plain_name, keyword};

/// An expression as canonical text, on one line.
pub fn print_expr(expr: &Expr) -> String {
    let mut out = String::new();
    write_expr(&mut out, expr);
    out
}

/// How tight an expression binds: one that binds less than its place asks for stands in parentheses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Binding {
    Or,
    And,
    Not,
    Compare,
    Sum,
    Product,
    Unary,
    Primary,
}

fn binding(expr: &Expr) -> Binding {
    match &expr.kind {
        ExprKind::Or(_) => Binding::Or,
        ExprKind::And(_) => Binding::And,
        ExprKind::Not(_) => Binding::Not,
        ExprKind::Compare(..)
        | ExprKind::IsNull { .. }
        | ExprKind::In { .. }
        | ExprKind::Between { .. }
        | ExprKind::Like { .. }
        | ExprKind::Matches { .. } => Binding::Compare,
        ExprKind::Chain(_, rest) => match rest.first() {
            Some((ArithmeticOp::Add | ArithmeticOp::Sub, _)) => Binding::Sum,
            _ => Binding::Product,
        },
        ExprKind::Negate(_) => Binding::Unary,
        ExprKind::Literal(literal) if is_negative(literal) => Binding::Unary,
        ExprKind::Literal(_) | ExprKind::Path(_) | ExprKind::Call { .. } => Binding::Primary,
    }
}

fn is_negative(literal: &Literal) -> bool {
    match literal {
        Literal::Int(int) => *int < 0,
        Literal::Float(float) => float.is_sign_negative(),
        Literal::Duration(span) => span.0 < 0,
        Literal::Null | Literal::Bool(_) | Literal::Str(_) => false,
    }
}

/// Whether an expression needs parentheses where `least` is asked for.
pub(super) fn needs_parentheses(expr: &Expr, least: Binding) -> bool {
    binding(expr) < least
}

pub(super) fn write_operand(out: &mut String, expr: &Expr, least: Binding) {
    if needs_parentheses(expr, least) {
        out.push('(');
        write_expr(out, expr);
        out.push(')');
    } else {
        write_expr(out, expr);
    }
}

fn write_expr(out: &mut String, expr: &Expr) {
    match &expr.kind {
        ExprKind::Literal(literal) => write_literal(out, literal),
        ExprKind::Path(path) => write_path(out, path),
        ExprKind::Call { name, args } => {
            match name.text.as_str() {
                // Functions in spite of being keywords.
                "first" | "last" => out.push_str(&name.text),
                other => write_name(out, other),
            }
            out.push('(');
            write_list(out, args);
            out.push(')');
        }
        ExprKind::Or(operands) => write_chain(out, operands, " or ", Binding::And),
        ExprKind::And(operands) => write_chain(out, operands, " and ", Binding::Not),
        ExprKind::Not(operand) => {
            out.push_str("not ");
            write_operand(out, operand, Binding::Compare);
        }
        ExprKind::Negate(operand) => {
            out.push('-');
            // `-5` would be a number.
            match operand.kind {
                ExprKind::Literal(Literal::Int(_) | Literal::Float(_) | Literal::Duration(_)) => {
                    out.push('(');
                    write_expr(out, operand);
                    out.push(')');
                }
                _ => write_operand(out, operand, Binding::Primary),
            }
        }
        ExprKind::Chain(first, rest) => {
            let least = if binding(expr) == Binding::Sum { Binding::Product } else { Binding::Unary };
            write_operand(out, first, least);
            for (op, operand) in rest {
                out.push_str(arithmetic_sign(*op));
                write_operand(out, operand, least);
            }
        }
        ExprKind::Compare(left, op, right) => {
            write_operand(out, left, Binding::Sum);
            out.push_str(compare_sign(*op));
            write_operand(out, right, Binding::Sum);
        }
        ExprKind::IsNull { expr, negated } => {
            write_operand(out, expr, Binding::Sum);
            out.push_str(if *negated { " is not null" } else { " is null" });
        }
        ExprKind::In { expr, list, negated } => {
            write_test(out, expr, *negated, "in (");
            write_list(out, list);
            out.push(')');
        }
        ExprKind::Between { expr, low, high, negated } => {
            write_test(out, expr, *negated, "between ");
            write_operand(out, low, Binding::Sum);
            out.push_str(" and ");
            write_operand(out, high, Binding::Sum);
        }
        ExprKind::Like { expr, pattern, negated } => {
            write_test(out, expr, *negated, "like ");
            write_string(out, &pattern.text);
        }
        ExprKind::Matches { expr, regex, negated } => {
            write_test(out, expr, *negated, "matches ");
            write_string(out, &regex.text);
        }
    }
}

fn write_test(out: &mut String, expr: &Expr, negated: bool, test: &str) {
    write_operand(out, expr, Binding::Sum);
    out.push_str(if negated { " not " } else { " " });
    out.push_str(test);
}

fn write_chain(out: &mut String, operands: &[Expr], word: &str, least: Binding) {
    for (i, operand) in operands.iter().enumerate() {
        if i > 0 {
            out.push_str(word);
        }
        write_operand(out, operand, least);
    }
}

fn write_list(out: &mut String, list: &[Expr]) {
    for (i, expr) in list.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        write_expr(out, expr);
    }
}

fn arithmetic_sign(op: ArithmeticOp) -> &'static str {
    match op {
        ArithmeticOp::Add => " + ",
        ArithmeticOp::Sub => " - ",
        ArithmeticOp::Mul => " * ",
        ArithmeticOp::Div => " / ",
        ArithmeticOp::Rem => " % ",
    }
}

fn compare_sign(op: CompareOp) -> &'static str {
    match op {
        CompareOp::Eq => " == ",
        CompareOp::Ne => " != ",
        CompareOp::Lt => " < ",
        CompareOp::Le => " <= ",
        CompareOp::Gt => " > ",
        CompareOp::Ge => " >= ",
    }
}

fn write_literal(out: &mut String, literal: &Literal) {
    match literal {
        Literal::Null => out.push_str("null"),
        Literal::Bool(true) => out.push_str("true"),
        Literal::Bool(false) => out.push_str("false"),
        Literal::Int(int) => out.push_str(&int.to_string()),
        Literal::Float(float) => out.push_str(&format!("{float:?}")),
        Literal::Str(text) => write_string(out, text),
        Literal::Duration(span) => out.push_str(&span.to_string()),
    }
}

/// A path.
pub(super) fn write_path(out: &mut String, path: &Path) {
    if path.this {
        out.push_str("this");
    }
    for (i, segment) in path.segments.iter().enumerate() {
        if (i > 0 || path.this) && !matches!(segment, PathSegment::Index(..)) {
            out.push('.');
        }
        match segment {
            PathSegment::Name(name) => write_name(out, &name.text),
            PathSegment::Meta(name) => {
                out.push('@');
                match keyword(&name.text) {
                    // After an `@` keywords need no backticks.
                    Some(_) => out.push_str(&name.text),
                    None => write_name(out, &name.text),
                }
            }
            PathSegment::Index(index, _) => out.push_str(&format!("[{index}]")),
        }
    }
}

/// A name, in backticks where it needs them.
pub(super) fn write_name(out: &mut String, name: &str) {
    if is_plain_name(name) {
        out.push_str(name);
    } else {
        out.push('`');
        out.push_str(&name.replace('`', "``"));
        out.push('`');
    }
}

/// A string: raw where that saves doubling backslashes, else in the quotes that need no escape, else in double ones.
pub(super) fn write_string(out: &mut String, text: &str) {
    let plain = !text.contains(char::is_control);
    let quote = if text.contains('"') && !text.contains('\'') { '\'' } else { '"' };
    if plain && !text.contains(quote) {
        if text.contains('\\') {
            out.push('r');
        }
        out.push(quote);
        out.push_str(text);
        out.push(quote);
        return;
    }
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A path as canonical text.
pub fn print_path(path: &Path) -> String {
    let mut out = String::new();
    write_path(&mut out, path);
    out
}
