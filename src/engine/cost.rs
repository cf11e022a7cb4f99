//! What patterns cost: counted always; timed where somebody lends a clock for a while. Nothing depends on it.

use super::matched::Kind;

/// Tells nanoseconds since some moment.
pub type Clock = fn() -> u64;

/// What a pattern has cost since it was installed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Events that its conditions were asked about.
    pub events: u64,
    /// Matches found.
    pub matches: u64,
    /// Timeouts found.
    pub timeouts: u64,
    /// Nanoseconds, of those that were timed.
    pub nanos: u64,
}

/// What the patterns of a shard cost.
#[derive(Debug, Default)]
pub(crate) struct Costs {
    /// By pattern.
    of: Vec<Cost>,
    clock: Option<Clock>,
    since: u64,
    /// Nanoseconds of all that was timed.
    total: u64,
}

impl Costs {
    pub(crate) fn resize(&mut self, patterns: usize) {
        self.of.resize(patterns, Cost::default());
    }

    pub(crate) fn of(&self, pattern: u32) -> Cost {
        self.of.get(pattern as usize).copied().unwrap_or_default()
    }

    pub(crate) fn set(&mut self, pattern: u32, cost: Cost) {
        if let Some(of) = self.of.get_mut(pattern as usize) {
            *of = cost;
        }
    }

    /// Times from now on, or no more.
    pub(crate) fn time(&mut self, clock: Option<Clock>) {
        self.clock = clock;
    }

    /// Something took so long, whatever part of it was for patterns.
    pub(crate) fn took(&mut self, nanos: u64) {
        self.total += nanos;
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// A pattern is asked about an event.
    #[inline]
    pub(crate) fn event(&mut self, pattern: u32) {
        self.of[pattern as usize].events += 1;
        self.begin();
    }

    /// Something of a pattern was found.
    #[inline]
    pub(crate) fn found(&mut self, pattern: u32, kind: Kind, count: u64) {
        let of = &mut self.of[pattern as usize];
        match kind {
            Kind::Match => of.matches += count,
            Kind::Timeout => of.timeouts += count,
        }
    }

    /// Something is done for a pattern.
    #[inline]
    pub(crate) fn begin(&mut self) {
        if let Some(clock) = self.clock {
            self.since = clock();
        }
    }

    /// It is done.
    #[inline]
    pub(crate) fn end(&mut self, pattern: u32) {
        if let Some(clock) = self.clock {
            self.of[pattern as usize].nanos += clock().saturating_sub(self.since);
        }
    }
}
