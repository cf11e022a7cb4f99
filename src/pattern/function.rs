//! The functions of the language: names, numbers of arguments, and what each one does to values.

use std::borrow::Cow;
use std::net::IpAddr;

use chrono::DateTime;
use smallvec::SmallVec;

use super::numeric::{as_float, float, int};
use crate::event::Value;

/// A function of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table below and docs/language.md say what each one does")]
pub enum Function {
    Lower,
    Upper,
    Length,
    Trim,
    Contains,
    StartsWith,
    EndsWith,
    Substring,
    Concat,
    Abs,
    Round,
    Floor,
    Ceil,
    Sqrt,
    Coalesce,
    If,
    CidrContains,
    HourOfDay,
    DayOfWeek,
    ToNumber,
    ToString,
}

impl Function {
    /// Name, function, fewest and most arguments. (`header("x")` and the aggregates are not here: they read events.)
    pub const ALL: [(&'static str, Function, usize, usize); 21] = [
        ("lower", Function::Lower, 1, 1),
        ("upper", Function::Upper, 1, 1),
        ("length", Function::Length, 1, 1),
        ("trim", Function::Trim, 1, 1),
        ("contains", Function::Contains, 2, 2),
        ("starts_with", Function::StartsWith, 2, 2),
        ("ends_with", Function::EndsWith, 2, 2),
        ("substring", Function::Substring, 2, 3),
        ("concat", Function::Concat, 1, usize::MAX),
        ("abs", Function::Abs, 1, 1),
        ("round", Function::Round, 1, 2),
        ("floor", Function::Floor, 1, 1),
        ("ceil", Function::Ceil, 1, 1),
        ("sqrt", Function::Sqrt, 1, 1),
        ("coalesce", Function::Coalesce, 1, usize::MAX),
        ("if", Function::If, 3, 3),
        ("cidr_contains", Function::CidrContains, 2, 2),
        ("hour_of_day", Function::HourOfDay, 1, 1),
        ("day_of_week", Function::DayOfWeek, 1, 1),
        ("to_number", Function::ToNumber, 1, 1),
        ("to_string", Function::ToString, 1, 1),
    ];
}

/// The value of a function; `type_error` counts an argument of the wrong kind. Arguments are computed as they are asked for.
pub fn call<'a>(
    function: Function,
    mut args: impl Iterator<Item = Value<'a>>,
    type_error: &dyn Fn(),
) -> Value<'a> {
    match function {
        Function::Coalesce => return args.find(|a| !a.is_null()).unwrap_or(Value::Null),
        Function::If => {
            let condition = args.next();
            if !matches!(condition, None | Some(Value::Null | Value::Bool(_))) {
                type_error();
            }
            let skipped = if condition == Some(Value::Bool(true)) { 0 } else { 1 };
            return args.nth(skipped).unwrap_or(Value::Null);
        }
        _ => {}
    }
    let args: SmallVec<[Value<'a>; 3]> = args.collect();
    if args.iter().any(Value::is_null) {
        return Value::Null;
    }
    let result = match (function, args.as_slice()) {
        (Function::Concat, parts) => concat(parts),
        (_, [Value::Str(s), rest @ ..]) => of_text(function, s, rest),
        (Function::Abs, [Value::Duration(d)]) => Some(d.checked_abs().map_or(Value::Null, Value::Duration)),
        (Function::HourOfDay | Function::DayOfWeek, [Value::Time(ms) | Value::Int(ms)]) => {
            Some(of_time(function, *ms))
        }
        (Function::ToString, [value]) => text(value).map(|t| Value::Str(Cow::Owned(t))),
        (Function::ToNumber, [value]) => as_float(value).map(|_| value.clone()),
        (_, [number, rest @ ..]) => of_number(function, number, rest),
        (_, []) => None,
    };
    result.unwrap_or_else(|| {
        type_error();
        Value::Null
    })
}

