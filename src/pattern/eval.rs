//! What an expression is worth: three-valued, never failing. What it reads from events comes through `Env`, so the
//! engine, `select` and tests share this one evaluator.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::ast::ArithmeticOp;
use super::expr::{Aggregate, Attribute, CompareOp, Expr, Pick};
use super::function::{self, Function};
use super::numeric::{as_float, as_int, float, int};
use super::plan::StageId;
use crate::event::{Slot, Value};

/// The events that an expression can see.
pub trait Env<'a> {
    /// An attribute of the event being tested.
    fn this(&self, attribute: &Attribute) -> Value<'a>;
    /// An attribute of an event that a stage has accepted; null where there is none.
    fn pick(&self, stage: StageId, pick: Pick, attribute: &Attribute) -> Value<'a>;
    /// The same, as far as it takes no more than a look into a slot.
    fn pick_scalar(&self, stage: StageId, pick: Pick, attribute: &Attribute) -> Scalar {
        Scalar::from(&self.pick(stage, pick, attribute))
    }
    /// An attribute of the event being tested, likewise.
    fn this_scalar(&self, attribute: &Attribute) -> Scalar {
        Scalar::from(&self.this(attribute))
    }
    /// How many events a stage has accepted.
    fn count(&self, stage: StageId) -> usize;
    /// An attribute of each event that a stage has accepted, in order of acceptance.
    fn each(&self, stage: StageId, attribute: &Attribute, with: &mut dyn FnMut(Value<'a>));
    /// The sum of an attribute over a stage's events.
    fn sum(&self, stage: StageId, attribute: &Attribute) -> Sum {
        sum_of_each(self, stage, attribute)
    }
    /// The least or the greatest value of an attribute over a stage's events; none where their kinds do not go together.
    fn extreme(&self, aggregate: Aggregate, stage: StageId, attribute: &Attribute) -> Option<Value<'a>> {
        extreme_of_each(self, aggregate, stage, attribute)
    }
    /// The n-th key value.
    fn key(&self, index: usize) -> Value<'a>;
    /// Counts a type error.
    fn type_error(&self);
}

/// What most comparisons are about: a number or null; `Other` leaves the question open.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar {
    /// Null.
    Null,
    /// An integer.
    Int(i64),
    /// A finite float.
    Float(f64),
    /// Anything else, or what takes longer to find out.
    Other,
}

impl From<&Value<'_>> for Scalar {
    fn from(value: &Value<'_>) -> Self {
        match *value {
            Value::Null => Scalar::Null,
            Value::Int(i) => Scalar::Int(i),
            Value::Float(f) => Scalar::Float(f),
            _ => Scalar::Other,
        }
    }
}

impl From<&Slot> for Scalar {
    #[inline]
    fn from(slot: &Slot) -> Self {
        match *slot {
            Slot::Null => Scalar::Null,
            Slot::Int(i) => Scalar::Int(i),
            Slot::Float(f) => Scalar::Float(f),
            _ => Scalar::Other,
        }
    }
}

impl Scalar {
    fn value(self) -> Option<Value<'static>> {
        match self {
            Scalar::Null => Some(Value::Null),
            Scalar::Int(i) => Some(Value::Int(i)),
            Scalar::Float(f) => Some(Value::Float(f)),
            Scalar::Other => None,
        }
    }

    /// The order of two numbers, or none if one is null; `Err` where only the values themselves can tell.
    fn compare(self, other: Scalar) -> Result<Option<Ordering>, ()> {
        match (self, other) {
            (Scalar::Int(a), Scalar::Int(b)) => Ok(Some(a.cmp(&b))),
            (Scalar::Float(a), Scalar::Float(b)) => Ok(a.partial_cmp(&b)),
            (Scalar::Null, other) | (other, Scalar::Null) if other != Scalar::Other => Ok(None),
            _ => match (self.value(), other.value()) {
                (Some(a), Some(b)) => Ok(a.compare(&b)),
                _ => Err(()),
            },
        }
    }
}

