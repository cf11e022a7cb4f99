//! What the language's functions and aggregates say of values.

use std::cmp::Ordering;
use std::net::{IpAddr, Ipv6Addr};

use super::input::rfc3339;
use super::json;
use super::value::{Value, arithmetic};

/// A function of values, by its name.
pub(crate) fn call(name: &str, args: Vec<Value>) -> Value {
    match name {
        "coalesce" => return args.into_iter().find(|value| !value.is_null()).unwrap_or(Value::Null),
        "if" => return if args[0].truth() == Some(true) { args[1].clone() } else { args[2].clone() },
        _ => {}
    }
    if args.iter().any(Value::is_null) {
        return Value::Null;
    }
    match (name, &args[..]) {
        ("lower", [Value::Str(s)]) => Value::Str(s.to_lowercase()),
        ("upper", [Value::Str(s)]) => Value::Str(s.to_uppercase()),
        ("length", [Value::Str(s)]) => Value::Int(s.chars().count() as i128),
        ("trim", [Value::Str(s)]) => Value::Str(s.trim().to_owned()),
        ("contains", [Value::Str(s), Value::Str(part)]) => Value::Bool(s.contains(&part[..])),
        ("starts_with", [Value::Str(s), Value::Str(part)]) => Value::Bool(s.starts_with(&part[..])),
        ("ends_with", [Value::Str(s), Value::Str(part)]) => Value::Bool(s.ends_with(&part[..])),
        ("substring", [Value::Str(s), Value::Int(from)]) => Value::Str(between(s, *from, None)),
        ("substring", [Value::Str(_), Value::Int(_), Value::Int(length)]) if *length < 0 => Value::Null,
        ("substring", [Value::Str(s), Value::Int(from), Value::Int(length)]) => {
            Value::Str(between(s, *from, Some(from + length)))
        }
        ("concat", parts) => {
            let parts: Option<Vec<String>> = parts.iter().map(to_string).collect();
            parts.map_or(Value::Null, |parts| Value::Str(parts.concat()))
        }
        ("abs", [Value::Int(n)]) if *n < 0 => Value::int(-n),
        ("abs", [Value::Int(n)]) => Value::Int(*n),
        ("abs", [Value::Float(n)]) => Value::Float(n.abs()),
        ("abs", [Value::Span(ms)]) => Value::span(i128::from(*ms).abs()),
        ("round" | "floor" | "ceil", [Value::Int(n)]) => Value::Int(*n),
        ("round", [Value::Float(n)]) => whole(n.round()),
        ("floor", [Value::Float(n)]) => whole(n.floor()),
        ("ceil", [Value::Float(n)]) => whole(n.ceil()),
        ("round", [Value::Int(n), Value::Int(0..=15)]) => Value::Int(*n),
        ("round", [Value::Float(n), Value::Int(decimals @ 0..=15)]) => {
            let scale = 10_f64.powi(*decimals as i32);
            let scaled = (n * scale).round() / scale;
            // A float too large to be scaled has no decimals.
            Value::Float(if scaled.is_finite() { scaled } else { *n })
        }
        ("sqrt", [n]) => match n.as_float() {
            Some(n) if n >= 0.0 => Value::Float(n.sqrt()),
            _ => Value::Null,
        },
        ("cidr_contains", [Value::Str(network), Value::Str(address)]) => {
            cidr_contains(network, address).map_or(Value::Null, Value::Bool)
        }
        ("hour_of_day", [time]) => {
            ms_of(time).map_or(Value::Null, |ms| Value::Int(ms.div_euclid(3_600_000).rem_euclid(24).into()))
        }
        // The first of January 1970 was a Thursday.
        ("day_of_week", [time]) => ms_of(time)
            .map_or(Value::Null, |ms| Value::Int(((ms.div_euclid(86_400_000) + 3).rem_euclid(7) + 1).into())),
        ("to_number", [n @ (Value::Int(_) | Value::Float(_))]) => n.clone(),
        ("to_number", [Value::Str(s)]) if is_json_number(s) => json::number(s),
        ("to_string", [value]) => to_string(value).map_or(Value::Null, Value::Str),
        _ => Value::Null,
    }
}

