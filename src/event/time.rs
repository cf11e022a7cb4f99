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
