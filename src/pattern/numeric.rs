//! Numbers in and out of values: what is not finite or does not fit is null.

use crate::event::Value;

/// A float, or null where it is not finite.
pub(super) fn float<'a>(value: f64) -> Value<'a> {
    if value.is_finite() { Value::Float(value) } else { Value::Null }
}

/// An integer, or null where it does not fit.
pub(super) fn int<'a>(value: i128) -> Value<'a> {
    i64::try_from(value).map_or(Value::Null, Value::Int)
}

/// The number as an integer, where it is one.
pub(super) fn as_int(value: &Value<'_>) -> Option<i128> {
    match value {
        Value::Int(i) => Some(i128::from(*i)),
        Value::UInt(u) => Some(i128::from(*u)),
        _ => None,
    }
}

/// The number as a float, where it is a number.
pub(super) fn as_float(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Float(f) => Some(*f),
        _ => as_int(value).map(|i| i as f64),
    }
}