/// The value of an expression of numbers, without the text that a `Value` may hold. It counts no type error: where
/// there could be one the answer is `Other`, and `eval` finds it.
fn scalar<'a>(expr: &'a Expr, env: &impl Env<'a>) -> Scalar {
    match expr {
        Expr::Const(value) => Scalar::from(value),
        Expr::This(attribute) => env.this_scalar(attribute),
        Expr::Stage(stage, pick, attribute) => env.pick_scalar(*stage, *pick, attribute),
        Expr::Call(Function::Coalesce, args) => {
            args.iter().map(|arg| scalar(arg, env)).find(|s| *s != Scalar::Null).unwrap_or(Scalar::Null)
        }
        Expr::Chain(first, rest) => rest.iter().fold(scalar(first, env), |total, (op, operand)| {
            match (total.value(), scalar(operand, env).value()) {
                (Some(a), Some(b)) => {
                    arithmetic(&a, *op, &b).map_or(Scalar::Other, |value| Scalar::from(&value))
                }
                _ => Scalar::Other,
            }
        }),
        _ => Scalar::Other,
    }
}

/// The value of an expression.
pub fn eval<'a>(expr: &'a Expr, env: &impl Env<'a>) -> Value<'a> {
    match expr {
        Expr::Const(value) => borrowed(value),
        Expr::This(attribute) => env.this(attribute),
        Expr::Stage(stage, pick, attribute) => env.pick(*stage, *pick, attribute),
        Expr::Key(index) => env.key(*index),
        Expr::Aggregate(aggregate, stage, attribute) => {
            aggregated(*aggregate, *stage, attribute.as_ref(), env)
        }
        Expr::Call(function, args) => {
            function::call(*function, args.iter().map(|a| eval(a, env)), &|| env.type_error())
        }
        Expr::Not(inner) => truth_value(truth(inner, env).map(|t| !t)),
        Expr::Negate(inner) => {
            let value = eval(inner, env);
            match &value {
                Value::Duration(d) => d.checked_neg().map_or(Value::Null, Value::Duration),
                Value::Float(f) => Value::Float(-f),
                _ => arithmetic(&Value::Int(0), ArithmeticOp::Sub, &value).unwrap_or_else(|| wrong(env)),
            }
        }
        Expr::Or(terms) => truth_value(any(terms.iter().map(|t| truth(t, env)))),
        Expr::And(terms) => truth_value(any(terms.iter().map(|t| truth(t, env).map(|v| !v))).map(|t| !t)),
        Expr::Chain(first, rest) => {
            let mut total = eval(first, env);
            for (op, operand) in rest {
                let operand = eval(operand, env);
                total = arithmetic(&total, *op, &operand).unwrap_or_else(|| wrong(env));
            }
            total
        }
        Expr::Compare(left, op, right) => truth_value(comparison(left, *op, right, env)),
        Expr::IsNull(inner, negated) => Value::Bool(eval(inner, env).is_null() != *negated),
        Expr::In(inner, list, negated) => {
            let value = eval(inner, env);
            let found = any(list.iter().map(|item| compare(&value, CompareOp::Eq, &eval(item, env), env)));
            truth_value(found.map(|t| t != *negated))
        }
        Expr::Between(inner, low, high, negated) => {
            let value = eval(inner, env);
            let above = compare(&value, CompareOp::Ge, &eval(low, env), env);
            let below = compare(&value, CompareOp::Le, &eval(high, env), env);
            truth_value(any([above, below].into_iter().map(|t| t.map(|v| !v))).map(|out| out == *negated))
        }
        Expr::Matches(inner, regex, negated) => match eval(inner, env) {
            Value::Str(text) => Value::Bool(regex.is_match(&text) != *negated),
            Value::Null => Value::Null,
            _ => wrong(env),
        },
    }
}

/// Whether an expression is true: false where it is false, null or no truth value.
pub fn is_true<'a>(expr: &'a Expr, env: &impl Env<'a>) -> bool {
    truth(expr, env) == Some(true)
}

