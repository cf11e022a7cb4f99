//! Event time: milliseconds since the epoch, and spans between two times. Arithmetic saturates: any `i64` is a valid time.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A moment of event time, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// A length of event time, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TimeSpan(pub i64);

impl Timestamp {
    /// Before every event: the watermark of a partition that has not spoken.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// After every event: the watermark at the end of a bounded input.
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// This moment and a span more; the largest time where that overflows.
    pub fn plus(self, span: TimeSpan) -> Timestamp {
        Timestamp(self.0.saturating_add(span.0))
    }

    /// This moment less a span; the smallest time where that overflows.
    pub fn minus(self, span: TimeSpan) -> Timestamp {
        Timestamp(self.0.saturating_sub(span.0))
    }
}

/// The units of durations, each with its milliseconds; a unit comes before those that it begins with.
pub const UNITS: [(&str, u64); 6] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];

/// The length of time that a text says, as in `within`; also `0`. For settings and flags.
pub fn duration_of(text: &str) -> Result<TimeSpan, String> {
    if text == "0" {
        return Ok(TimeSpan(0));
    }
    let form =
        "a duration is numbers with units, as in 500ms, 10s or 1h30m; the units are ms, s, m, h, d and w";
    let mut total = 0_u64;
    let mut rest = text;
    while !rest.is_empty() || text.is_empty() {
        let (number, after) = split(rest, |c| c.is_ascii_digit() || c == '.');
        let (unit, after) = split(after, |c| c.is_ascii_alphabetic());
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let unit = UNITS.iter().find(|(name, _)| *name == unit).filter(|_| digits(whole) && digits(fraction));
        let Some((_, unit)) = unit else { return Err(form.into()) };
        total = scaled(whole, fraction, *unit)
            .and_then(|part| total.checked_add(part))
            .ok_or("this duration is out of range, or no whole number of milliseconds")?;
        rest = after;
    }
    let total = i64::try_from(total).map_err(|_| "this duration is out of range")?;
    Ok(TimeSpan(total))
}

/// A text cut at the first character that is not as told.
fn split(text: &str, is: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !is(c)).unwrap_or(text.len()))
}

/// Exactly `whole.fraction` times `unit`, where that is a whole number that fits. Both are digits.
pub(crate) fn scaled(whole: &str, fraction: &str, unit: u64) -> Option<u64> {
    let whole = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        return Some(whole);
    }
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let part = fraction.parse::<u128>().ok()?.checked_mul(u128::from(unit))?;
    if part % scale != 0 {
        return None;
    }
    whole.checked_add(u64::try_from(part / scale).ok()?)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match chrono::DateTime::from_timestamp_millis(self.0) {
            Some(t) => write!(f, "{}", t.format("%Y-%m-%dT%H:%M:%S%.3fZ")),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Display for TimeSpan {
    /// As the language writes it: the fewest units that say it exactly, `1h30m`, `500ms`, `0ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.0.unsigned_abs();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        if left == 0 {
            return f.write_str("0ms");
        }
        for (unit, ms) in
            [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)]
        {
            if left >= ms {
                write!(f, "{}{unit}", left / ms)?;
                left %= ms;
            }
        }
        Ok(())
    }
}
