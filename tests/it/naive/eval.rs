//! What an expression says of an event being tested and the events accepted so far.

use sequor::pattern::ast::{CompareOp, Expr, ExprKind, Literal, Path, PathSegment};

use super::functions;
use super::input::Event;
use super::matcher::Taken;
use super::value::{Value, and, arithmetic, negate, not, or};

/// What an expression may speak of.
pub(crate) struct Scope<'a> {
    /// The stages' names.
    pub(crate) stages: &'a [String],
    /// The event being tested; none in `select`.
    pub(crate) this: Option<&'a Event>,
    /// The accepted events with the stages that took them, in order.
    pub(crate) taken: &'a [Taken],
    /// The paths of the pattern's key: in `select` they may be named.
    pub(crate) key: &'a [Path],
}

impl Scope<'_> {
    /// Whether a condition is true.
    pub(crate) fn holds(&self, expr: &Expr) -> bool {
        self.truth(expr) == Some(true)
    }

    fn truth(&self, expr: &Expr) -> Option<bool> {
        self.value(expr).truth()
    }

    /// The value of an expression.
    pub(crate) fn value(&self, expr: &Expr) -> Value {
        let truth = match &expr.kind {
            ExprKind::Literal(literal) => return literal_value(literal),
            ExprKind::Path(path) => return self.path(path),
            ExprKind::Call { name, args } => return self.call(&name.text, args),
            ExprKind::Negate(of) => return negate(&self.value(of)),
            ExprKind::Chain(first, rest) => {
                return rest.iter().fold(self.value(first), |so_far, (op, operand)| {
                    arithmetic(&so_far, *op, &self.value(operand))
                });
            }
            ExprKind::Or(operands) => or(operands.iter().map(|operand| self.truth(operand))),
            ExprKind::And(operands) => and(operands.iter().map(|operand| self.truth(operand))),
            ExprKind::Not(operand) => not(self.truth(operand)),
            ExprKind::Compare(left, op, right) => compare(&self.value(left), *op, &self.value(right)),
            ExprKind::IsNull { expr, negated } => Some(self.value(expr).is_null() != *negated),
            ExprKind::In { expr, list, negated } => {
                let value = self.value(expr);
                let found = or(list.iter().map(|item| compare(&value, CompareOp::Eq, &self.value(item))));
                negated_if(*negated, found)
            }
            ExprKind::Between { expr, low, high, negated } => {
                let value = self.value(expr);
                let above = compare(&value, CompareOp::Ge, &self.value(low));
                let below = compare(&value, CompareOp::Le, &self.value(high));
                negated_if(*negated, and([above, below]))
            }
            ExprKind::Like { expr, pattern, negated } => negated_if(
                *negated,
                text_of(&self.value(expr)).map(|text| {
                    let pattern: Vec<char> = pattern.text.chars().collect();
                    like(&text.chars().collect::<Vec<_>>(), &pattern)
                }),
            ),
            ExprKind::Matches { expr, regex, negated } => negated_if(
                *negated,
                text_of(&self.value(expr)).map(|text| regex::Regex::new(&regex.text).unwrap().is_match(text)),
            ),
        };
        truth.map_or(Value::Null, Value::Bool)
    }

    fn path(&self, path: &Path) -> Value {
        if let Some((stage, [first, rest @ ..])) = self.stage_of(path) {
            let events = self.events_of(stage);
            return match first {
                PathSegment::Index(index, _) => {
                    let index = if *index < 0 { index + events.len() as i64 } else { *index };
                    let event = usize::try_from(index).ok().and_then(|index| events.get(index));
                    event.map_or(Value::Null, |event| event.attribute(rest))
                }
                _ => events.last().map_or(Value::Null, |event| event.attribute(&path.segments[1..])),
            };
        }
        match self.this {
            Some(event) => event.attribute(&path.segments),
            // In `select`: a value of the key, as the first event has it.
            None => {
                let is_key = self.key.iter().any(|key| same_steps(&key.segments, &path.segments));
                assert!(is_key, "the checker refuses any other path in select");
                self.taken[0].event.attribute(&path.segments)
            }
        }
    }

    /// The stage that a path begins with, and its other steps.
    fn stage_of<'p>(&self, path: &'p Path) -> Option<(usize, &'p [PathSegment])> {
        match &path.segments[..] {
            [PathSegment::Name(name), rest @ ..] if !path.this && !rest.is_empty() => {
                Some((self.stage(&name.text)?, rest))
            }
            _ => None,
        }
    }

    fn stage(&self, name: &str) -> Option<usize> {
        self.stages.iter().position(|stage| stage == name)
    }

    fn events_of(&self, stage: usize) -> Vec<&Event> {
        self.taken.iter().filter(|taken| taken.stage == stage).map(|taken| &*taken.event).collect()
    }

    fn call(&self, name: &str, args: &[Expr]) -> Value {
        let name = name.to_ascii_lowercase();
        match &name[..] {
            "count" => {
                let ExprKind::Path(Path { segments, .. }) = &args[0].kind else { unreachable!() };
                let [PathSegment::Name(stage)] = &segments[..] else { unreachable!() };
                Value::Int(self.events_of(self.stage(&stage.text).unwrap()).len() as i128)
            }
            "sum" | "avg" | "min" | "max" | "first" | "last" => {
                let ExprKind::Path(path) = &args[0].kind else { unreachable!() };
                let (stage, steps) = self.stage_of(path).unwrap();
                let values: Vec<Value> =
                    self.events_of(stage).into_iter().map(|event| event.attribute(steps)).collect();
                functions::aggregate(&name, values)
            }
            // Files have no record headers.
            "header" => Value::Null,
            _ => functions::call(&name, args.iter().map(|arg| self.value(arg)).collect()),
        }
    }
}

fn same_steps(a: &[PathSegment], b: &[PathSegment]) -> bool {
    super::input::steps(a) == super::input::steps(b)
}

fn literal_value(literal: &Literal) -> Value {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(truth) => Value::Bool(*truth),
        Literal::Int(int) => Value::Int((*int).into()),
        Literal::Float(float) => Value::Float(*float),
        Literal::Str(text) => Value::Str(text.clone()),
        Literal::Duration(span) => Value::Span(span.0),
    }
}

fn compare(left: &Value, op: CompareOp, right: &Value) -> Option<bool> {
    let order = left.compare(right)?;
    Some(match op {
        CompareOp::Eq => order.is_eq(),
        CompareOp::Ne => order.is_ne(),
        CompareOp::Lt => order.is_lt(),
        CompareOp::Le => order.is_le(),
        CompareOp::Gt => order.is_gt(),
        CompareOp::Ge => order.is_ge(),
    })
}

fn negated_if(negated: bool, truth: Option<bool>) -> Option<bool> {
    if negated { not(truth) } else { truth }
}

fn text_of(value: &Value) -> Option<&str> {
    match value {
        Value::Str(text) => Some(text),
        _ => None,
    }
}

/// Whether a pattern covers a whole text: `%` stands for any characters, `_` for one.
fn like(text: &[char], pattern: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('%', rest)) => (0..=text.len()).any(|skipped| like(&text[skipped..], rest)),
        Some((c, rest)) => {
            text.split_first().is_some_and(|(t, text)| (*c == '_' || c == t) && like(text, rest))
        }
    }
}