/// Functions whose first argument is text; `None` where an argument is of the wrong kind.
fn of_text<'a>(function: Function, s: &Cow<'a, str>, rest: &[Value<'a>]) -> Option<Value<'a>> {
    let owned = |text: String| Value::Str(Cow::Owned(text));
    Some(match (function, rest) {
        (Function::Lower, []) => owned(s.to_lowercase()),
        (Function::Upper, []) => owned(s.to_uppercase()),
        (Function::Length, []) => int(s.chars().count() as i128),
        (Function::Trim, []) => owned(s.trim().to_owned()),
        (Function::Contains, [Value::Str(part)]) => Value::Bool(s.contains(part.as_ref())),
        (Function::StartsWith, [Value::Str(part)]) => Value::Bool(s.starts_with(part.as_ref())),
        (Function::EndsWith, [Value::Str(part)]) => Value::Bool(s.ends_with(part.as_ref())),
        (Function::Substring, [Value::Int(from)]) => owned(substring(s, *from, i64::MAX)),
        (Function::Substring, [Value::Int(_), Value::Int(length)]) if *length < 0 => Value::Null,
        (Function::Substring, [Value::Int(from), Value::Int(length)]) => owned(substring(s, *from, *length)),
        (Function::CidrContains, [Value::Str(address)]) => {
            cidr_contains(s, address).map_or(Value::Null, Value::Bool)
        }
        (Function::HourOfDay | Function::DayOfWeek, []) => match DateTime::parse_from_rfc3339(s) {
            Ok(time) => of_time(function, time.timestamp_millis()),
            Err(_) => Value::Null,
        },
        (Function::ToString, []) => Value::Str(s.clone()),
        (Function::ToNumber, []) => number(s),
        _ => return None,
    })
}

/// Functions whose first argument is a number; `None` where an argument is of the wrong kind.
fn of_number<'a>(function: Function, value: &Value<'a>, rest: &[Value<'a>]) -> Option<Value<'a>> {
    let whole = |f: f64| {
        // Within 64 bits every whole float is an integer exactly; outside it stays a float.
        if (-(2_f64.powi(63))..2_f64.powi(63)).contains(&f) { Value::Int(f as i64) } else { float(f) }
    };
    let is_int = matches!(value, Value::Int(_) | Value::UInt(_));
    let n = as_float(value)?;
    Some(match (function, rest) {
        (Function::Abs, []) => match value {
            Value::Int(i) => i.checked_abs().map_or(Value::Null, Value::Int),
            Value::Float(f) => Value::Float(f.abs()),
            other => other.clone(),
        },
        (Function::Sqrt, []) => float(n.sqrt()),
        (Function::Round | Function::Floor | Function::Ceil, []) if is_int => value.clone(),
        (Function::Round, []) => whole(n.round()),
        (Function::Floor, []) => whole(n.floor()),
        (Function::Ceil, []) => whole(n.ceil()),
        (Function::Round, [Value::Int(decimals)]) if !(0..=15).contains(decimals) => Value::Null,
        (Function::Round, [Value::Int(_)]) if is_int => value.clone(),
        (Function::Round, [Value::Int(decimals)]) => {
            let scale = 10_f64.powi(*decimals as i32);
            let scaled = n * scale;
            // So large a number has no decimals left to round.
            if scaled.abs() < 9.0e15 { float(scaled.round() / scale) } else { float(n) }
        }
        _ => return None,
    })
}

/// Any time has an hour and a day, also far outside of calendars' ranges.
fn of_time<'a>(function: Function, ms: i64) -> Value<'a> {
    const HOUR_MS: i64 = 3_600_000;
    const DAY_MS: i64 = 24 * HOUR_MS;
    Value::Int(match function {
        Function::HourOfDay => ms.rem_euclid(DAY_MS) / HOUR_MS,
        // 1970-01-01 was a Thursday, day 4.
        _ => (ms.div_euclid(DAY_MS) + 3).rem_euclid(7) + 1,
    })
}

/// A scalar as JSON writes it, a string as it is.
fn text(value: &Value<'_>) -> Option<String> {
    Some(match value {
        Value::Str(s) => s.clone().into_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) | Value::Time(i) | Value::Duration(i) => i.to_string(),
        Value::UInt(u) => u.to_string(),
        Value::Float(f) => serde_json::Number::from_f64(*f)?.to_string(),
        Value::Null | Value::Json(_) => return None,
    })
}

fn concat<'a>(parts: &[Value<'a>]) -> Option<Value<'a>> {
    let mut joined = String::new();
    for part in parts {
        joined.push_str(&text(part)?);
    }
    Some(Value::Str(Cow::Owned(joined)))
}

/// SQL's substring: places count from 1, and those before the first count into the length.
fn substring(s: &str, from: i64, length: i64) -> String {
    let end = from.saturating_add(length).max(1);
    let from = from.max(1);
    s.chars().skip((from - 1) as usize).take((end - from).max(0) as usize).collect()
}

/// A JSON number's value; null for any other text.
fn number<'a>(s: &str) -> Value<'a> {
    match serde_json::from_str::<serde_json::Number>(s) {
        Ok(n) => match (n.as_i64(), n.as_u64()) {
            (Some(i), _) => Value::Int(i),
            (None, Some(u)) => Value::UInt(u),
            (None, None) => n.as_f64().map_or(Value::Null, float),
        },
        Err(_) => Value::Null,
    }
}

/// Whether a network has an address; `None` where either is not one.
fn cidr_contains(network: &str, address: &str) -> Option<bool> {
    let address: IpAddr = address.parse::<IpAddr>().ok()?.to_canonical();
    let (base, bits) = match network.split_once('/') {
        Some((base, bits)) => (base.parse::<IpAddr>().ok()?, Some(bits.parse::<u32>().ok()?)),
        None => (network.parse::<IpAddr>().ok()?, None),
    };
    let mask =
        |bits: u32, width: u32| (bits <= width).then(|| u128::MAX.checked_shl(width - bits).unwrap_or(0));
    match (base, address) {
        (IpAddr::V4(base), IpAddr::V4(address)) => {
            let mask = mask(bits.unwrap_or(32), 32)?;
            Some((u128::from(base.to_bits()) & mask) == (u128::from(address.to_bits()) & mask))
        }
        (IpAddr::V6(base), IpAddr::V6(address)) => {
            let mask = mask(bits.unwrap_or(128), 128)?;
            Some((base.to_bits() & mask) == (address.to_bits() & mask))
        }
        (IpAddr::V4(_), _) => mask(bits.unwrap_or(32), 32).map(|_| false),
        (IpAddr::V6(_), _) => mask(bits.unwrap_or(128), 128).map(|_| false),
    }
}
