//! How far behind their partition's highest time events came: counts in buckets that grow with the distance.

use crate::event::TimeSpan;

/// Buckets for each power of two.
const PER_DOUBLING: u64 = 8;

/// How far behind events came that came behind.
#[derive(Debug, Default)]
pub(super) struct Lateness {
    /// By bucket; empty until an event came behind.
    counts: Vec<u64>,
}

impl Lateness {
    /// Counts an event that came so many milliseconds behind, at least 1.
    pub(super) fn add(&mut self, behind: u64) {
        let bucket = bucket(behind);
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
    }

    /// The least bound, but for the width of a bucket, that keeps so many of `events` events; none where there are none.
    pub(super) fn bound_for(&self, share: f64, events: u64) -> Option<TimeSpan> {
        let behind: u64 = self.counts.iter().sum();
        let wanted = (events as f64 * share).ceil() as u64;
        let mut kept = events.saturating_sub(behind);
        if events == 0 || kept >= wanted {
            return (events > 0).then_some(TimeSpan(0));
        }
        for (bucket, count) in self.counts.iter().enumerate() {
            kept += count;
            if kept >= wanted {
                return Some(TimeSpan(i64::try_from(highest(bucket)).unwrap_or(i64::MAX)));
            }
        }
        None
    }
}

fn bucket(value: u64) -> usize {
    if value < PER_DOUBLING {
        return value as usize;
    }
    let above = u64::from(value.ilog2() - PER_DOUBLING.ilog2());
    ((above + 1) * PER_DOUBLING + (value >> above) % PER_DOUBLING) as usize
}

/// The highest value of a bucket.
fn highest(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < PER_DOUBLING {
        return bucket;
    }
    let above = bucket / PER_DOUBLING - 1;
    let next = u128::from(PER_DOUBLING + bucket % PER_DOUBLING + 1) << above;
    u64::try_from(next - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_is_up_to_its_highest_value() {
        let near = (1..5000).chain((0..64).flat_map(|at| [1_u64 << at, (1 << at) + 1, u64::MAX >> at]));
        for value in near {
            let bucket = bucket(value);
            assert!(highest(bucket) >= value && (bucket == 0 || highest(bucket - 1) < value), "{value}");
            assert!(highest(bucket) - value <= value / PER_DOUBLING, "{value}");
        }
    }

    #[test]
    fn the_bound_keeps_the_share() {
        let mut lateness = Lateness::default();
        assert_eq!(lateness.bound_for(0.999, 0), None);
        assert_eq!(lateness.bound_for(0.999, 10), Some(TimeSpan(0)));
        (1..=10).for_each(|behind| lateness.add(behind));
        assert_eq!(lateness.bound_for(0.999, 10_000), Some(TimeSpan(0)));
        assert_eq!(lateness.bound_for(0.999, 2_000), Some(TimeSpan(8)));
        assert_eq!(lateness.bound_for(0.999, 10), Some(TimeSpan(10)));
    }
}
