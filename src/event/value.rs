//! Values that expressions work on: three-valued logic's null, JSON's scalars, times and spans.
//!
//! Integers are `i64`; an integer above that, up to `u64::MAX`, is kept exactly too (ids), and compares exactly;
//! beyond that a number is a float. Floats are finite. `Json` is an object or an array: opaque, only null tests and
//! output know it.

use std::borrow::Cow;
use std::cmp::Ordering;

/// A value, borrowed from its event where it can be.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// Missing, null, or unknown.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// An integer above `i64::MAX`; never a smaller one.
    UInt(u64),
    /// A finite float.
    Float(f64),
    /// Text.
    Str(Cow<'a, str>),
    /// A moment, in milliseconds since the epoch.
    Time(i64),
    /// A span, in milliseconds.
    Duration(i64),
    /// The JSON text of an object or an array.
    Json(Cow<'a, str>),
}

impl Value<'_> {
    /// The same value, owning its text.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Bool(b) => Value::Bool(b),
            Value::Int(i) => Value::Int(i),
            Value::UInt(u) => Value::UInt(u),
            Value::Float(f) => Value::Float(f),
            Value::Str(s) => Value::Str(Cow::Owned(s.into_owned())),
            Value::Time(t) => Value::Time(t),
            Value::Duration(d) => Value::Duration(d),
            Value::Json(s) => Value::Json(Cow::Owned(s.into_owned())),
        }
    }

    /// Whether this is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// The order of two values of one kind; `None` where either is null or the kinds differ. Numbers of all three
    /// forms are one kind and compare by exact numeric value; text compares by code point; false is below true.
    pub fn compare(&self, other: &Value<'_>) -> Option<Ordering> {
        use Value::*;
        Some(match (self, other) {
            (Int(a), Int(b)) => a.cmp(b),
            (Float(a), Float(b)) => a.partial_cmp(b)?,
            (Int(a), Float(b)) => int_to_float(*a as i128, *b)?,
            (Float(a), Int(b)) => int_to_float(*b as i128, *a)?.reverse(),
            (UInt(a), UInt(b)) => a.cmp(b),
            (UInt(_), Int(_)) => Ordering::Greater,
            (Int(_), UInt(_)) => Ordering::Less,
            (UInt(a), Float(b)) => int_to_float(*a as i128, *b)?,
            (Float(a), UInt(b)) => int_to_float(*b as i128, *a)?.reverse(),
            (Str(a), Str(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Bool(a), Bool(b)) => a.cmp(b),
            (Time(a), Time(b)) | (Duration(a), Duration(b)) => a.cmp(b),
            _ => return None,
        })
    }
}

/// Whether two texts are the same. Most that are compared are short: those take two looks at each, and no call.
#[inline]
pub fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match (a.first_chunk::<8>(), a.last_chunk::<8>(), b.first_chunk::<8>(), b.last_chunk::<8>()) {
        (Some(a), Some(z), Some(first), Some(last)) if b.len() <= 16 => a == first && z == last,
        (None, ..) => {
            match (a.first_chunk::<4>(), a.last_chunk::<4>(), b.first_chunk::<4>(), b.last_chunk::<4>()) {
                (Some(a), Some(z), Some(first), Some(last)) => a == first && z == last,
                _ => a.iter().eq(b),
            }
        }
        _ => a == b,
    }
}

/// Exact order of an integer against a float.
fn int_to_float(int: i128, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    // Every integer here is below 2^64, so a float outside ±2^65 decides at once, and inside it truncates exactly.
    const BOUND: f64 = 36_893_488_147_419_103_232.0;
    if float >= BOUND {
        return Some(Ordering::Less);
    }
    if float <= -BOUND {
        return Some(Ordering::Greater);
    }
    let whole = float.trunc();
    Some(
        int.cmp(&(whole as i128))
            .then_with(|| 0.0_f64.partial_cmp(&(float - whole)).unwrap_or(Ordering::Equal)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_all_lengths_are_the_same_only_where_each_byte_is() {
        let text: Vec<u8> = (0..40).collect();
        for len in 0..text.len() {
            let text = &text[..len];
            assert!(same_bytes(text, text) && !same_bytes(text, &[text, b"x"].concat()));
            for at in 0..len {
                let mut other = text.to_vec();
                other[at] ^= 1;
                assert!(!same_bytes(text, &other), "byte {at} of {len}");
            }
        }
    }

    #[test]
    fn integers_and_floats_compare_by_exact_value() {
        let big = Value::Int(9_007_199_254_740_993);
        assert_eq!(big.compare(&Value::Float(9_007_199_254_740_992.0)), Some(Ordering::Greater));
        assert_eq!(Value::Int(1).compare(&Value::Float(1.0)), Some(Ordering::Equal));
        assert_eq!(Value::Int(-1).compare(&Value::Float(-1.5)), Some(Ordering::Greater));
        assert_eq!(Value::Int(1).compare(&Value::Float(1.5)), Some(Ordering::Less));
        assert_eq!(
            Value::UInt(u64::MAX).compare(&Value::Float(18_446_744_073_709_551_616.0)),
            Some(Ordering::Less)
        );
        assert_eq!(Value::Int(1).compare(&Value::Str("1".into())), None);
    }
}
