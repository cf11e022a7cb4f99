//! Values, their order, three-valued logic and arithmetic.

use std::cmp::Ordering;

use sequor::pattern::ast::ArithmeticOp;

/// A value of an expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Missing or unknown.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer from the smallest of 64 bits with a sign to the largest of 64 bits without.
    Int(i128),
    /// A finite float.
    Float(f64),
    /// Text.
    Str(String),
    /// A moment, in milliseconds.
    Time(i64),
    /// A span, in milliseconds.
    Span(i64),
    /// The text of an object or an array.
    Json(String),
}

impl Value {
    /// A float; null where it is not finite.
    pub(crate) fn float(float: f64) -> Value {
        if float.is_finite() { Value::Float(float) } else { Value::Null }
    }

    /// A result of integer arithmetic; null where it does not fit 64 bits.
    pub(crate) fn int(int: i128) -> Value {
        i64::try_from(int).map_or(Value::Null, |int| Value::Int(int.into()))
    }

    fn time(ms: i128) -> Value {
        i64::try_from(ms).map_or(Value::Null, Value::Time)
    }

    /// A span; null where it does not fit 64 bits.
    pub(crate) fn span(ms: i128) -> Value {
        i64::try_from(ms).map_or(Value::Null, Value::Span)
    }

    /// Whether this is null.
    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// A number as a float.
    pub(crate) fn as_float(&self) -> Option<f64> {
        match self {
            Value::Int(int) => Some(*int as f64),
            Value::Float(float) => Some(*float),
            _ => None,
        }
    }

    /// True, false or unknown.
    pub(crate) fn truth(&self) -> Option<bool> {
        match self {
            Value::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// The order of two values of one kind.
    pub(crate) fn compare(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
            (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
            (Value::Int(a), Value::Float(b)) => Some(int_with_float(*a, *b)),
            (Value::Float(a), Value::Int(b)) => Some(int_with_float(*b, *a).reverse()),
            (Value::Str(a), Value::Str(b)) => Some(a.chars().cmp(b.chars())),
            (Value::Time(a), Value::Time(b)) | (Value::Span(a), Value::Span(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    /// Whether `==` is true.
    pub(crate) fn equals(&self, other: &Value) -> bool {
        self.compare(other) == Some(Ordering::Equal)
    }

    /// As JSON.
    pub(crate) fn to_json(&self) -> String {
        match self {
            Value::Null => "null".into(),
            Value::Bool(truth) => truth.to_string(),
            Value::Int(int) => int.to_string(),
            Value::Float(float) => serde_json::to_string(float).unwrap(),
            Value::Str(text) => serde_json::to_string(text).unwrap(),
            Value::Time(ms) | Value::Span(ms) => ms.to_string(),
            Value::Json(text) => super::output::on_one_line(text),
        }
    }
}

fn int_with_float(int: i128, float: f64) -> Ordering {
    if float.abs() > 1e30 {
        return 0.0.partial_cmp(&float).unwrap();
    }
    let below = float.floor();
    int.cmp(&(below as i128)).then(if float > below { Ordering::Less } else { Ordering::Equal })
}

/// `not`
pub(crate) fn not(truth: Option<bool>) -> Option<bool> {
    truth.map(|truth| !truth)
}

/// `and`: false as soon as one is false, else unknown as soon as one is unknown.
pub(crate) fn and(truths: impl IntoIterator<Item = Option<bool>>) -> Option<bool> {
    let truths: Vec<_> = truths.into_iter().collect();
    if truths.contains(&Some(false)) {
        Some(false)
    } else if truths.contains(&None) {
        None
    } else {
        Some(true)
    }
}

/// `or`
pub(crate) fn or(truths: impl IntoIterator<Item = Option<bool>>) -> Option<bool> {
    not(and(truths.into_iter().map(not)))
}

/// `-`
pub(crate) fn negate(value: &Value) -> Value {
    match value {
        Value::Int(int) => Value::int(-int),
        Value::Float(float) => Value::Float(-float),
        Value::Span(ms) => Value::span(-i128::from(*ms)),
        _ => Value::Null,
    }
}

/// A sum or a product.
pub(crate) fn arithmetic(a: &Value, op: ArithmeticOp, b: &Value) -> Value {
    use ArithmeticOp::*;
    use Value::*;
    let wide = |ms: &i64| i128::from(*ms);
    match (a, op, b) {
        (Int(a), Add, Int(b)) => Value::int(a + b),
        (Int(a), Sub, Int(b)) => Value::int(a - b),
        (Int(a), Mul, Int(b)) => Value::int(a.saturating_mul(*b)),
        (Int(a), Div, Int(b)) => quotient(*a, *b),
        (Int(_), Rem, Int(0)) => Null,
        (Int(a), Rem, Int(b)) => Value::int(a % b),
        (Int(_) | Float(_), _, Int(_) | Float(_)) => {
            let (Some(a), Some(b)) = (a.as_float(), b.as_float()) else { return Null };
            Value::float(match op {
                Add => a + b,
                Sub => a - b,
                Mul => a * b,
                Div => a / b,
                Rem => a % b,
            })
        }
        (Time(a), Sub, Time(b)) => Value::span(wide(a) - wide(b)),
        (Time(a), Add, Span(b)) | (Span(b), Add, Time(a)) => Value::time(wide(a) + wide(b)),
        (Time(a), Sub, Span(b)) => Value::time(wide(a) - wide(b)),
        (Span(a), Add, Span(b)) => Value::span(wide(a) + wide(b)),
        (Span(a), Sub, Span(b)) => Value::span(wide(a) - wide(b)),
        (Span(a), Mul, Int(b)) | (Int(b), Mul, Span(a)) => Value::span(wide(a).saturating_mul(*b)),
        (Span(_), Div, Int(0)) => Null,
        (Span(a), Div, Int(b)) => Value::span(wide(a) / b),
        (Span(a), Div, Span(b)) => quotient(wide(a), wide(b)),
        _ => Null,
    }
}

/// An integer where the division leaves no rest, else a float.
fn quotient(a: i128, b: i128) -> Value {
    if b == 0 {
        Value::Null
    } else if a % b == 0 {
        Value::int(a / b)
    } else {
        Value::float(a as f64 / b as f64)
    }
}