fn comparison<'a>(left: &'a Expr, op: CompareOp, right: &'a Expr, env: &impl Env<'a>) -> Option<bool> {
    match scalar(left, env).compare(scalar(right, env)) {
        Ok(order) => order.map(|order| holds(op, order)),
        Err(()) => compare(&eval(left, env), op, &eval(right, env), env),
    }
}

fn truth<'a>(expr: &'a Expr, env: &impl Env<'a>) -> Option<bool> {
    if let Expr::Compare(left, op, right) = expr {
        return comparison(left, *op, right, env);
    }
    match eval(expr, env) {
        Value::Bool(b) => Some(b),
        Value::Null => None,
        _ => {
            env.type_error();
            None
        }
    }
}

/// SQL's `or`: true if any is true, else null if any is null, else false. Stops at the first that is true.
fn any(values: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut result = Some(false);
    for value in values {
        match value {
            Some(true) => return Some(true),
            Some(false) => {}
            None => result = None,
        }
    }
    result
}

fn truth_value<'a>(truth: Option<bool>) -> Value<'a> {
    truth.map_or(Value::Null, Value::Bool)
}

fn wrong<'a>(env: &impl Env<'a>) -> Value<'a> {
    env.type_error();
    Value::Null
}

/// A constant without copying its text.
fn borrowed<'a>(value: &'a Value<'static>) -> Value<'a> {
    match value {
        Value::Str(text) => Value::Str(Cow::Borrowed(text)),
        Value::Json(text) => Value::Json(Cow::Borrowed(text)),
        other => other.clone(),
    }
}

fn compare<'a>(left: &Value<'_>, op: CompareOp, right: &Value<'_>, env: &impl Env<'a>) -> Option<bool> {
    match left.compare(right) {
        Some(order) => Some(holds(op, order)),
        None => {
            if !left.is_null() && !right.is_null() {
                env.type_error();
            }
            None
        }
    }
}

/// Whether an order satisfies a comparison.
pub fn holds(op: CompareOp, order: Ordering) -> bool {
    match op {
        CompareOp::Eq => order == Ordering::Equal,
        CompareOp::Ne => order != Ordering::Equal,
        CompareOp::Lt => order == Ordering::Less,
        CompareOp::Le => order != Ordering::Greater,
        CompareOp::Gt => order == Ordering::Greater,
        CompareOp::Ge => order != Ordering::Less,
    }
}

/// `left op right`; `None` where their kinds do not go together.
fn arithmetic<'a>(left: &Value<'_>, op: ArithmeticOp, right: &Value<'_>) -> Option<Value<'a>> {
    use ArithmeticOp::*;
    use Value::{Duration, Null, Time};
    if left.is_null() || right.is_null() {
        return Some(Null);
    }
    if let (Some(a), Some(b)) = (as_int(left), as_int(right)) {
        return Some(match op {
            Add => int(a + b),
            Sub => int(a - b),
            Mul => a.checked_mul(b).map_or(Null, int),
            Div if b == 0 => Null,
            Div if a % b == 0 => int(a / b),
            Div => float(a as f64 / b as f64),
            Rem if b == 0 => Null,
            Rem => int(a % b),
        });
    }
    if let (Some(a), Some(b)) = (as_float(left), as_float(right)) {
        return Some(match op {
            Add => float(a + b),
            Sub => float(a - b),
            Mul => float(a * b),
            Div => float(a / b),
            Rem => float(a % b),
        });
    }
    let span = |ms: Option<i64>| ms.map_or(Null, Duration);
    let time = |ms: Option<i64>| ms.map_or(Null, Time);
    Some(match (left, op, right) {
        (Time(a), Sub, Time(b)) => span(a.checked_sub(*b)),
        (Time(a), Add, Duration(b)) | (Duration(b), Add, Time(a)) => time(a.checked_add(*b)),
        (Time(a), Sub, Duration(b)) => time(a.checked_sub(*b)),
        (Duration(a), Add, Duration(b)) => span(a.checked_add(*b)),
        (Duration(a), Sub, Duration(b)) => span(a.checked_sub(*b)),
        (Duration(a), Mul, Value::Int(b)) | (Value::Int(b), Mul, Duration(a)) => span(a.checked_mul(*b)),
        (Duration(a), Div, Value::Int(b)) => span(a.checked_div(*b)),
        (Duration(a), Div, Duration(b)) => return arithmetic(&Value::Int(*a), Div, &Value::Int(*b)),
        _ => return None,
    })
}