/// An aggregate of the values that a stage's events have, by its name.
pub(crate) fn aggregate(name: &str, values: Vec<Value>) -> Value {
    let known: Vec<&Value> = values.iter().filter(|value| !value.is_null()).collect();
    match name {
        "first" => values.first().cloned().unwrap_or(Value::Null),
        "last" => values.last().cloned().unwrap_or(Value::Null),
        "sum" => match sum(&known) {
            Value::Int(sum) => Value::int(sum),
            other => other,
        },
        "avg" if known.is_empty() => Value::Null,
        "avg" => match sum(&known).as_float() {
            Some(sum) => Value::float(sum / known.len() as f64),
            None => Value::Null,
        },
        _ => {
            let wanted = if name == "min" { Ordering::Less } else { Ordering::Greater };
            let Some((first, rest)) = known.split_first() else { return Value::Null };
            if matches!(first, Value::Json(_)) {
                return Value::Null;
            }
            let mut best = *first;
            for value in rest {
                match value.compare(best) {
                    Some(order) if order == wanted => best = value,
                    Some(_) => {}
                    None => return Value::Null,
                }
            }
            best.clone()
        }
    }
}

/// Exact over integers, in floats from the first float on.
fn sum(values: &[&Value]) -> Value {
    let mut total = Value::Int(0);
    for value in values {
        total = match (&total, value) {
            (Value::Int(total), Value::Int(n)) => Value::Int(total + n),
            (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => {
                arithmetic(&total, sequor::pattern::ast::ArithmeticOp::Add, value)
            }
            _ => return Value::Null,
        };
    }
    total
}

/// The characters at the places from one, counted from 1, up to but not including another.
fn between(text: &str, from: i128, to: Option<i128>) -> String {
    let places = text.chars().zip(1_i128..);
    places.filter(|(_, at)| *at >= from && to.is_none_or(|to| *at < to)).map(|(c, _)| c).collect()
}

/// A whole float as an integer, where it fits 64 bits.
fn whole(float: f64) -> Value {
    if (-(2_f64.powi(63))..2_f64.powi(63)).contains(&float) {
        Value::Int(float as i128)
    } else {
        Value::Float(float)
    }
}

fn to_string(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Json(_) => None,
        Value::Str(text) => Some(text.clone()),
        other => Some(other.to_json()),
    }
}

fn ms_of(value: &Value) -> Option<i64> {
    match value {
        Value::Time(ms) => Some(*ms),
        Value::Int(ms) => i64::try_from(*ms).ok(),
        Value::Str(text) => rfc3339(text),
        _ => None,
    }
}

fn is_json_number(text: &str) -> bool {
    text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && text.ends_with(|c: char| c.is_ascii_digit())
        && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

fn cidr_contains(network: &str, address: &str) -> Option<bool> {
    let (base, bits) = network.split_once('/')?;
    let base: IpAddr = base.parse().ok()?;
    let is_number = !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit());
    let bits: u32 = if is_number { bits.parse().ok()? } else { return None };
    let address: IpAddr = address.parse::<IpAddr>().ok()?.to_canonical();
    let (width, base, address) = match (base, address) {
        (IpAddr::V4(base), address) => {
            let address = match address {
                IpAddr::V4(address) => Some(u128::from(u32::from(address))),
                IpAddr::V6(_) => None,
            };
            (32, u128::from(u32::from(base)), address)
        }
        (IpAddr::V6(base), address) => {
            let address = match address {
                IpAddr::V6(address) => Some(u128::from(address)),
                IpAddr::V4(_) => None,
            };
            (Ipv6Addr::BITS, u128::from(base), address)
        }
    };
    if bits > width {
        return None;
    }
    let Some(address) = address else { return Some(false) };
    // Shifting out all of 128 bits is no shift that a machine has.
    Some(bits == 0 || base >> (width - bits) == address >> (width - bits))
}
