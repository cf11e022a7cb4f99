//! The deadlines of one pattern in one shard: the ends of windows, in the order of time, since a window is counted from
//! an event and events come in order.

use std::collections::VecDeque;

use super::store::Store;
use crate::event::{TimeSpan, Timestamp};

/// Deadlines that may be due one day: some events are gone by then, and with them what there was to close.
#[derive(Debug)]
pub(crate) struct Deadlines {
    /// The kept events that windows are counted from, and the lowest bits of their sequence numbers: a kept event's
    /// number may have become another's.
    queue: VecDeque<(u32, u32)>,
    /// The first one's time, or an earlier one.
    next: Timestamp,
}

impl Default for Deadlines {
    fn default() -> Self {
        Deadlines { queue: VecDeque::new(), next: Timestamp::MAX }
    }
}

impl Deadlines {
    /// When the next deadline may be due.
    #[inline]
    pub(crate) fn next(&self) -> Option<Timestamp> {
        (!self.queue.is_empty()).then_some(self.next)
    }

    /// Adds the end of a window that is counted from a kept event.
    pub(crate) fn push(&mut self, at: Timestamp, event: u32, sequence: u64) {
        if self.queue.is_empty() {
            self.next = at;
        }
        self.queue.push_back((event, sequence as u32));
    }

    /// Takes out the next deadline up to a time: the event that its window is counted from.
    pub(crate) fn pop(&mut self, up_to: Timestamp, span: TimeSpan, store: &Store) -> Option<u32> {
        while let Some(&(event, sequence)) = self.queue.front() {
            // An event that nobody holds any more has nothing to close.
            if let Some(time) = store.time_if_kept(event, sequence) {
                self.next = time.plus(span);
                if self.next > up_to {
                    return None;
                }
                self.queue.pop_front();
                return Some(event);
            }
            self.queue.pop_front();
        }
        if self.queue.capacity() > 1024 {
            self.queue = VecDeque::new();
        }
        None
    }
}