/// A sum as the language counts it: exact among integers, from the first float on in floats.
#[derive(Debug, Clone, Default)]
pub struct Sum {
    /// The sum up to the first float.
    pub whole: i128,
    /// The sum, once there was a float.
    pub float: Option<f64>,
    /// How many values there were, null aside.
    pub values: u64,
    /// Whether one of them was no number.
    pub wrong: bool,
}

impl Sum {
    /// Adds a value.
    pub fn add(&mut self, value: &Value<'_>) {
        if value.is_null() {
            return;
        }
        self.values += 1;
        match (as_int(value), value) {
            (Some(i), _) => match &mut self.float {
                Some(total) => *total += i as f64,
                None => self.whole = self.whole.saturating_add(i),
            },
            (None, Value::Float(f)) => self.float = Some(self.float.unwrap_or(self.whole as f64) + f),
            _ => self.wrong = true,
        }
    }
}

/// Whether a value is the least (the greatest) one in place of the one that was so far, if there was any; none where
/// their kinds do not go together.
pub fn takes_place(aggregate: Aggregate, value: &Value<'_>, best: Option<&Value<'_>>) -> Option<bool> {
    if value.is_null() {
        return Some(false);
    }
    // A value of a kind that has no order cannot be the least one either.
    let order = value.compare(best.unwrap_or(value))?;
    let wanted = if aggregate == Aggregate::Min { Ordering::Less } else { Ordering::Greater };
    Some(best.is_none() || order == wanted)
}

/// A sum, value by value.
pub fn sum_of_each<'a>(env: &(impl Env<'a> + ?Sized), stage: StageId, attribute: &Attribute) -> Sum {
    let mut sum = Sum::default();
    env.each(stage, attribute, &mut |value| sum.add(&value));
    sum
}

/// The least or the greatest value, value by value.
pub fn extreme_of_each<'a>(
    env: &(impl Env<'a> + ?Sized),
    aggregate: Aggregate,
    stage: StageId,
    attribute: &Attribute,
) -> Option<Value<'a>> {
    let (mut best, mut mixed) = (None, false);
    env.each(stage, attribute, &mut |value| match takes_place(aggregate, &value, best.as_ref()) {
        Some(true) => best = Some(value),
        Some(false) => {}
        None => mixed = true,
    });
    (!mixed).then(|| best.unwrap_or(Value::Null))
}

fn aggregated<'a>(
    aggregate: Aggregate,
    stage: StageId,
    attribute: Option<&Attribute>,
    env: &impl Env<'a>,
) -> Value<'a> {
    let Some(attribute) = attribute else {
        return int(env.count(stage) as i128);
    };
    match aggregate {
        Aggregate::Count => int(env.count(stage) as i128),
        Aggregate::First => env.pick(stage, Pick::Index(0), attribute),
        Aggregate::Last => env.pick(stage, Pick::Last, attribute),
        Aggregate::Sum | Aggregate::Avg => {
            let sum = env.sum(stage, attribute);
            match (sum.wrong, aggregate, sum.float) {
                (true, _, _) => wrong(env),
                (_, Aggregate::Sum, None) => int(sum.whole),
                (_, Aggregate::Sum, Some(total)) => float(total),
                _ if sum.values == 0 => Value::Null,
                (_, _, total) => float(total.unwrap_or(sum.whole as f64) / sum.values as f64),
            }
        }
        Aggregate::Min | Aggregate::Max => {
            env.extreme(aggregate, stage, attribute).unwrap_or_else(|| wrong(env))
        }
    }
}
