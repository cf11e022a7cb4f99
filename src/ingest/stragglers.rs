//! Events that came after a later one of their partition, and wait for their turn.

use super::blocks::BlockNumber;
use crate::event::Timestamp;

/// Runs that may wait side by side: merging them as they leave is cheaper than merging them as they come, as long as they
/// are few.
const RUNS_MAX: usize = 32;

/// From so many on, entries are sorted by the bytes of their times.
const RADIX_MIN: usize = 128;
/// With more bytes in which times differ, comparing is the cheaper way.
const RADIX_BYTES_MAX: u32 = 3;

/// An event that waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) time: Timestamp,
    pub(super) block: BlockNumber,
    pub(super) row: u32,
}

/// The stragglers of a partition, as runs in the order of time. What has the same time stays in the order in which it
/// came: earlier runs have come earlier, and sorting is stable.
#[derive(Debug, Default)]
pub(super) struct Stragglers {
    runs: Vec<Run>,
    /// Room for sorting.
    spare: Vec<Entry>,
}

/// Entries in the order of time, the first `gone` of which have left.
#[derive(Debug)]
struct Run {
    entries: Vec<Entry>,
    gone: usize,
}

impl Run {
    fn waiting(&self) -> &[Entry] {
        &self.entries[self.gone..]
    }
}

impl Stragglers {
    /// Adds entries in the order in which they came.
    pub(super) fn push(&mut self, mut entries: Vec<Entry>) {
        if entries.is_empty() {
            return;
        }
        sort(&mut entries, &mut self.spare);
        self.runs.push(Run { entries, gone: 0 });
        if self.runs.len() > RUNS_MAX {
            self.merge();
        }
    }

    /// Merges the last runs, so that each that stays is at least twice as long as all that follow: an event is merged a
    /// logarithmic number of times.
    fn merge(&mut self) {
        let mut first = self.runs.len() - 1;
        let mut length = self.runs[first].waiting().len();
        while first > 0 && self.runs[first - 1].waiting().len() < 2 * length {
            first -= 1;
            length += self.runs[first].waiting().len();
        }
        if first + 1 == self.runs.len() {
            return;
        }
        let mut entries = Vec::with_capacity(length);
        self.runs.drain(first..).for_each(|run| entries.extend_from_slice(run.waiting()));
        // Runs one behind the other: the sort finds them, and merges.
        entries.sort_by_key(|entry| entry.time);
        self.runs.push(Run { entries, gone: 0 });
    }

    /// The time of the first one.
    pub(super) fn first(&self) -> Option<Timestamp> {
        self.runs.iter().filter_map(|run| run.waiting().first()).map(|entry| entry.time).min()
    }

    /// Puts the entries up to a time into `out`, in order.
    pub(super) fn release(&mut self, up_to: Timestamp, out: &mut Vec<Entry>) {
        out.clear();
        let mut parts = 0;
        for run in &mut self.runs {
            let count = run.waiting().partition_point(|entry| entry.time <= up_to);
            out.extend_from_slice(&run.waiting()[..count]);
            run.gone += count;
            parts += usize::from(count > 0);
            // What has left makes room as soon as it is the larger part, so that each event is moved once at most.
            if run.gone > run.entries.len() / 2 {
                run.entries.drain(..run.gone);
                run.gone = 0;
            }
        }
        self.runs.retain(|run| !run.entries.is_empty());
        if parts > 1 {
            sort(out, &mut self.spare);
        }
    }
}

/// Sorts by time; what has the same time stays in its order.
fn sort(entries: &mut Vec<Entry>, spare: &mut Vec<Entry>) {
    let (mut lowest, mut highest) = (Timestamp::MAX, Timestamp::MIN);
    for entry in entries.iter() {
        lowest = lowest.min(entry.time);
        highest = highest.max(entry.time);
    }
    let bytes = (u64::BITS - highest.0.abs_diff(lowest.0).leading_zeros()).div_ceil(8);
    if entries.len() < RADIX_MIN || bytes > RADIX_BYTES_MAX {
        entries.sort_by_key(|entry| entry.time);
        return;
    }
    spare.resize(entries.len(), entries[0]);
    for byte in 0..bytes {
        let digit = |entry: &Entry| usize::from((entry.time.0.wrapping_sub(lowest.0) >> (8 * byte)) as u8);
        let mut places = [0_usize; 256];
        entries.iter().for_each(|entry| places[digit(entry)] += 1);
        let mut next = 0;
        for place in &mut places {
            (*place, next) = (next, next + *place);
        }
        for entry in entries.iter() {
            let place = &mut places[digit(entry)];
            spare[*place] = *entry;
            *place += 1;
        }
        std::mem::swap(entries, spare);
    }
}
